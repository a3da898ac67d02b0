# Unix stream sockets: the same books and the same truth as for TCP, with names, roles and the process at the other end.

import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter

import pytest

from harness import system_calls as calls
from harness import tapwire
from harness.exchanges import command_statistics, counted, exchanges
from harness.pipeline import JSON, RESP
from harness.stalled import Stalled, agrees, transfer
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live

SENDING = (calls.WRITE, calls.WRITEV, calls.PWRITEV2, calls.SENDTO, calls.SENDMSG)
RECEIVING = (calls.READ, calls.READV, calls.PREADV2, calls.RECVFROM, calls.RECVMSG)


def connect(listener, bind=None):
    client = socket.socket(socket.AF_UNIX)
    if bind:
        client.bind(bind)
    client.connect(listener.getsockname())
    return client, listener.accept()[0]


def listen(name):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(100)
    return listener


@pytest.fixture
def listener(tmp_path):
    with listen(str(tmp_path / "socket")) as listener:
        yield listener


def ours(recording, name):
    """The flows of this process at the sockets of that name, clients first."""
    return sorted(
        (
            flow
            for flow in recording.flows.values()
            if flow.transport == "unix" and name in (flow.local[0], flow.remote[0])
        ),
        key=lambda flow: (flow.role, flow.id),
    )


def capture_this_process(capture):
    return capture(["--pid", os.getpid()])


def test_each_form_of_sending_and_receiving(capture, listener):
    generator = random.Random(20281)
    running = capture_this_process(capture)
    client, server = connect(listener)
    moved = {SENT: b"", RECEIVED: b""}
    with client, server:
        for sending in SENDING:
            for receiving in RECEIVING:
                for size in (1, 64, 65, 4097, 33000):
                    pieces = generator.randint(1, 5)
                    for source, target, direction in ((client, server, SENT), (server, client, RECEIVED)):
                        data = generator.randbytes(size)
                        assert calls.send(sending, source.fileno(), data, pieces) == size
                        received = b""
                        while len(received) < size:
                            received += calls.receive(receiving, target.fileno(), size - len(received), pieces)
                        assert received == data
                        moved[direction] += data
    time.sleep(0.5)
    running.stop()
    recording = Recording(running.output)
    at_client, at_server = ours(recording, listener.getsockname())
    assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == moved[SENT]
    assert at_client.bytes(RECEIVED) == at_server.bytes(SENT) == moved[RECEIVED]
    assert not at_client.preexisting and not at_server.preexisting
    assert at_client.close == at_server.close == "closed"


# Nobody's name, a path, an abstract one, as client and as server.
NAMES = [(None, "path"), (None, "\0abstract"), ("path of the client", "path"), ("\0of the client", "\0of the server")]


@pytest.mark.parametrize("is_open_before", [False, True], ids=["new", "preexisting"])
@pytest.mark.parametrize("of_client, of_server", NAMES)
def test_names_and_roles(capture, tmp_path, of_client, of_server, is_open_before):
    def name(text):
        return text and (f"{text}{os.getpid()}" if text.startswith("\0") else str(tmp_path / text))

    with listen(name(of_server)) as listener:
        running = None if is_open_before else capture_this_process(capture)
        client, server = connect(listener, name(of_client))
        running = running or capture_this_process(capture)
        with client, server:
            client.sendall(b"question")
            assert server.recv(100) == b"question"
            running.stop()
    at_client, at_server = ours(Recording(running.output), name(of_server))
    assert (at_client.role, at_server.role) == ("client", "server")
    assert at_client.remote == at_server.local == (name(of_server), None)
    assert at_client.local == at_server.remote == (name(of_client) or "", None)
    assert at_client.peer_pid == at_server.peer_pid == os.getpid()
    assert at_client.preexisting == at_server.preexisting == is_open_before
    assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == b"question"
    assert at_client.close == at_server.close == "capture_ended"


def test_a_client_that_the_kernel_names(capture, listener):
    """Who asks for credentials before connecting gets a name of its own (autobind)."""
    running = capture_this_process(capture)
    with socket.socket(socket.AF_UNIX) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        client.connect(listener.getsockname())
        with listener.accept()[0] as server:
            client.sendall(b"x")
            assert server.recv(1) == b"x"
            running.stop()
            name = client.getsockname().decode()
    at_client, at_server = ours(Recording(running.output), listener.getsockname())
    assert (at_client.role, at_server.role) == ("client", "server")
    assert at_client.local[0] == at_server.remote[0] == name and name[0] == "\0"


