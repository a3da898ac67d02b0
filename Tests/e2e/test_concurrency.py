# Many connections at once, and clients that use a connection in the ways that real ones do.

import selectors
import socket

import pytest

from harness.exchanges import by_client, expected_exchange, seen_exchange
from harness.load import run_in_threads, value_for
from harness.pipeline import JSON, RESP
from harness.resp import Client, Simple, command

pytestmark = pytest.mark.live


def check(run, expected):
    """`expected`: exchanges of each client address, in order. Both sides show them all, whole and beyond doubt."""
    for direction in ("ingress", "egress"):
        seen = by_client(run.output, direction)
        for address, exchanges in expected.items():
            shown = seen.get(address, [])
            assert [seen_exchange(exchange) for exchange in shown] == exchanges, (direction, address)
            assert not any(exchange.get("flags") for exchange in shown), (direction, address)
            assert all(exchange["latency_ns"] >= 0 for exchange in shown)


def test_two_hundred_connections_at_once(redis, capture):
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    clients = [server.client() for _ in range(200)]
    expected = {client.address: [] for client in clients}
    for round in range(20):
        commands = []
        for number, client in enumerate(clients):
            key = b"key:%d:%d" % (number, round)
            commands.append([("SET", key, value_for(key, 10 + number)), ("GET", key)])
        # All of them have a pipeline under way before the first reply is read.
        for client, pair in zip(clients, commands):
            client.send(b"".join(command(*arguments) for arguments in pair))
        for client, pair in zip(clients, commands):
            expected[client.address] += [expected_exchange(arguments, client.read()) for arguments in pair]
    for client in clients:
        client.close()
    run.stop()
    check(run, expected)


def test_one_thread_sends_while_another_reads(redis, capture):
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    client = server.client()
    commands = []
    for number in range(3000):
        key = b"key:%d" % number
        commands += [("SET", key, value_for(key, number % 700)), ("GET", key)]
    replies = []
    address = client.address

    def send():
        for arguments in commands:
            client.send(command(*arguments))

    def receive():
        replies.extend(client.read() for _ in commands)

    run_in_threads([send, receive])
    client.close()
    run.stop()
    check(run, {address: [expected_exchange(*pair) for pair in zip(commands, replies)]})


def test_writes_cut_short_by_a_full_socket_buffer(redis, capture):
    """A non-blocking client: the kernel takes a part of each write, and only that part was sent."""
    server = redis()
    run = capture(["--port", server.port, "--buffer", "64M"], [RESP, JSON])
    client = Client(server.port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.socket.setblocking(False)
    address = client.address
    commands = []
    for number in range(300):
        key = b"key:%d" % number
        commands += [("SET", key, value_for(key, 50_000)), ("GET", key)]
    unsent = memoryview(b"".join(command(*arguments) for arguments in commands))
    received, short_writes = bytearray(), 0
    wanted = sum(5 + len(b"$50000\r\n") + 50_002 for _ in range(300))
    selector = selectors.DefaultSelector()
    selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
    while len(received) < wanted:
        for _, ready in selector.select(10):
            if ready & selectors.EVENT_WRITE and unsent:
                sent = client.socket.send(unsent)
                short_writes += sent < len(unsent)
                unsent = unsent[sent:]
                if not unsent:
                    selector.modify(client.socket, selectors.EVENT_READ)
            if ready & selectors.EVENT_READ:
                received += client.socket.recv(1 << 16)
    client.close()
    run.stop()
    assert short_writes > 100, "the test did not do what it is for"
    expected = [
        expected_exchange(arguments, Simple(b"OK") if arguments[0] == "SET" else value_for(arguments[1], 50_000))
        for arguments in commands
    ]
    check(run, {address: expected})
