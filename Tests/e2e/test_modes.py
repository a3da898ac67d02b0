# Modes of Redis with real servers: what the JSON output shows of each connection is what its raw client sent and received.

import time
from collections import Counter

import pytest

from harness import tapwire
from harness.exchanges import command_statistics, counted, expected_exchange, expected_response, json_string, lines
from harness.pipeline import JSON, RESP
from harness.resp import Client, Error, command
from harness.servers import RedisServer, Sentinel, free_port, info

pytestmark = pytest.mark.live

SECRET = "s3cr3t-Pa55word"


def shown(run, direction):
    """What the output has of each client's connection: the parts that a raw client knows, with the flags."""
    found = {}
    for line in lines(run.output):
        if line.get("direction") == direction and ("command" in line or "response_type" in line):
            parts = ("command", "args", "response_type", "response_value", "flags")
            found.setdefault(line["client"], []).append({part: line[part] for part in parts if part in line})
    return found


class Talk:
    """A raw client that writes down what must be shown of it."""

    def __init__(self, port, host="127.0.0.1"):
        self.client = Client(port, host)
        self.client.socket.settimeout(20)
        self.address = self.client.address
        self.expected = []

    def note(self, exchange, *flags):
        self.expected.append(exchange | ({"flags": list(flags)} if flags else {}))

    def call(self, *words, shown_as=None, flags=()):
        reply = self.client.call(*words)
        self.note(expected_exchange(shown_as or words, reply), *flags)
        return reply

    def call_for(self, replies, *words):
        """A command that is answered more than once: all of it is one response."""
        self.client.send(command(*words))
        received = [self.client.read() for _ in range(replies)]
        self.note(expected_exchange(words, received))

    def message(self, flag):
        """What the server sends by itself."""
        received = self.client.read()
        kind, value = expected_response(received)
        self.note({"response_type": kind, "response_value": value}, flag)
        return received


def check(run, *talks):
    for direction in ("ingress", "egress"):
        seen = shown(run, direction)
        for talk in talks:
            assert seen.get(talk.address) == talk.expected, direction


def test_subscribed_mode_of_resp2(redis, capture):
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    reader, writer = Talk(server.port), Talk(server.port)
    reader.call("SET", "a", "1")
    reader.call_for(2, "SUBSCRIBE", "one", "two")
    reader.call("PSUBSCRIBE", "o*")
    reader.call("SSUBSCRIBE", "shard")
    assert writer.call("PUBLISH", "one", "hello") == 2
    assert reader.message("push")[0] == b"message"
    assert reader.message("push")[0] == b"pmessage"
    assert writer.call("SPUBLISH", "shard", "*3\r\n$7\r\nmessage\r\n") == 1
    assert reader.message("push")[0] == b"smessage"
    assert reader.call("PING", "there") == [b"pong", b"there"]
    assert isinstance(reader.call("GET", "a"), Error)
    reader.call_for(2, "UNSUBSCRIBE")
    reader.call("PUNSUBSCRIBE")
    reader.call("SUNSUBSCRIBE", "shard")
    assert reader.call("GET", "a") == b"1"
    assert reader.call("PING") == b"PONG"
    run.stop()
    check(run, reader, writer)


def test_refusals(redis, capture):
    server = redis("--requirepass", SECRET)
    run = capture(["--port", server.port], [RESP, JSON])
    talk = Talk(server.port)
    assert talk.call("GET", "a").startswith(b"NOAUTH ")
    assert talk.call("AUTH", "wrong", shown_as=["AUTH", "(redacted)"]).startswith(b"WRONGPASS ")
    assert talk.call("GET", "a").startswith(b"NOAUTH ")
    assert talk.call("AUTH", "default", SECRET, shown_as=["AUTH", "default", "(redacted)"]) == b"OK"
    assert talk.call("SET", "a", "1") == b"OK"
    # Redis 7.0 has it not; a later one answers it.
    talk.call("WAITAOF", "0", "0", "10", flags=["blocking"])
    assert talk.call("GET", "a") == b"1"
    stopping = Talk(server.port)
    stopping.call("AUTH", SECRET, shown_as=["AUTH", "(redacted)"])
    stopping.client.send(command("SHUTDOWN", "NOSAVE"))
    with pytest.raises(ConnectionError):
        stopping.client.read()
    stopping.note({"command": "SHUTDOWN", "args": ["NOSAVE"]}, "unanswered")
    server.process.wait(10)
    run.stop()
    check(run, talk, stopping)