def test_a_socketpair_has_no_roles(capture):
    running = capture_this_process(capture)
    first, second = socket.socketpair()
    with first, second:
        first.sendall(b"to the second")
        assert second.recv(100) == b"to the second"
    running.stop()
    flows = [flow for flow in Recording(running.output).flows.values() if not flow.preexisting]
    assert [(flow.role, flow.local[0], flow.remote[0]) for flow in flows] == [("unknown", "", "")] * 2
    assert flows[0].bytes(SENT) == flows[1].bytes(RECEIVED) == b"to the second"


def test_the_process_at_the_other_end(capture, listener):
    running = capture_this_process(capture)
    script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'x'); s.recv(1)"
    client = subprocess.Popen([sys.executable, "-c", script, listener.getsockname()])
    with listener.accept()[0] as server:
        assert server.recv(1) == b"x"
        server.sendall(b"y")
    assert client.wait() == 0
    running.stop()
    recording = Recording(running.output)
    at_client, at_server = ours(recording, listener.getsockname())
    assert recording.process_of(at_client)["pid"] == at_server.peer_pid == client.pid
    assert recording.process_of(at_server)["pid"] == at_client.peer_pid == os.getpid()


def test_an_idle_connection_from_before_is_described_with_its_owner(capture, listener):
    client, server = connect(listener)
    with client, server:
        running = capture_this_process(capture)
        running.stop()
    recording = Recording(running.output)
    flows = ours(recording, listener.getsockname())
    assert [flow.role for flow in flows] == ["client", "server"]
    assert all(flow.preexisting and recording.process_of(flow)["pid"] == os.getpid() for flow in flows)


def test_half_a_close_is_no_end(capture, listener):
    running = capture_this_process(capture)
    client, server = connect(listener)
    with client, server:
        client.sendall(b"all of it")
        client.shutdown(socket.SHUT_WR)
        assert server.recv(100) == b"all of it" and server.recv(1) == b""
        time.sleep(0.3)
        server.sendall(b"answer")
        assert client.recv(100) == b"answer"
    running.stop()
    at_client, at_server = ours(Recording(running.output), listener.getsockname())
    assert at_client.bytes(RECEIVED) == at_server.bytes(SENT) == b"answer"
    assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == b"all of it"
    assert at_client.close == at_server.close == "closed"


def test_an_end_is_told_while_the_capture_runs(capture, listener):
    running = capture_this_process(capture)
    client, server = connect(listener)
    with client, server:
        client.sendall(b"x")
        assert server.recv(1) == b"x"
    closed = set()
    deadline = time.monotonic() + 10
    while len(closed) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        # Frames leave whole: what stands there already can be read.
        closed = {frame[1] for frame in tapwire.frames(running.output) if frame[0] == tapwire.CLOSE}
    running.stop()
    assert closed <= {flow.id for flow in ours(Recording(running.output), listener.getsockname())}


def test_thousands_of_short_connections(capture, listener):
    running = capture_this_process(capture)
    count = 3000
    for number in range(count):
        client, server = connect(listener)
        client.sendall(b"%d" % number)
        assert server.recv(100) == b"%d" % number
        client.close()
        server.close()
    running.stop()
    flows = ours(Recording(running.output), listener.getsockname())
    clients, servers = flows[:count], flows[count:]
    assert [flow.bytes(SENT) for flow in clients] == [flow.bytes(RECEIVED) for flow in servers]
    assert sorted(int(flow.bytes(SENT)) for flow in clients) == list(range(count))
    assert len(flows) == 2 * count and all(flow.close == "closed" for flow in flows)


def test_sendfile_is_a_gap_of_exact_size(capture, listener, tmp_path):
    content = random.Random(20282).randbytes(50_000)
    (tmp_path / "file").write_bytes(content)
    running = capture_this_process(capture)
    client, server = connect(listener)
    with client, server:
        client.sendall(b"head")
        assert calls.send_file(client.fileno(), tmp_path / "file", len(content)) == len(content)
        client.sendall(b"tail")
        received = b""
        while len(received) < len(content) + 8:
            received += server.recv(1 << 20)
    running.stop()
    at_client, at_server = ours(Recording(running.output), listener.getsockname())
    assert at_client.runs[SENT] == [bytearray(b"head"), Missing(len(content), "sendfile"), bytearray(b"tail")]
    assert at_server.bytes(RECEIVED) == received == b"head" + content + b"tail"


