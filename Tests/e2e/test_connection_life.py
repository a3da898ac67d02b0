# The life of TCP connections: opened, accepted, closed, reset, with time and reason; each socket its own flow.

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time

import pytest

from harness.streams import Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as listener:
        yield listener


def connect(listener):
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]


def sides(recording, listener):
    """The client's and the server's flow of the only connection."""
    port = listener.getsockname()[1]
    clients = [flow for flow in recording.flows.values() if flow.remote[1] == port]
    servers = [flow for flow in recording.flows.values() if flow.local[1] == port]
    assert len(clients) == len(servers) == 1
    return clients[0], servers[0]


def throw_away(end):
    """Closes without a FIN."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


def close_first(first, second):
    first.close()
    assert second.recv(100) == b""
    second.close()


def reset(first, second):
    throw_away(first)
    with pytest.raises(ConnectionResetError):
        second.recv(100)
    second.close()


def leave_unread(first, second):
    """Who closes while bytes wait to be read sends a reset (RFC 2525, 2.17)."""
    second.sendall(b"never read")
    first.recv(1, socket.MSG_PEEK)
    reset_seen = time.monotonic() + 5
    first.close()
    with contextlib.suppress(ConnectionResetError):
        while time.monotonic() < reset_seen and second.recv(100):
            pass
    second.close()


@pytest.mark.parametrize("is_client_first", [True, False], ids=["client", "server"])
@pytest.mark.parametrize("end, reason", [(close_first, "closed"), (reset, "reset"), (leave_unread, "reset")])
@pytest.mark.parametrize("word", [b"", b"word"], ids=["silent", "used"])
def test_how_a_connection_ends(capture, listener, end, reason, is_client_first, word):
    running = capture(["--port", listener.getsockname()[1]])
    before = time.monotonic_ns()
    client, server = connect(listener)
    opened = time.monotonic_ns()
    for source, target in ((client, server), (server, client)):
        source.sendall(word)
        assert target.recv(100) == word if word else True
    end(*((client, server) if is_client_first else (server, client)))
    after = time.monotonic_ns()
    time.sleep(0.1)
    running.stop()
    recording = Recording(running.output)
    flows = sides(recording, listener)
    assert [flow.role for flow in flows] == ["client", "server"]
    for flow in flows:
        assert flow.close == reason
        assert before < flow.opened < opened < flow.closed < after + 100_000_000
        assert recording.process_of(flow)["pid"] == os.getpid()
        assert not flow.preexisting


def test_a_peer_that_vanishes(capture):
    """In a network namespace of its own, where the other side can be cut off."""
    script = """
import socket, subprocess, sys, time
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listener = socket.create_server(("127.0.0.1", 7007))
client = socket.create_connection(("127.0.0.1", 7007))
server, _ = listener.accept()
client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)
client.sendall(b"heard")
assert server.recv(100) == b"heard"
subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
client.sendall(b"unheard")
try:
    client.recv(1)
except OSError as error:
    sys.exit(0 if error.errno in (110, 113, 101) else str(error))
sys.exit("nothing happened")
"""
    running = capture(["--port", "7007"])
    subprocess.run(["unshare", "--net", sys.executable, "-c", script], check=True, timeout=30)
    running.stop()
    recording = Recording(running.output)
    client = recording.flow(recording.flow(7007).remote[1], 7007)
    assert client.bytes(SENT) == b"heardunheard"
    assert client.close == "timed_out"


def test_a_connection_that_is_refused_is_no_flow(capture):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    running = capture(["--port", port])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    running.stop()
    assert Recording(running.output).flows == {}


def test_ten_thousand_connections_of_microseconds(capture, listener):
    port = listener.getsockname()[1]
    running = capture(["--port", port, "--buffer", "64M"])
    count = 10_000
    for number in range(count):
        client, server = connect(listener)
        client.sendall(b"%d" % number)
        assert server.recv(100) == b"%d" % number
        # In turn: orderly, and so that the socket is gone at once and its memory used again.
        if number % 2:
            server.close()
            client.close()
        else:
            throw_away(client)
            server.close()
    time.sleep(0.2)
    running.stop()
    recording = Recording(running.output)
    for end, direction in (("remote", SENT), ("local", RECEIVED)):
        flows = [flow for flow in recording.flows.values() if getattr(flow, end)[1] == port]
        assert sorted(int(flow.bytes(direction)) for flow in flows) == list(range(count))
        for flow in flows:
            assert flow.close == ("closed" if int(flow.bytes(direction)) % 2 else "reset")
    assert len(recording.flows) == 2 * count
    # Both ends of a connection say the same.
    by_client = {flow.local[1]: [] for flow in recording.flows.values() if flow.remote[1] == port}
    for flow in recording.flows.values():
        is_client = flow.remote[1] == port
        by_client[flow.local[1] if is_client else flow.remote[1]].append(
            bytes(flow.bytes(SENT if is_client else RECEIVED))
        )
    assert all(sorted(words)[::2] == sorted(words)[1::2] for words in by_client.values())


def test_connections_from_before_in_another_network_namespace(capture, tmp_path):
    """Two listeners share a port, and one has gone; nothing moves: all that is known is what the kernel keeps."""
    script = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
listeners = []
for _ in range(2):
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("::", 7008))
    listener.listen(20)
    listeners.append(listener)
clients = [socket.create_connection(("127.0.0.1", 7008)) for _ in range(8)]
servers = []
for listener in listeners:
    listener.setblocking(False)
    while True:
        try:
            servers.append(listener.accept()[0])
        except BlockingIOError:
            break
assert len(servers) == 8
listeners[0].close()
print("ready", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"ready\n"
        running = capture(["--port", "7008"])
        running.stop()
    finally:
        holder.communicate(timeout=10)
    recording = Recording(running.output)
    roles = {"client": [], "server": []}
    for flow in recording.flows.values():
        roles[flow.role].append(flow)
        assert flow.preexisting and flow.opened is None and flow.close == "capture_ended"
        assert recording.process_of(flow)["pid"] == holder.pid
    assert len(roles["client"]) == len(roles["server"]) == 8
    assert {flow.remote for flow in roles["client"]} == {flow.local for flow in roles["server"]} == {("127.0.0.1", 7008)}
    assert {flow.local for flow in roles["client"]} == {flow.remote for flow in roles["server"]}
