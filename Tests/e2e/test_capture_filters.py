# Filters: each one keeps what it names and nothing else, and one that cannot match anything is refused.

import os
import shutil
import socket
import subprocess
import sys
import uuid

import pytest

from harness.pipeline import tool
from harness.servers import redis_server_program
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

CAPTURE = tool("tap-capture")
UNIFIED = next((line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"), None)

# What a client of each kind does; its own port tells it apart in the recording.
CLIENT = """
import ctypes, os, socket, sys
port, name = int(sys.argv[1]), sys.argv[2]
if name:
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
with socket.create_connection(("127.0.0.1", port)) as connection:
    print(connection.getsockname()[1], flush=True)
    connection.sendall(b"PING\\r\\n")
    assert connection.recv(100) == b"+PONG\\r\\n"
"""


def client(server, name="", **options):
    """Runs a client in a process of its own and returns its port."""
    words = [sys.executable, "-c", CLIENT, str(server.port), name]
    result = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True, **options)
    return int(result.stdout)


def client_ports(running, server):
    """The clients' ports of the flows that were captured at the client's side."""
    recording = Recording(running.stop().output)
    return {flow.local[1] for flow in recording.flows.values() if flow.remote[1] == server.port}


@pytest.mark.live
def test_by_name(capture, redis):
    server = redis()
    running = capture(["--comm", "tap-wanted", "--comm", "tap-wanted-too-", "--direction", "egress"])
    wanted = {client(server, "tap-wanted"), client(server, "tap-wanted-too-long")}
    client(server, "tap-wanted-to")
    client(server)
    assert client_ports(running, server) == wanted


@pytest.mark.live
def test_by_program(capture, redis, tmp_path):
    """By the file, not by its name: a hard link is the same program, a copy is another."""
    server = redis()
    program = tmp_path / "wanted"
    shutil.copy(shutil.which("redis-cli"), program)
    os.link(program, tmp_path / "linked")
    shutil.copy(program, tmp_path / "copied")
    running = capture(["--exe", program, "--direction", "egress"])
    for name in ("wanted", "linked", "copied"):
        subprocess.run([tmp_path / name, "-p", str(server.port), "SET", "by", name], check=True, stdout=subprocess.DEVNULL)
    recording = Recording(running.stop().output)
    sent = b"".join(flow.bytes(SENT) for flow in recording.flows.values())
    assert b"wanted" in sent and b"linked" in sent and b"copied" not in sent
    assert len(recording.flows) == 2


@pytest.mark.live
@pytest.mark.root
def test_by_user(capture, redis):
    server = redis()
    running = capture(["--uid", "nobody", "--uid", "4242", "--direction", "egress"])
    wanted = {client(server, user="nobody"), client(server, user=4242)}
    client(server)
    client(server, user="daemon")
    assert client_ports(running, server) == wanted


@pytest.fixture
def cgroup():
    folder = os.path.join(UNIFIED, f"tap-test-{uuid.uuid4().hex[:8]}")
    inner = os.path.join(folder, "inner")
    os.makedirs(inner)
    yield folder
    os.rmdir(inner)
    os.rmdir(folder)


def enter(folder):
    with open(os.path.join(folder, "cgroup.procs"), "w") as procs:
        procs.write("0")


@pytest.mark.live
@pytest.mark.root
@pytest.mark.parametrize("is_relative", [False, True], ids=["folder", "path in the hierarchy"])
def test_by_control_group(capture, redis, cgroup, is_relative):
    """With the groups below it, for a process that is moved into it as well."""
    server = redis()
    running = capture(["--cgroup", cgroup.removeprefix(UNIFIED) if is_relative else cgroup, "--direction", "egress"])
    wanted = {
        client(server, preexec_fn=lambda: enter(cgroup)),
        client(server, preexec_fn=lambda: enter(os.path.join(cgroup, "inner"))),
    }
    client(server)
    assert client_ports(running, server) == wanted


@pytest.mark.live
@pytest.mark.root
def test_different_filters_must_all_fit(capture, redis):
    server, other = redis(), redis()
    running = capture(["--comm", "tap-wanted", "--uid", "nobody", "--port", server.port, "--direction", "egress"])
    wanted = {client(server, "tap-wanted", user="nobody")}
    client(server, "tap-wanted")
    client(server, "tap-else", user="nobody")
    client(other, "tap-wanted", user="nobody")
    recording = Recording(running.stop().output)
    assert {flow.local[1] for flow in recording.flows.values()} == wanted


@pytest.mark.live
def test_a_name_that_changes_on_an_open_connection(capture):
    """What moved under another name is in the books, not in the recording."""
    script = """
import ctypes, socket
rename = lambda name: ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
with socket.create_server(("127.0.0.1", 0)) as listener:
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    for name, data in ((b"tap-one", b"before"), (b"tap-two", b"wanted"), (b"tap-three", b"after")):
        rename(name)
        client.sendall(data)
        assert server.recv(100) == data
"""
    running = capture(["--comm", "tap-two"])
    subprocess.run([sys.executable, "-c", script], check=True)
    recording = Recording(running.stop().output)
    assert len(recording.flows) == 2
    for flow in recording.flows.values():
        direction = SENT if flow.length[SENT] else RECEIVED
        assert flow.runs[direction] == [Missing(6, "filtered"), bytearray(b"wanted"), Missing(5, "filtered")]


@pytest.mark.live
@pytest.mark.root
@pytest.mark.parametrize("family", ["IPv4", "IPv6", "IPv4 in IPv6"])
def test_without_loopback(capture, family):
    """Two network namespaces with a cable between them, and the loopback of one of them."""
    inside, outside = ("fd00::1", "fd00::2") if family == "IPv6" else ("10.99.0.1", "10.99.0.2")
    prefix, loopback = ("64", "::1") if family == "IPv6" else ("24", "127.0.0.2")
    map_address = (lambda a: "::ffff:" + a) if family == "IPv4 in IPv6" else (lambda a: a)
    script = f"""
import os, socket, subprocess, time
def run(*words): subprocess.run(words, check=True)
run("ip", "link", "set", "lo", "up")
child = subprocess.Popen(["unshare", "-n", "sleep", "60"])
try:
    time.sleep(0.2)
    run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(child.pid))
    run("ip", "addr", "add", "{inside}/{prefix}", "dev", "near", *(["nodad"] if "{family}" == "IPv6" else []))
    run("ip", "link", "set", "near", "up")
    # A namespace is entered for good: so the sockets of the far side are made by another process.
    far = ["nsenter", "-n", "-t", str(child.pid)]
    run(*far, "ip", "addr", "add", "{outside}/{prefix}", "dev", "far", *(["nodad"] if "{family}" == "IPv6" else []))
    run(*far, "ip", "link", "set", "far", "up")
    family = socket.AF_INET if "{family}" == "IPv4" else socket.AF_INET6
    def listener():
        listener = socket.socket(family)
        listener.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 7777))
        listener.listen()
        return listener
    with listener() as listening:
        for address in ("{map_address(loopback)}", "{map_address(inside)}"):
            with socket.socket(family) as client:
                client.connect((address, 7777))
                client.sendall(b"at home")
                assert listening.accept()[0].recv(100) == b"at home"
        abroad = subprocess.Popen([*far, "python3", "-c",
            "import socket; socket.create_connection(('{inside}', 7777)).sendall(b'abroad')"])
        assert listening.accept()[0].recv(100) == b"abroad"
        assert abroad.wait() == 0
finally:
    child.kill()
    child.wait()
"""
    running = capture(["--no-loopback", "--port", "7777"])
    subprocess.run(["unshare", "-n", sys.executable, "-c", script], check=True)
    recording = Recording(running.stop().output)
    moved = sorted(bytes(flow.bytes(SENT) or flow.bytes(RECEIVED)) for flow in recording.flows.values())
    assert moved == [b"abroad", b"abroad"]


@pytest.mark.live
@pytest.mark.parametrize("maximum", [1, 100, 40_000, 1_000_000])
def test_at_most_so_many_bytes_of_a_call(capture, maximum):
    data = os.urandom(200_000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = capture(["--max-bytes", maximum, "--port", listener.getsockname()[1]])
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            calls = []
            for start in range(0, len(data), 50_000):
                part = data[start : start + 50_000]
                # In three pieces, so that the limit falls into one of them.
                assert client.sendmsg([part[:30], part[30:30_000], part[30_000:]]) == len(part)
                received = bytearray()
                while len(received) < len(part):
                    received += server.recv(1 << 20)
                    calls.append(len(received))
                assert received == part
    recording = Recording(running.stop().output)
    sent, received = (next(f for f in recording.flows.values() if f.length[d]) for d in (SENT, RECEIVED))
    expected = []
    for start in range(0, len(data), 50_000):
        if maximum < 50_000:
            expected += [bytearray(data[start : start + maximum]), Missing(50_000 - maximum, "cut")]
    assert sent.runs[SENT] == (expected or [bytearray(data)])
    assert received.length[RECEIVED] == len(data)
    assert recording.totals.get("gap_bytes_cut", 0) == sent.missing_bytes + received.missing_bytes
    position = 0
    for run in received.runs[RECEIVED]:
        if not isinstance(run, Missing):
            assert run == data[position : position + len(run)]
        position += run.length if isinstance(run, Missing) else len(run)


@pytest.mark.parametrize(
    "arguments, text, remedy",
    [
        (["--pid", "999999999"], "there is no process 999999999", "ps -e"),
        (["--comm", "a-name-too-long-for-it"], "expected 'a-name-too-long'", "--help"),
        (["--comm", ""], "the name is empty", "--help"),
        (["--exe", "/no/such/program"], "there is no program /no/such/program", "/proc/PID/exe"),
        (["--exe", "/usr"], "/usr is not a regular file", "/proc/PID/exe"),
        (["--uid", "no-such-user"], "there is no user 'no-such-user'", "getent passwd"),
        (["--cgroup", "/no/such/group"], "there is no control group /no/such/group", "/proc/PID/cgroup"),
        (["--cgroup", "/usr"], "there is no control group /usr", "/proc/PID/cgroup"),
        (["--protocol", "gopher"], "unknown protocol 'gopher'", "--help"),
        (["--protocol", "redis,"], "unknown protocol ''", "--help"),
        (["--max-bytes", "0"], "'0'", "--help"),
        (["--uid", "1"] * 17, "too many of --uid: expected at most 16, found 17", "--help"),
    ],
)
def test_a_filter_that_cannot_match(arguments, text, remedy):
    result = subprocess.run([CAPTURE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 64, result.stderr
    first, second = result.stderr.splitlines()
    assert first.startswith("tap-capture: ") and text in first
    assert remedy in second


@pytest.mark.live
@pytest.mark.root
def test_a_container_that_is_not_there(redis, capture):
    """Processes of no container are left out in the kernel, after their first bytes if not before; and it is said."""
    server = redis()
    running = capture(["--port", server.port, "--container", "nobody"])
    assert "no container matches --container nobody yet" in running.errors()
    for _ in range(3):
        client(server)
    assert not Recording(running.stop().output).flows
