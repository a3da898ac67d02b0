# --protocol: a flow of another protocol is dismissed by its first bytes, and only where they leave no doubt.

import contextlib
import os
import socket

import pytest

from harness.streams import Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live

C, S = "client", "server"
HELLO = bytes.fromhex("16030100c5010000c10303") + bytes(range(189))
SETTINGS = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GREETING = b"J\0\0\0\x0a8.0.36\0" + bytes(65)

# name: what is said in turn, and which filters keep it.
CONVERSATIONS = {
    "redis": ([(C, b"*1\r\n$4\r\nPING\r\n"), (S, b"+PONG\r\n")], {"redis"}),
    "redis, the type byte alone": ([(C, b"*"), (C, b"1\r\n$4\r\nping\r\n"), (S, b"+PONG\r\n")], {"redis"}),
    "redis behind empty lines": ([(C, b"\r\n\r\n"), (C, b"*1\r\n$4\r\nPING\r\n"), (S, b"+PONG\r\n")], {"redis"}),
    "redis, inline": ([(C, b"PING\r\n"), (S, b"+PONG\r\n")], {"redis"}),
    "redis, inline, in bytes": ([(C, b"G"), (C, b"E"), (C, b"T x\r\n"), (S, b"$"), (S, b"1\r\nx\r\n")], {"redis"}),
    "redis, inline, quoted": ([(C, b'"GET" "/"\r\n'), (S, b"$-1\r\n")], {"redis"}),
    "redis, a key like a path": ([(C, b"GET /index.html\r\n"), (S, b"$-1\r\n")], {"redis"}),
    "redis, a null": ([(C, b"get x\r\n"), (S, b"_"), (S, b"\r\n")], {"redis"}),
    "redis, attributes": ([(C, b"get x\r\n"), (S, b"|1\r\n+ttl\r\n:3600\r\n$1\r\nx\r\n")], {"redis"}),
    "redis refuses": ([(S, b"-DENIED Redis is running in protected mode\r\n")], {"redis"}),
    "http": ([(C, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (S, b"HTTP/1.1 204 No Content\r\n\r\n")], {"http"}),
    "http, in pieces": ([(C, b"GE"), (C, b"T / HTTP/1.1\r\n\r\n"), (S, b"HT"), (S, b"TP/1.1 200 OK\r\n")], {"http"}),
    "http, a long target": ([(C, b"GET /" + b"a" * 500 + b" HTTP/1.1\r\n\r\n"), (S, b"HTTP/1.0 200 OK\r\n")], {"http"}),
    "http, an upload": ([(C, b"PUT /x HTTP/1.1\r\nContent-Length: 9999\r\n\r\n"), (C, b"x" * 999)], {"http"}),
    "http, lower case": ([(C, b"get / HTTP/1.1\r\n\r\n"), (S, b"HTTP/1.1 501 Not Implemented\r\n")], {"http"}),
    "http/2": ([(C, PREFACE + SETTINGS), (S, SETTINGS)], {"http"}),
    "http/2, in pieces": ([(C, PREFACE[:5]), (C, PREFACE[5:]), (S, SETTINGS[:2]), (S, SETTINGS[2:])], {"http"}),
    "http/2, the server first": ([(S, SETTINGS), (C, PREFACE)], {"http"}),
    "tls": ([(C, HELLO), (S, b"\x16\x03\x03\0\x7a\x02")], set()),
    "tls, the type byte alone": ([(C, HELLO[:1]), (C, HELLO[1:])], set()),
    "memcached": ([(C, b"get foo\r\n"), (S, b"END\r\n")], set()),
    "ssh": ([(S, b"SSH-2.0-OpenSSH_9.2\r\n"), (C, b"SSH-2.0-x\r\n")], set()),
    "smtp": ([(S, b"220 mail.example.org ESMTP\r\n"), (C, b"EHLO x\r\n")], set()),
    "mysql": ([(S, GREETING), (C, b"\x20\0\0\x01\x85\xa6")], set()),
    "postgresql": ([(C, b"\0\0\0\x08\x04\xd2\x16\x2f"), (S, b"N")], set()),
    # Looks like RESP: what may be Redis is kept.
    "pop3": ([(S, b"+OK POP3\r\n"), (C, b"USER x\r\n"), (S, b"+OK\r\n")], {"redis"}),
}
MARKS = {C: b"the client goes on ", S: b"the server goes on "}


def say(sender, receiver, data, by_writev):
    if by_writev:
        # The first piece is empty, the second one short.
        assert sender.sendmsg([b"", data]) == len(data)
    else:
        sender.sendall(data)
    received = bytearray()
    while len(received) < len(data):
        received += receiver.recv(1 << 16)
    assert received == data


@contextlib.contextmanager
def connections(listener, count):
    with contextlib.ExitStack() as stack:
        pairs = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(listener.getsockname()))
            pairs.append((client, stack.enter_context(listener.accept()[0])))
        yield pairs