def test_a_server_that_is_loading(redis, capture, tmp_path):
    first = RedisServer(tmp_path / "loading")
    with first.client() as client:
        client.send(b"".join(command("SET", f"key:{number}", "x" * 100) for number in range(3000)) + command("SAVE"))
        for _ in range(3001):
            assert client.read() == b"OK"
    first.stop()
    # Half a millisecond for each key; between some of them it answers.
    options = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]
    server = RedisServer(tmp_path / "loading", *options)
    try:
        run = capture(["--port", server.port], [RESP, JSON])
        talk = Talk(server.port)
        assert talk.call("GET", "key:1").startswith(b"LOADING ")
        deadline = time.monotonic() + 20
        while isinstance(talk.call("GET", "key:1"), Error):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.stop()
    finally:
        server.stop()
    check(run, talk)


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("words", [("PSYNC", "?", "-1"), ("SYNC",)])
def test_a_replica(redis, capture, words, diskless):
    server = redis("--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0")
    run = capture(["--port", server.port], [RESP, JSON])
    writer, replica = Talk(server.port), Talk(server.port)
    writer.call("SET", "before", "*1\r\n$4\r\nPING\r\n" * 50)
    replica.call("PING")
    replica.call("REPLCONF", "listening-port", "1")
    replica.call("REPLCONF", "capa", "eof", "capa", "psync2")
    replica.client.send(command(*words))
    if words[0] == "PSYNC":
        replica.note(expected_exchange(words, replica.client.read()))
    snapshot = read_snapshot(replica.client)
    value = {"cut": json_string(snapshot[:9]), "length": len(snapshot)}
    answer = {"response_type": "rdb", "response_value": value}
    if words[0] == "SYNC":
        answer |= {"command": "SYNC", "args": []}
    replica.note(answer, "cut", "replication")
    # A master that has sent its snapshot without a file goes on when the replica says that it has it.
    wait_for_replica(server, "state=online")
    acknowledge(replica, 0)
    writer.call("SELECT", "3")
    writer.call("SET", "after", "1")
    writer.call("INCR", "after")
    while True:
        name, *arguments = replica.client.read()
        replica.note(
            {"command": name.decode().upper(), "args": [json_string(word) for word in arguments]}, "replication"
        )
        if name.upper() == b"INCR":
            break
    acknowledge(replica, 100)
    wait_for_replica(server, "offset=100")
    run.stop()
    check(run, writer, replica)


def wait_for_replica(server, field):
    deadline = time.monotonic() + 10
    with server.client() as asking:
        while field not in info(asking, "replication").get("slave0", "").split(","):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def acknowledge(replica, offset):
    replica.client.send(command("REPLCONF", "ACK", offset))
    replica.note({"command": "REPLCONF", "args": ["ACK", str(offset)]}, "no_reply", "replication")


def read_snapshot(client):
    """The snapshot behind its head: of a length, or up to a mark. Line feeds may stand before it, and no CRLF behind it."""
    head = client.read_line().lstrip(b"\n")
    if head.startswith(b"$EOF:"):
        return client.read_to(head[5:])
    return client.read_bytes(int(head[1:]))


