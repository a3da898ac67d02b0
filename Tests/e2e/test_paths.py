# Odd ways in which bytes move: what a capture cannot read is a gap of exact size with its reason, and no byte is wrong.

import ctypes
import fcntl
import os
import random
import socket
import struct
import threading
import time
from collections import Counter

import pytest

from harness import io_uring
from harness import system_calls as calls
from harness.exchanges import command_statistics, counted, exchanges
from harness.pipeline import ENGINE, JSON, RESP
from harness.resp import command
from harness.stalled import Stalled, agrees
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def ring():
    ring = io_uring.Ring()
    yield ring
    ring.close()


def connect(listener):
    client = socket.create_connection(listener.getsockname())
    return client, listener.accept()[0]


def sides(recording, client, server):
    ports = client.getsockname()[1], server.getsockname()[1]
    return recording.flow(*ports), recording.flow(*reversed(ports))


def receive_all(end, length):
    data = b""
    while len(data) < length:
        data += end.recv(1 << 20)
    return data


class ThirtyTwoBits:
    """Calls by `int 0x80`, as 32-bit programs make them; code and buffers lie below 4 GiB."""

    WRITE, READ = 4, 3

    def __init__(self):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
        everything, private_anonymous_below_2g = 7, 0x62
        self._page = self._libc.mmap(None, 8192, everything, private_anonymous_below_2g, -1, 0)
        assert 0 < self._page < 1 << 31

    def call(self, number, descriptor, length):
        """The result of the call with the buffer."""
        registers = struct.pack(
            "<BBIBIBIBI", 0x53, 0xB8, number, 0xBB, descriptor, 0xB9, self._page + 4096, 0xBA, length
        )  # push rbx; mov eax, ebx, ecx, edx
        code = registers + b"\xcd\x80\x5b\x48\x98\xc3"  # int 0x80; pop rbx; cdqe; ret
        ctypes.memmove(self._page, code, len(code))
        return ctypes.CFUNCTYPE(ctypes.c_long)(self._page)()

    @property
    def buffer(self):
        return (ctypes.c_char * 4096).from_address(self._page + 4096)

    def close(self):
        self._libc.munmap(ctypes.c_void_p(self._page), ctypes.c_size_t(8192))


def test_calls_of_32_bits(capture, listener):
    running = capture(["--port", listener.getsockname()[1]])
    client, server = connect(listener)
    caller = ThirtyTwoBits()
    with client, server:
        for word in (b"first", b"and second"):
            caller.buffer[: len(word)] = word
            assert caller.call(caller.WRITE, client.fileno(), len(word)) == len(word)
        client.sendall(b" of 64 bits")
        assert caller.call(caller.READ, server.fileno(), 15) == 15
        assert caller.buffer[:15] == b"firstand second"
        assert server.recv(100) == b" of 64 bits"
        running.stop()
        at_client, at_server = sides(Recording(running.output), client, server)
    caller.close()
    if ENGINE == "fentry":
        assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == b"firstand second of 64 bits"
    else:
        expected = [Missing(15, "compat_call"), bytearray(b" of 64 bits")]
        assert at_client.runs[SENT] == at_server.runs[RECEIVED] == expected


@pytest.mark.parametrize("by_worker", [False, True], ids=["task work", "worker"])
def test_both_ends_by_io_uring(capture, listener, ring, by_worker):
    generator = random.Random(20271)
    running = capture(["--port", listener.getsockname()[1]])
    client, server = connect(listener)
    total = b""
    with client, server:
        for _ in range(30):
            data = generator.randbytes(generator.randint(1, 3000))
            buffer = ctypes.create_string_buffer(3000)
            ring.submit_receive(server, buffer, by_worker)
            outgoing = ctypes.create_string_buffer(data, len(data))
            ring.submit_send(client, outgoing, by_worker)
            assert ring.wait() == ring.wait() == len(data)
            assert buffer.raw[: len(data)] == data
            total += data
        client.sendall(b"the end")
        assert server.recv(100) == b"the end"
        running.stop()
        at_client, at_server = sides(Recording(running.output), client, server)
    if ENGINE == "fentry":
        assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == total + b"the end"
    else:
        expected = [Missing(len(total), "io_uring"), bytearray(b"the end")]
        assert at_client.runs[SENT] == at_server.runs[RECEIVED] == expected


def test_a_redis_client_that_uses_io_uring(capture, redis, ring):
    """The server's side shows every command; what is shown of the client's is right, and goes on behind the gaps."""
    generator = random.Random(20272)
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    with server.client() as admin, server.client() as client:
        admin.call("CONFIG", "RESETSTAT")
        for number in range(300):
            words = ["SET", f"key{number}", "x" * generator.randint(1, 2000)]
            data = command(*words)
            if number % 3:
                outgoing, reply = ctypes.create_string_buffer(data, len(data)), ctypes.create_string_buffer(100)
                ring.submit_send(client.socket, outgoing)
                assert ring.wait() == len(data)
                ring.submit_receive(client.socket, reply)
                length = ring.wait()
                assert reply.raw[:length] == b"+OK\r\n"
            else:
                assert client.call(*words) == b"OK"
        statistics = command_statistics(admin)
    run.stop()
    assert statistics["SET"] == 300
    statistics["INFO"] += 1  # it cannot count itself
    assert counted(run.output, "ingress") == statistics
    assert not [exchange for exchange in exchanges(run.output, "ingress") if exchange.get("flags")]
    seen = [exchange for exchange in exchanges(run.output, "egress") if exchange["command"] == "SET"]
    assert len(seen) >= 100
    # A key tells which command it is: what was sent by write(2) is all there, once.
    keys = Counter(exchange["args"][0] for exchange in seen)
    assert all(keys[f"key{number}"] == 1 for number in range(0, 300, 3))
    assert max(keys.values()) == 1