@pytest.mark.parametrize("by_writev", [False, True], ids=["send", "sendmsg"])
@pytest.mark.parametrize("wanted", ["redis", "http", "redis,http", "redis,any"])
def test_first_bytes(capture, wanted, by_writev):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        running = capture(["--port", port, "--protocol", wanted])
        ports = {}
        with connections(listener, len(CONVERSATIONS)) as pairs:
            for (name, (steps, _)), (client, server) in zip(CONVERSATIONS.items(), pairs):
                ports[name] = client.getsockname()[1]
                for side, data in [*steps, (C, MARKS[C] * 100), (S, MARKS[S] * 100)]:
                    say(*((client, server) if side == C else (server, client)), data, by_writev)
            # Some are open at the end of the capture.
            for client, server in pairs[::2]:
                client.close()
                server.close()
            running.stop()
    recording = Recording(running.output)
    dismissed_flows = dismissed_bytes = 0
    for name, (steps, kept_by) in CONVERSATIONS.items():
        said = {side: b"".join(d for s, d in steps if s == side) + MARKS[side] * 100 for side in (C, S)}
        for side, local, remote in ((C, ports[name], port), (S, port, ports[name])):
            mine, theirs = said[side], said[S if side == C else C]
            flows = [f for f in recording.flows.values() if (f.local[1], f.remote[1]) == (local, remote)]
            if "any" in wanted or kept_by & set(wanted.split(",")):
                (flow,) = flows
                assert (flow.bytes(SENT), flow.bytes(RECEIVED)) == (mine, theirs), name
                assert flow.close in ("closed", "capture_ended")
                continue
            dismissed_flows += 1
            dismissed_bytes += len(mine) + len(theirs)
            # The beginning may have been recorded while it was undecided; then a close frame tells the end.
            for flow in flows:
                assert flow.close == "dismissed", name
                assert mine.startswith(flow.bytes(SENT)) and theirs.startswith(flow.bytes(RECEIVED))
                assert MARKS[C] not in flow.bytes(SENT) + flow.bytes(RECEIVED), name
                dismissed_bytes -= flow.captured_bytes
    assert recording.totals.get("dismissed_flows", 0) == dismissed_flows
    assert recording.totals.get("dismissed_bytes", 0) == dismissed_bytes


def test_a_connection_that_was_open_before_stays(capture):
    """Its first bytes are not known: these may be anything, also inside of a Redis value."""
    with socket.create_server(("127.0.0.1", 0)) as listener, connections(listener, 1) as [(client, server)]:
        say(client, server, b"*1\r\n$4\r\nPING\r\n", False)
        running = capture(["--port", listener.getsockname()[1], "--protocol", "redis"])
        say(client, server, HELLO, False)
        say(server, client, b"HTTP/1.1 200 OK\r\n\r\n", False)
        recording = Recording(running.stop().output)
    assert len(recording.flows) == 2
    assert recording.totals["data_bytes"] == 2 * (len(HELLO) + 19)
    assert "dismissed_flows" not in recording.totals


def test_first_bytes_that_cannot_be_seen_prove_nothing(capture, tmp_path):
    """The beginning comes out of a file: what follows is in the middle of something."""
    path = tmp_path / "beginning"
    path.write_bytes(b"*2\r\n$3\r\nGET\r\n$9\r\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        running = capture(["--port", port, "--protocol", "redis", "--direction", "egress"])
        with connections(listener, 1) as [(client, server)]:
            with open(path, "rb") as file:
                assert os.sendfile(client.fileno(), file.fileno(), 0, 100) == 17
            assert server.recv(100) == path.read_bytes()
            say(client, server, b"\x16\x03\x01 key!\r\n", False)
            say(server, client, b"$-1\r\n", False)
        recording = Recording(running.stop().output)
    (flow,) = recording.flows.values()
    assert flow.captured_bytes + flow.missing_bytes == 17 + 10 + 5
    assert flow.close == "closed"