def test_bytes_that_are_spliced_away_are_a_gap_before_the_next_and_at_the_end(capture, listener):
    running = capture_this_process(capture)
    client, server = connect(listener)
    with client, server:
        for word in (b"first", b"second"):
            client.sendall(word + b"(unseen)")
            assert server.recv(len(word)) == word
            assert calls.splice_away(server.fileno(), 8) == b"(unseen)"
        client.sendall(b"(not seen either)")
        client.shutdown(socket.SHUT_WR)
        assert calls.splice_away(server.fileno(), 17) == b"(not seen either)"
        assert server.recv(1) == b""
    running.stop()
    at_client, at_server = ours(Recording(running.output), listener.getsockname())
    assert at_client.bytes(SENT) == b"first(unseen)second(unseen)(not seen either)"
    assert at_server.runs[RECEIVED] == [
        bytearray(b"first"), Missing(8, "not_captured"), bytearray(b"second"), Missing(25, "not_captured"),
    ]  # fmt: skip


def test_bytes_that_are_spliced_away_where_only_servers_are_captured(capture, listener):
    """What came in is known from the other end, which is left out."""
    running = capture(["--pid", os.getpid(), "--direction", "ingress"])
    client, server = connect(listener)
    with client, server:
        client.sendall(bytes(3000))
        assert calls.splice_away(server.fileno(), 3000) == bytes(3000)
        client.sendall(b"end")
        assert server.recv(100) == b"end"
    running.stop()
    (at_server,) = ours(Recording(running.output), listener.getsockname())
    assert at_server.runs[RECEIVED] == [Missing(3000, "not_captured"), bytearray(b"end")]


def test_a_flag_that_unix_sockets_ignore(capture, listener):
    """MSG_TRUNC drops what TCP receives; here it means nothing."""
    running = capture_this_process(capture)
    client, server = connect(listener)
    with client, server:
        client.sendall(b"text")
        assert server.recv(100, socket.MSG_TRUNC) == b"text"
    running.stop()
    _, at_server = ours(Recording(running.output), listener.getsockname())
    assert at_server.bytes(RECEIVED) == b"text"


def test_a_descriptor_that_is_passed_on(capture, listener):
    """SCM_RIGHTS: the connection goes on in another process, and its bytes are that process's."""
    running = capture_this_process(capture)
    client, server = connect(listener)
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        client.close()
        server.close()
        _, (descriptor,), _, _ = socket.recv_fds(there, 1, 1)
        with socket.socket(fileno=descriptor) as passed:
            passed.sendall(b" child")
        os._exit(0)
    server.sendall(b"parent")
    socket.send_fds(here, [b"."], [server.fileno()])
    assert os.waitpid(child, 0)[1] == 0
    with client, server, here, there:
        assert client.recv(100) == b"parent child"
    running.stop()
    recording = Recording(running.output)
    _, at_server = ours(recording, listener.getsockname())
    assert at_server.bytes(SENT) == b"parent child"
    assert {recording.processes[user]["pid"] for user in at_server.users} == {os.getpid(), child}


def test_a_descriptor_that_nobody_has_open_for_a_while(capture, listener):
    """Its connection is no other one when it comes out of the queue in which it waited."""
    running = capture_this_process(capture)
    client, server = connect(listener)
    here, there = socket.socketpair()
    with client, here, there:
        server.sendall(b"before")
        socket.send_fds(here, [b"."], [server.fileno()])
        server.close()
        time.sleep(0.5)
        _, (descriptor,), _, _ = socket.recv_fds(there, 1, 1)
        with socket.socket(fileno=descriptor) as passed:
            passed.sendall(b" after")
            assert client.recv(100) == b"before after"
    running.stop()
    at_client, at_server = ours(Recording(running.output), listener.getsockname())
    assert at_server.bytes(SENT) == at_client.bytes(RECEIVED) == b"before after"


IN_ANOTHER_NAMESPACE = """
import socket, sys, time
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    for text in (b"short", b"long"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(sys.argv[1])
        server = listener.accept()[0]
        client.sendall(text)
        assert server.recv(100) == text
        if text == b"short":
            client.close()
            server.close()
    time.sleep(0.5)
    server.sendall(b"still there")
    assert client.recv(100) == b"still there"
    time.sleep(0.3)
"""