def test_zero_copy(capture, listener):
    """MSG_ZEROCOPY: the bytes stay in the program's memory; the note that they have left it is no data."""
    generator = random.Random(20273)
    running = capture(["--port", listener.getsockname()[1]])
    client, server = connect(listener)
    so_zerocopy, msg_zerocopy = 60, 0x4000000
    client.setsockopt(socket.SOL_SOCKET, so_zerocopy, 1)
    total = b""
    with client, server:
        for _ in range(20):
            data = generator.randbytes(20_000)
            assert client.send(data, msg_zerocopy) == len(data)
            assert receive_all(server, len(data)) == data
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                try:
                    client.recvmsg(100, 100, socket.MSG_ERRQUEUE)
                    break
                except BlockingIOError:
                    time.sleep(0.001)
            total += data
        running.stop()
        at_client, at_server = sides(Recording(running.output), client, server)
    assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == total
    assert at_client.bytes(RECEIVED) == b""


def test_a_receive_that_waits_for_all(capture, listener):
    generator = random.Random(20274)
    running = capture(["--port", listener.getsockname()[1]])
    client, server = connect(listener)
    data = generator.randbytes(300_000)

    def dribble():
        for start in range(0, len(data), 10_000):
            client.sendall(data[start : start + 10_000])
            time.sleep(0.001)

    with client, server:
        sender = threading.Thread(target=dribble)
        sender.start()
        assert server.recv(len(data), socket.MSG_WAITALL) == data
        sender.join()
        running.stop()
        at_client, at_server = sides(Recording(running.output), client, server)
    assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == data


def test_what_is_spliced_into_a_socket_is_a_gap_of_exact_size(capture, listener):
    """Through tee as well: the same pages go to two sockets."""
    running = capture(["--port", listener.getsockname()[1]])
    first, second = connect(listener), connect(listener)
    pipe, copy = os.pipe(), os.pipe()
    try:
        for end in (first, second):
            end[0].sendall(b"before")
        os.write(pipe[1], b"from the pipe")
        tee = 276
        assert calls.call(tee, pipe[0], copy[1], 100, 0) == 13
        for (client, server), source in ((first, pipe), (second, copy)):
            assert calls.call(calls.SPLICE, source[0], 0, client.fileno(), 0, 100, 0) == 13
            client.sendall(b"behind")
            assert receive_all(server, 25) == b"beforefrom the pipebehind"
        running.stop()
        recording = Recording(running.output)
        for end in (first, second):
            at_client, at_server = sides(recording, *end)
            assert at_client.runs[SENT] == [bytearray(b"before"), Missing(13, "sendfile"), bytearray(b"behind")]
            assert at_server.bytes(RECEIVED) == b"beforefrom the pipebehind"
    finally:
        for descriptor in (*pipe, *copy):
            os.close(descriptor)
        for end in (*first, *second):
            end.close()


class Drain:
    """Takes bytes out of a socket by splice(2): no receiving call sees them."""

    def __init__(self):
        self._pipe = os.pipe()
        fcntl.fcntl(self._pipe[1], fcntl.F_SETPIPE_SZ, 1 << 20)
        self._nowhere = os.open("/dev/null", os.O_WRONLY)

    def take(self, end, length):
        while length:
            moved = os.splice(end.fileno(), self._pipe[1], min(length, 1 << 20))
            assert moved > 0
            length -= moved
            while moved:
                moved -= os.splice(self._pipe[0], self._nowhere, moved)

    def close(self):
        for descriptor in (*self._pipe, self._nowhere):
            os.close(descriptor)


@pytest.fixture
def drain():
    drain = Drain()
    yield drain
    drain.close()


def send_much(end, length):
    part = bytes(1 << 20)
    while length:
        length -= end.send(part[:length])


def test_more_is_spliced_away_than_sequence_numbers_count(capture, listener, drain):
    """4.5 GiB between two receives: they begin anew at 4 GiB, and a difference of 2 GiB looks negative."""
    length = 9 << 29
    running = capture(["--port", listener.getsockname()[1], "--direction", "ingress", "--max-bytes", "64"])
    client, server = connect(listener)
    with client, server:
        client.sendall(b"before")
        assert server.recv(100) == b"before"
        sender = threading.Thread(target=send_much, args=(client, length))
        sender.start()
        drain.take(server, length)
        sender.join()
        client.sendall(b"after")
        assert server.recv(100) == b"after"
        ports = client.getsockname()[1], server.getsockname()[1]
    running.stop()
    at_server = Recording(running.output).flow(*reversed(ports))
    assert at_server.runs[RECEIVED] == [bytearray(b"before"), Missing(length, "not_captured"), bytearray(b"after")]


