# The other end of a connection within the machine: each side of an exchange names the process at the other one.

import contextlib
import os
import socket
import subprocess
import sys

import pytest

from harness.exchanges import exchanges
from harness.pipeline import JSON, RESP
from harness.resp import command
from harness.servers import redis_server_program

pytestmark = [pytest.mark.live, pytest.mark.root]


def redis_cli(*arguments, prefix=()):
    """Runs redis-cli and returns its pid."""
    words = [*prefix, "redis-cli", *map(str, arguments)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    assert process.wait(30) == 0
    return process.pid


def pids(line):
    """Of the process and of its peer."""
    return line["process"]["pid"], line.get("peer", {}).get("pid")


def of_key(capture, key):
    """The exchanges about `key`, by direction."""
    return {line["direction"]: line for line in exchanges(capture.output) if line["args"] == [key]}


@pytest.mark.parametrize("transport", ["tcp", "ipv6", "unix"])
def test_both_ends_name_each_other(transport, redis, capture, tmp_path):
    path = str(tmp_path / "socket")
    server = redis("--unixsocket", path)
    target = {"tcp": ["-p", server.port], "ipv6": ["-h", "::1", "-p", server.port], "unix": ["-s", path]}[transport]
    watch = capture([], [RESP, JSON])
    clients = {f"key:{number}": redis_cli(*target, "GET", f"key:{number}") for number in range(20)}
    watch.stop()
    for key, client in clients.items():
        ends = of_key(watch, key)
        assert pids(ends["ingress"]) == (server.process.pid, client)
        assert ends["ingress"]["peer"] == ends["egress"]["process"]
        # The server comes to the connection after the client, and its reply before the client has read it.
        assert pids(ends["egress"]) == (client, server.process.pid)
        assert ends["egress"]["peer"] == ends["ingress"]["process"]


@pytest.mark.parametrize("family", ["127.0.0.1", "unix"])
def test_connections_that_were_open_before(family, redis, capture, tmp_path):
    path = str(tmp_path / "socket")
    server = redis("--unixsocket", path)
    address = path if family == "unix" else (family, server.port)
    with socket.socket(socket.AF_UNIX if family == "unix" else socket.AF_INET) as client:
        client.connect(address)

        def call(*words, reply):
            client.sendall(command(*words))
            assert client.recv(100) == reply

        for number in range(50):
            call("SET", "before", "x" * number * 100, reply=b"+OK\r\n")
        watch = capture([], [RESP, JSON])
        for key in ("first", "second", "third"):
            call("GET", key, reply=b"$-1\r\n")
        watch.stop()
    for key in ("second", "third"):
        ends = of_key(watch, key)
        assert pids(ends["ingress"]) == (server.process.pid, os.getpid())
        assert pids(ends["egress"]) == (os.getpid(), server.process.pid)


@pytest.mark.parametrize("transport", ["tcp", "unix"])
@pytest.mark.parametrize("filters", ["client", "server", "command"])
def test_an_end_that_is_left_out_is_named_all_the_same(transport, filters, redis, capture, tmp_path):
    path = str(tmp_path / "socket")
    server = redis("--unixsocket", path)
    target = ["-p", server.port] if transport == "tcp" else ["-s", path]
    if filters == "command":
        watch = capture(["--", "redis-cli", *target, "GET", "k"], [RESP, JSON]).finish()
        (line,) = exchanges(watch.output)
        assert line["direction"] == "egress" and line["peer"]["pid"] == server.process.pid
        return
    watch = capture(["--direction", "egress"] if filters == "client" else ["--pid", server.process.pid], [RESP, JSON])
    # A reply is read by the client after the server has sent it: the first line of a server may come too early.
    arguments = [*target, "-r", 3, "GET", "k"]
    client = redis_cli(*arguments)
    watch.stop()
    lines = [line for line in exchanges(watch.output) if line["args"] == ["k"]]
    expected = (client, server.process.pid) if filters == "client" else (server.process.pid, client)
    assert len(lines) == 3
    assert [pids(line) for line in lines[1:]] == [expected] * 2
    assert pids(lines[0])[0] == expected[0] and pids(lines[0])[1] in (expected[1], None)
    if filters == "client":
        assert pids(lines[0]) == expected


@pytest.fixture
def namespaces():
    """`namespaces(2)` makes network namespaces with loopback up, and returns processes that keep them."""
    with contextlib.ExitStack() as made:

        def make(count):
            script = "ip link set lo up && echo ready && exec sleep 120"
            keepers = []
            for _ in range(count):
                keeper = subprocess.Popen(["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE)
                made.callback(keeper.wait, 10)
                made.callback(keeper.kill)
                assert keeper.stdout.readline() == b"ready\n"
                keeper.stdout.close()
                keepers.append(keeper.pid)
            return keepers

        yield make


def inside(keeper, *command):
    """The command line of `command` in the network namespace of `keeper`."""
    return ["nsenter", "--net", "--target", str(keeper), *command]


@pytest.fixture
def server_in(tmp_path):
    """`server_in(keeper, address)` starts a redis-server on port 6379 there, and returns its pid."""
    with contextlib.ExitStack() as started:

        def start(keeper, address):
            directory = str(tmp_path / f"redis-{keeper}")
            os.makedirs(directory)
            options = ["--bind", address, "--save", "", "--protected-mode", "no", "--dir", directory, "--logfile", "log"]
            words = inside(keeper, redis_server_program(directory), *options)
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
            started.callback(process.wait, 20)
            started.callback(process.terminate)
            for _ in range(200):
                if subprocess.run(inside(keeper, "redis-cli", "-h", address, "PING"), capture_output=True).stdout == b"PONG\n":
                    return process.pid
            raise AssertionError("redis-server did not start")

        yield start


def test_namespaces_that_share_addresses_do_not_share_peers(namespaces, server_in, capture):
    first, second = namespaces(2)
    servers = {name: server_in(name, "127.0.0.1") for name in (first, second)}
    watch = capture([], [RESP, JSON])
    expected = {}
    for number in range(10):
        for name, server in servers.items():
            # The same port too: only the namespaces differ.
            script = (
                "import socket\ns = socket.create_connection(('127.0.0.1', 6379), source_address=('127.0.0.1', "
                f"{40000 + number}))\ns.sendall(b'GET {name}:{number}\\r\\n')\nassert s.recv(100) == b'$-1\\r\\n'"
            )
            process = subprocess.Popen(inside(name, sys.executable, "-c", script))
            assert process.wait(30) == 0
            expected[f"{name}:{number}"] = process.pid, server
    watch.stop()
    for key, (client, server) in expected.items():
        ends = of_key(watch, key)
        assert pids(ends["egress"]) == (client, server) and pids(ends["ingress"]) == (server, client)


@pytest.fixture
def pair_of_interfaces(namespaces):
    """Two namespaces, 10.77.0.1 and 10.77.0.2, joined like a container and its machine."""
    near, far = namespaces(2)
    for keeper, address, link in ((near, "10.77.0.1", "v0"), (far, "10.77.0.2", "v1")):
        if keeper == near:
            peer = ["type", "veth", "peer", "name", "v1", "netns", str(far)]
            subprocess.run(inside(near, "ip", "link", "add", "v0", *peer), check=True)
        subprocess.run(inside(keeper, "ip", "address", "add", f"{address}/24", "dev", link), check=True)
        subprocess.run(inside(keeper, "ip", "link", "set", link, "up"), check=True)
    return near, far


def test_across_a_pair_of_interfaces(pair_of_interfaces, server_in, capture):
    near, far = pair_of_interfaces
    server = server_in(far, "10.77.0.2")
    watch = capture([], [RESP, JSON])
    client = redis_cli("-h", "10.77.0.2", "GET", "k", prefix=inside(near))
    watch.stop()
    ends = of_key(watch, "k")
    assert pids(ends["egress"]) == (client, server) and pids(ends["ingress"]) == (server, client)


def test_through_address_translation(pair_of_interfaces, server_in, capture):
    """A port that is published as `docker -p` does it with its rules of the firewall: each end knows other addresses."""
    near, far = pair_of_interfaces
    server = server_in(far, "10.77.0.2")
    rules = [
        ["OUTPUT", "--protocol", "tcp", "--dport", "16379", "--jump", "DNAT", "--to-destination", "10.77.0.2:6379"],
        ["POSTROUTING", "--out-interface", "v0", "--jump", "MASQUERADE"],
    ]
    for rule in rules:
        subprocess.run(inside(near, "iptables", "--table", "nat", "--append", *rule), check=True)
    watch = capture([], [RESP, JSON])
    client = redis_cli("-h", "10.77.0.1", "-p", "16379", "GET", "k", prefix=inside(near))
    watch.stop()
    ends = of_key(watch, "k")
    assert (ends["egress"]["server"], ends["ingress"]["server"]) == ("10.77.0.1:16379", "10.77.0.2:6379")
    assert pids(ends["egress"]) == (client, server) and pids(ends["ingress"]) == (server, client)


def test_exec_within_a_connection_is_followed_at_the_other_end(redis, capture):
    server = redis()
    watch = capture(["--port", server.port], [RESP, JSON])
    talk = "exec 3<>/dev/tcp/127.0.0.1/%d; printf 'GET %s\\r\\n' >&3; read -r -u 3 x; %s"
    after = "import os; os.write(3, b'GET after\\r\\n'); os.read(3, 100)"
    script = talk % (server.port, "before", f'exec python3 -c "{after}"')
    process = subprocess.Popen(["bash", "-c", script])
    assert process.wait(30) == 0
    watch.stop()
    before, later = of_key(watch, "before"), of_key(watch, "after")
    assert before["ingress"]["peer"]["comm"] == "bash" and later["ingress"]["peer"]["comm"] == "python3"
    assert before["ingress"]["peer"]["pid"] == later["ingress"]["peer"]["pid"] == process.pid
