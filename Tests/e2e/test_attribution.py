# Who did it: every exchange names the process, its program, its parent and its user, as the system itself tells them.

import os
import pwd
import subprocess
import sys
import uuid

import pytest

from harness.exchanges import exchanges
from harness.pipeline import JSON, RESP

pytestmark = pytest.mark.live

UNIFIED = next((line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "cgroup2"), None)


def only(run, direction, command="SET"):
    found = [exchange for exchange in exchanges(run.output, direction) if exchange["command"] == command]
    assert len(found) == 1, found
    return found[0]


def test_a_client_of_another_user_and_a_server(redis, capture):
    server = redis()
    nobody = pwd.getpwnam("nobody")
    run = capture(["--port", server.port], [RESP, JSON])
    client = subprocess.Popen(
        ["redis-cli", "-p", str(server.port), "SET", "a", "b c"],
        stdout=subprocess.DEVNULL, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
    )  # fmt: skip
    assert client.wait(10) == 0
    run.stop()

    process = only(run, "egress")["process"]
    assert process["pid"] == client.pid
    assert process["comm"] == "redis-cli"
    assert process["exe"] == os.path.realpath("/usr/bin/redis-cli")
    assert process["command_line"] == ["redis-cli", "-p", str(server.port), "SET", "a", "b c"]
    assert (process["uid"], process["user"]) == (nobody.pw_uid, "nobody")
    assert process["parent"]["pid"] == os.getpid()

    process = only(run, "ingress")["process"]
    assert process["pid"] == server.pid
    assert process["comm"] == "redis-server"
    assert process["exe"] == os.readlink(f"/proc/{server.pid}/exe")
    assert process["user"] == pwd.getpwuid(os.geteuid()).pw_name
    # redis-server rewrites its own title.
    assert process["command_line"]


def test_both_ends_of_a_connection_agree(redis, capture):
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    with server.client() as client, server.client(host="::1") as client6:
        client.call("SET", "four", "4")
        client6.call("GET", "four")
        addresses = [client.address, client6.address]
    run.stop()
    for direction in ("egress", "ingress"):
        shown = [(x["client"], x["server"]) for x in exchanges(run.output, direction)]
        assert shown == [(addresses[0], f"127.0.0.1:{server.port}"), (addresses[1], f"[::1]:{server.port}")], direction


def test_latency_is_measured_on_each_side(redis, capture):
    """A command that takes 50 ms at the server: both sides say so, and the client, who waits longer, says more."""
    server = redis("--enable-debug-command", "yes")
    run = capture(["--port", server.port], [RESP, JSON])
    with server.client() as client:
        client.call("DEBUG", "SLEEP", "0.05")
    run.stop()
    inner, outer = (only(run, direction, "DEBUG")["latency_ns"] for direction in ("ingress", "egress"))
    assert 50_000_000 <= inner <= outer < 1_000_000_000


FORKED = """
import os, socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
if os.fork() == 0:
    connection.sendall(b"*3\\r\\n$3\\r\\nSET\\r\\n$4\\r\\nfrom\\r\\n$5\\r\\nchild\\r\\n")
    connection.recv(100)
    print(os.getpid(), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_connection_that_a_child_inherited(redis, capture):
    """The parent opened it, the child speaks: the child is named."""
    server = redis()
    run = capture(["--port", server.port, "--direction", "egress"], [RESP, JSON])
    child = subprocess.run(
        [sys.executable, "-c", FORKED, str(server.port)], capture_output=True, text=True, check=True
    ).stdout
    run.stop()
    assert only(run, "egress")["process"]["pid"] == int(child)


# Moves itself into a control group as systemd and logind do, and then speaks, with or without an exec in between.
MOVED = """
import os, socket, sys, time
port, folder, word, executes = sys.argv[1:]
if os.fork() == 0:
    with open(os.path.join(folder, "cgroup.procs"), "w") as procs:
        procs.write("0")
    if executes:
        os.execvp("redis-cli", ["redis-cli", "-p", port, "SET", word, "x"])
    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.sendall(b"SET %s x\\r\\n" % word.encode())
    connection.recv(100)
    # Only /proc tells of the move.
    time.sleep(1)
    os._exit(0)
os.wait()
"""


@pytest.mark.root
def test_the_unit_and_the_login_session(redis, capture):
    server = redis()
    name = f"tap-test-{uuid.uuid4().hex[:8]}.slice"
    paths = {
        "service": (f"{name}/web@1.service", "web@1.service"),
        "session": (f"{name}/user-7.slice/session-12.scope", "session-12.scope"),
        # Of a user's own service manager: the innermost counts.
        "user-service": (f"{name}/user@7.service/app.slice/app.service", "app.service"),
        "slice": (f"{name}/inner", None),
    }
    run = capture(["--port", server.port, "--direction", "egress"], [RESP, JSON])
    made = []
    try:
        for word, (path, _) in paths.items():
            folder = UNIFIED
            for component in path.split("/"):
                folder = os.path.join(folder, component)
                if not os.path.isdir(folder):
                    os.mkdir(folder)
                    made.append(folder)
            for executes in ("", "yes"):
                words = [sys.executable, "-c", MOVED, str(server.port), folder, word + executes, executes]
                subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    finally:
        run.stop()
        for folder in reversed(made):
            os.rmdir(folder)
    found = {exchange["args"][0]: exchange["process"] for exchange in exchanges(run.output, "egress")}
    assert len(found) == 8
    for word, (path, unit) in paths.items():
        for key in (word, word + "yes"):
            assert (found[key].get("unit"), found[key]["cgroup"]) == (unit, f"/{path}"), key