def test_what_is_spliced_away_first_on_a_connection_from_before(capture, listener):
    client, server = connect(listener)
    client.sendall(b"before")
    assert server.recv(100) == b"before"
    running = capture(["--port", listener.getsockname()[1]])
    with client, server:
        client.sendall(bytes(5000))
        assert calls.splice_away(server.fileno(), 5000) == bytes(5000)
        client.sendall(b"after")
        assert server.recv(100) == b"after"
        ports = client.getsockname()[1], server.getsockname()[1]
    running.stop()
    at_server = Recording(running.output).flow(*reversed(ports))
    assert at_server.runs[RECEIVED] == [Missing(5000, "not_captured"), bytearray(b"after")]


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_the_answer_to_half_a_close_of_multipath_tcp(capture, family):
    """The kernel calls the connection closed while what has arrived waits for its reader."""
    host = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}[family]
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as listener:
        listener.bind((host, 0))
        listener.listen()
        running = capture(["--port", listener.getsockname()[1]])
        with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as client:
            client.connect(listener.getsockname())
            with listener.accept()[0] as server:
                ports = client.getsockname()[1], server.getsockname()[1]
                client.sendall(b"question")
                client.shutdown(socket.SHUT_WR)
                assert server.recv(100) == b"question" and server.recv(100) == b""
                server.sendall(b"a" * 5000)
            time.sleep(0.3)
            assert receive_all(client, 5000) == b"a" * 5000
            assert client.recv(100) == b""
        running.stop()
    recording = Recording(running.output)
    at_client, at_server = recording.flow(*ports), recording.flow(*reversed(ports))
    assert at_client.bytes(RECEIVED) == at_server.bytes(SENT) == b"a" * 5000
    assert at_client.close == at_server.close == "closed"
    assert recording.totals["untracked_bytes"] == 0


def test_half_a_close(capture, listener):
    running = capture(["--port", listener.getsockname()[1]])
    client, server = connect(listener)
    with client, server:
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(server, 8) == b"question" and server.recv(1) == b""
        time.sleep(0.1)
        server.sendall(b"a late answer")
        server.shutdown(socket.SHUT_WR)
        assert receive_all(client, 13) == b"a late answer" and client.recv(1) == b""
        ports = client.getsockname()[1], server.getsockname()[1]
    time.sleep(0.1)
    running.stop()
    recording = Recording(running.output)
    at_client, at_server = recording.flow(*ports), recording.flow(*reversed(ports))
    assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == b"question"
    assert at_client.bytes(RECEIVED) == at_server.bytes(SENT) == b"a late answer"
    assert at_client.close == at_server.close == "closed"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_the_books_of_every_path_with_a_reader_that_stalls(tmp_path, ring, family):
    """Whatever moved the bytes: those that are there are right and in their place, and the gaps fill the rest."""
    generator = random.Random(20275)
    (tmp_path / "file").write_bytes(generator.randbytes(30_000))
    content = (tmp_path / "file").read_bytes()
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1", 0) if family == socket.AF_INET else str(tmp_path / "socket"))
        listener.listen()
        stalled = Stalled(tmp_path, ["--pid", os.getpid(), "--buffer", "256K"])
        client = socket.socket(family)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
    sent = b""
    for _ in range(400):
        data = generator.randbytes(generator.randint(1, 20_000))
        buffer = ctypes.create_string_buffer(data, len(data))
        way = generator.choice(["send", "many", "ring", "file"])
        if way == "send":
            client.sendall(data)
        elif way == "many":
            assert calls.send_many(client.fileno(), [data[:1000], data[1000:]]) == 2
        elif way == "ring":
            ring.submit_send(client, buffer)
            assert ring.wait() == len(data)
        else:
            data = content[: len(data)]
            assert calls.send_file(client.fileno(), tmp_path / "file", len(data)) == len(data)
        sent += data
        way = generator.choice(["read", "many", "ring", "splice"])
        received = b""
        while len(received) < len(data):
            left = len(data) - len(received)
            if way == "read":
                received += server.recv(left)
            elif way == "many":
                received += b"".join(calls.receive_many(server.fileno(), [left // 2 + 1, left]))
            elif way == "ring":
                room = ctypes.create_string_buffer(left)
                ring.submit_receive(server, room)
                count = ring.wait()
                received += room.raw[:count]
            else:
                received += calls.splice_away(server.fileno(), left)
        assert received == data
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    recording = stalled.read()
    client.close()
    server.close()
    used = [flow for flow in recording.flows.values() if any(flow.length.values())]
    at_client, at_server = sorted(used, key=lambda flow: flow.role)
    for runs in (at_client.runs[SENT], at_server.runs[RECEIVED]):
        assert agrees(runs, sent)
        assert any(isinstance(run, Missing) and run.reason == "ring_full" for run in runs)