def test_a_cluster_and_its_bus(redis, capture, tmp_path):
    buses = [free_port(), free_port()]
    nodes = [
        redis("--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000") for bus in buses
    ]
    stream = tmp_path / "exchanges.tap"
    ports = [node.port for node in nodes] + buses
    options = [word for port in ports for word in ("--port", port)]
    run = capture(options, [RESP, ["tee", str(stream)], JSON])
    first, second = (Talk(node.port) for node in nodes)
    # Slot 15495 is that of `a`, 3300 that of `b`.
    first.call("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
    second.call("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
    first.call("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, buses[1])
    deadline = time.monotonic() + 20
    for node in nodes:
        with node.client() as asking:
            while b"cluster_state:ok" not in asking.call("CLUSTER", "INFO"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
    assert first.call("GET", "a") == b"MOVED 15495 127.0.0.1:%d" % nodes[1].port
    assert second.call("SET", "a", "1") == b"OK"
    identifiers = [talk.call("CLUSTER", "MYID").decode() for talk in (first, second)]
    first.call("CLUSTER", "SETSLOT", "15495", "IMPORTING", identifiers[1])
    second.call("CLUSTER", "SETSLOT", "15495", "MIGRATING", identifiers[0])
    assert second.call("GET", "{a}x") == b"ASK 15495 127.0.0.1:%d" % nodes[0].port
    assert first.call("ASKING") == b"OK"
    assert first.call("SET", "{a}x", "2") == b"OK"
    assert first.call("GET", "{a}x").startswith(b"MOVED ")
    run.stop()
    check(run, first, second)
    # The bus passes through: no exchange on its ports, and its bytes are all there.
    on_bus = {
        frame[1] for frame in tapwire.frames(stream)
        if frame[0] == tapwire.FLOW and {frame[3]["local"][1], frame[3]["remote"][1]} & set(buses)
    }  # fmt: skip
    kinds = Counter(frame[0] for frame in tapwire.frames(stream) if frame[1] in on_bus)
    assert on_bus and kinds[tapwire.EXCHANGE] == 0 and kinds[tapwire.DATA] > 10
    beginnings = {}
    for frame in tapwire.frames(stream):
        if frame[0] == tapwire.DATA and frame[1] in on_bus:
            beginnings.setdefault((frame[1], frame[2]), frame[5])
    assert all(beginning.startswith(b"RCmb") for beginning in beginnings.values())


def test_a_sentinel(redis, capture, tmp_path):
    """What a sentinel asks of the server is decoded as what it is, and so are the commands on its own port."""
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    with server.client() as admin:
        admin.call("CONFIG", "RESETSTAT")
    sentinel = Sentinel(tmp_path / "sentinel", server.port)
    try:
        own = capture(["--port", sentinel.port], [RESP, JSON])
        asking = Talk(sentinel.port)
        assert asking.call("PING") == b"PONG"
        assert asking.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "watched") == [b"127.0.0.1", str(server.port).encode()]
        assert asking.call("SENTINEL", "MASTERS")
        assert isinstance(asking.call("GET", "a"), Error)
        # Two rounds of PING, and its hello.
        time.sleep(3)
        own.stop()
    finally:
        sentinel.stop()
    with server.client() as admin:
        statistics = command_statistics(admin)
    run.stop()
    check(own, asking)
    statistics["INFO"] += 1  # it cannot count itself
    assert {"PING", "INFO", "PUBLISH", "SUBSCRIBE", "CLIENT SETNAME"} <= set(statistics)
    assert counted(run.output, "ingress") == counted(run.output, "egress") == statistics
    for line in lines(run.output):
        if "response_type" in line:
            assert set(line.get("flags", [])) <= {"push"}, line


def test_passwords_in_lines_of_monitor(redis, capture):
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    monitor = Talk(server.port)
    monitor.call("MONITOR")
    for host in ("127.0.0.1", "::1"):
        with Client(server.port, host) as client:
            client.call("MIGRATE", "127.0.0.1", "1", "none", "0", "10", "AUTH", SECRET)
            client.call("EVAL", "return 1", "0", "requirepass", SECRET)
            # The server masks the one itself, and does not know of the other.
            assert b'"AUTH" "(redacted)"' in monitor.message("monitor")
            assert SECRET.encode() in monitor.message("monitor")
    run.stop()
    for exchange in monitor.expected[1:]:
        exchange["response_value"] = exchange["response_value"].replace(SECRET, "(redacted)")
    check(run, monitor)
    with open(run.output) as output:
        assert SECRET not in output.read()