def test_another_network_namespace(capture, tmp_path):
    """Ends are seen there, too, and what is open is not taken for closed."""
    name = str(tmp_path / "socket")
    running = capture(["--pid", os.getpid()])
    subprocess.run(["unshare", "--net", sys.executable, "-c", IN_ANOTHER_NAMESPACE, name], check=True, timeout=30)
    running.stop()
    recording = Recording(running.output)
    flows = ours(recording, name)
    assert sorted(flow.bytes(SENT) for flow in flows) == [b"", b"long", b"short", b"still there"]
    assert sorted(flow.bytes(RECEIVED) for flow in flows) == [b"", b"long", b"short", b"still there"]
    assert recording.totals["untracked_bytes"] == 0
    assert {flow.close for flow in flows} <= {"closed", "capture_ended"}
    assert {flow.close for flow in flows if b"short" in (flow.bytes(SENT), flow.bytes(RECEIVED))} == {"closed"}


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
def test_the_books_of_a_reader_that_stalls(tmp_path, listener, is_closed):
    stalled = Stalled(tmp_path, ["--pid", os.getpid(), "--buffer", "256K"])
    pairs, moved = [], []
    # One of which most is lost, then many of which hardly anything, or nothing at all, finds room.
    for number in range(30):
        pairs.append(connect(listener))
        moved.append(transfer(pairs[-1], 100_000 if number else 8_000_000, random.Random(number)))
        if is_closed:
            for end in pairs[-1]:
                end.close()
    recording = stalled.read()
    for pair in pairs:
        for end in pair:
            end.close()
    flows = ours(recording, listener.getsockname())
    for flow, data in zip(flows, moved * 2, strict=True):
        assert agrees(flow.runs[SENT if flow.role == "client" else RECEIVED], data)
        runs = flow.runs[SENT] + flow.runs[RECEIVED]
        assert {run.reason for run in runs if isinstance(run, Missing)} <= {"ring_full"}
        assert flow.close == ("closed" if is_closed else "capture_ended")
        assert recording.process_of(flow)["pid"] == os.getpid()
    assert flows[0].missing_bytes > 1_000_000
    assert any(flow.captured_bytes == 0 for flow in flows)


def test_without_a_port_filter_only(capture, listener, redis):
    server = redis()
    running = capture(["--pid", os.getpid(), "--port", server.port])
    client, accepted = connect(listener)
    with client, accepted:
        client.sendall(b"x")
        assert accepted.recv(1) == b"x"
    running.stop()
    assert ours(Recording(running.output), listener.getsockname()) == []


# The last is for emulated processors.
@pytest.mark.parametrize("depth, value_bytes, requests", [(1, 3, 8000), (16, 1024, 8000), (4, 100, 500)])
def test_every_command_is_counted_on_both_sides(redis, capture, tmp_path, depth, value_bytes, requests):
    path = tmp_path / "redis.sock"
    server = redis("--unixsocket", path)
    stream = tmp_path / "exchanges.tap"
    run = capture(["--pid", os.getpid(), "--buffer", "256M"], [RESP, ["tee", str(stream)], JSON])
    with server.client() as admin:
        admin.call("CONFIG", "RESETSTAT")
        subprocess.run(
            ["redis-benchmark", "-s", path, "-c", "50", "-q", "-P", str(depth), "-d", str(value_bytes)]
            + ["-n", str(requests), "-t", "set,get,lpush,mset"],
            stdout=subprocess.DEVNULL, check=True, timeout=120,
        )  # fmt: skip
        for number in range(20):
            asked = subprocess.run(["redis-cli", "-s", path, "INCR", "n"], capture_output=True, check=True)
            assert int(asked.stdout) == number + 1
        statistics = command_statistics(admin)
    run.stop()
    assert statistics["SET"] == statistics["GET"] == statistics["MSET"] == requests and statistics["INCR"] == 20
    statistics["INFO"] += 1  # it cannot count itself
    kinds = Counter(frame[0] for frame in tapwire.frames(stream))
    assert kinds[tapwire.GAP] == 0
    for direction in ("ingress", "egress"):
        assert counted(run.output, direction) == statistics, direction
    assert not [exchange for exchange in exchanges(run.output) if exchange.get("flags")]
    seen = [exchange for exchange in exchanges(run.output) if exchange["command"] == "INCR"]
    assert {exchange["server"] for exchange in seen} == {str(path)}
    assert {exchange["client"] for exchange in seen} == {None}
    assert {exchange["process"]["comm"] for exchange in seen} == {"redis-cli", "redis-server"}
    at_server = {exchange["peer_pid"] for exchange in seen if exchange["direction"] == "ingress"}
    assert len(at_server) == 20
    assert at_server == {exchange["process"]["pid"] for exchange in seen if exchange["direction"] == "egress"}
