# Every byte that moves over a socket is in the recording, exactly, or in a gap of exact size: each system call form, on
# real connections, with seeded random bytes.

import ctypes
import errno
import mmap
import os
import random
import socket
import threading
import time

import pytest

from harness import io_uring
from harness import system_calls as calls
from harness.pipeline import ENGINE
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live

SENDING = {
    "write": calls.WRITE, "writev": calls.WRITEV, "pwritev2": calls.PWRITEV2, "sendto": calls.SENDTO,
    "sendmsg": calls.SENDMSG,
}  # fmt: skip
RECEIVING = {
    "read": calls.READ, "readv": calls.READV, "preadv2": calls.PREADV2, "recvfrom": calls.RECVFROM,
    "recvmsg": calls.RECVMSG,
}  # fmt: skip


def for_fentry_only(data, reason):
    """A run of bytes that the fentry engine reads, and that is a gap to the tracepoint engine."""
    return bytearray(data) if ENGINE == "fentry" else Missing(len(data), reason)


class Connection:
    """A loopback connection whose two ends are both in this process; with what was moved at each."""

    def __init__(self, family=socket.AF_INET, buffer_bytes=None):
        host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        self.listener = socket.socket(family)
        self.client = socket.socket(family)
        if buffer_bytes:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.listener.bind((host, 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]

    def open(self):
        self.client.connect(self.listener.getsockname()[:2])
        self.server, _ = self.listener.accept()
        self.client_port = self.client.getsockname()[1]
        return self

    def close(self):
        for end in (self.client, getattr(self, "server", None), self.listener):
            if end:
                end.close()

    def flows(self, recording):
        """The client's and the server's flow."""
        return recording.flow(self.client_port, self.port), recording.flow(self.port, self.client_port)


@pytest.fixture
def connection():
    made = []

    def make(**options):
        made.append(Connection(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def receive_all(form, descriptor, length, pieces=3):
    data = b""
    while len(data) < length:
        data += calls.receive(form, descriptor, length - len(data), pieces)
    return data


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_each_form_of_sending_and_receiving(capture, connection, family):
    generator = random.Random(20261)
    pair = connection(family=family)
    running = capture(["--port", pair.port])
    pair.open()
    moved = {SENT: b"", RECEIVED: b""}
    for sending in SENDING.values():
        for receiving in RECEIVING.values():
            # Around the sizes of records and pages, and with more pieces than bytes.
            for size in (1, 2, 63, 64, 65, 1000, 4096, 4097, 33000):
                pieces = generator.randint(1, 5)
                data = generator.randbytes(size)
                assert calls.send(sending, pair.client.fileno(), data, pieces) == size
                assert receive_all(receiving, pair.server.fileno(), size, pieces) == data
                moved[SENT] += data
                data = generator.randbytes(size)
                assert calls.send(sending, pair.server.fileno(), data, pieces) == size
                assert receive_all(receiving, pair.client.fileno(), size, pieces) == data
                moved[RECEIVED] += data
    running.stop()
    recording = Recording(running.output)
    client, server = pair.flows(recording)
    assert client.bytes(SENT) == server.bytes(RECEIVED) == moved[SENT]
    assert client.bytes(RECEIVED) == server.bytes(SENT) == moved[RECEIVED]
    assert (client.role, server.role) == ("client", "server")
    assert client.local == server.remote and client.remote == server.local
    assert not client.preexisting and not server.preexisting
    assert recording.process_of(client)["pid"] == recording.process_of(server)["pid"] == os.getpid()


def test_a_thousand_pieces(capture, connection):
    generator = random.Random(20262)
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    data = generator.randbytes(100_000)
    assert calls.send(calls.WRITEV, pair.client.fileno(), data, pieces=1024) == len(data)
    assert receive_all(calls.READV, pair.server.fileno(), len(data), pieces=1024) == data
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == server.bytes(RECEIVED) == data


def test_large_transfers_in_one_call(capture, connection):
    generator = random.Random(20263)
    pair = connection()
    running = capture(["--port", pair.port, "--buffer", "64M"])
    pair.open()
    data = generator.randbytes(9_000_001)
    sender = threading.Thread(target=pair.client.sendall, args=[data])
    sender.start()
    assert receive_all(calls.RECVFROM, pair.server.fileno(), len(data)) == data
    sender.join()
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == server.bytes(RECEIVED) == data


def test_what_is_peeked_at_is_no_data(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    pair.client.sendall(b"first second")
    for form in (calls.RECVFROM, calls.RECVMSG):
        assert calls.receive(form, pair.server.fileno(), 6, flags=socket.MSG_PEEK) == b"first "
    assert pair.server.recv(100) == b"first second"
    running.stop()
    _, server = pair.flows(Recording(running.output))
    assert server.bytes(RECEIVED) == b"first second"


def test_a_short_write_counts_what_was_written(capture, connection):
    generator = random.Random(20264)
    pair = connection(buffer_bytes=8192)
    running = capture(["--port", pair.port])
    pair.open()
    pair.client.setblocking(False)
    data = generator.randbytes(3_000_000)
    written, received, was_short = 0, b"", False
    while written < len(data):
        try:
            count = calls.send(calls.WRITEV, pair.client.fileno(), data[written : written + 400_000], pieces=7)
            was_short |= 0 < count < min(400_000, len(data) - written)
            written += count
        except OSError as error:
            assert error.errno == errno.EAGAIN
            received += pair.server.recv(1 << 20)
    received += receive_all(calls.READ, pair.server.fileno(), len(data) - len(received))
    assert was_short and received == data
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == server.bytes(RECEIVED) == data


def test_bytes_that_nobody_received_are_a_gap(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    pair.client.sendall(b"0123456789")
    assert calls.call(calls.RECVFROM, pair.server.fileno(), 0, 4, socket.MSG_TRUNC, 0, 0) == 4
    assert pair.server.recv(100) == b"456789"
    running.stop()
    _, server = pair.flows(Recording(running.output))
    assert server.runs[RECEIVED] == [Missing(4, "truncated"), bytearray(b"456789")]


def test_sendfile_is_a_gap_of_exact_size(capture, connection, tmp_path):
    pair = connection()
    content = random.Random(20265).randbytes(50_000)
    (tmp_path / "file").write_bytes(content)
    running = capture(["--port", pair.port])
    pair.open()
    pair.client.sendall(b"head")
    assert calls.send_file(pair.client.fileno(), tmp_path / "file", len(content)) == len(content)
    pair.client.sendall(b"tail")
    received = receive_all(calls.READ, pair.server.fileno(), len(content) + 8)
    assert received == b"head" + content + b"tail"
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.runs[SENT] == [bytearray(b"head"), Missing(len(content), "sendfile"), bytearray(b"tail")]
    assert server.bytes(RECEIVED) == received


def test_bytes_that_are_spliced_away_are_a_gap_before_the_next_and_at_the_end(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    for word in (b"first", b"second"):
        pair.client.sendall(word + b"(unseen)")
        assert pair.server.recv(len(word)) == word
        assert calls.splice_away(pair.server.fileno(), 8) == b"(unseen)"
    pair.client.sendall(b"third")
    pair.client.shutdown(socket.SHUT_WR)
    assert pair.server.recv(5) == b"third"
    assert pair.server.recv(1) == b""
    pair.close()
    running.stop()
    _, server = pair.flows(Recording(running.output))
    hidden = Missing(8, "not_captured")
    assert server.runs[RECEIVED] == [bytearray(b"first"), hidden, bytearray(b"second"), hidden, bytearray(b"third")]

    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    pair.client.sendall(b"seen(unseen)")
    assert pair.server.recv(4) == b"seen"
    assert calls.splice_away(pair.server.fileno(), 8) == b"(unseen)"
    pair.client.close()
    assert pair.server.recv(1) == b""
    pair.close()
    running.stop()
    _, server = pair.flows(Recording(running.output))
    assert server.runs[RECEIVED] == [bytearray(b"seen"), hidden]


def test_several_messages_in_one_call(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    assert calls.send_many(pair.client.fileno(), [b"one", b"three", b"seventeen"]) == 3
    assert b"".join(calls.receive_many(pair.server.fileno(), [5, 100])) == b"onethreeseventeen"
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == server.bytes(RECEIVED) == b"onethreeseventeen"


def test_a_call_that_faults_half_way_counts_what_moved(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    good, page = 64 * mmap.PAGESIZE, mmap.PAGESIZE
    memory = mmap.mmap(-1, good + page)
    memory[:good] = random.Random(20267).randbytes(good)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(address + good), page, 0) == 0
    try:
        count = calls.call(calls.WRITE, pair.client.fileno(), ctypes.c_void_p(address), good + page)
    finally:
        libc.mprotect(ctypes.c_void_p(address + good), page, mmap.PROT_READ | mmap.PROT_WRITE)
    assert 0 < count <= good
    assert receive_all(calls.READ, pair.server.fileno(), count) == memory[:count]
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == server.bytes(RECEIVED) == memory[:count]


def test_memory_that_vanishes_is_a_gap_and_never_a_guess(capture, connection):
    """A thread takes the pages of the receive buffer away while they are filled; the kernel program may come too late."""
    generator = random.Random(20266)
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    size, rounds = 64 * 1024, 400
    memory = mmap.mmap(-1, size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None)
    stop = threading.Event()

    def take_away():
        while not stop.is_set():
            libc.madvise(ctypes.c_void_p(address), size, mmap.MADV_DONTNEED)

    thief = threading.Thread(target=take_away)
    thief.start()
    sent = b""
    try:
        for _ in range(rounds):
            data = generator.randbytes(size)
            sender = threading.Thread(target=pair.client.sendall, args=[data])
            sender.start()
            received = 0
            while received < size:
                received += calls.call(calls.READ, pair.server.fileno(), ctypes.c_void_p(address), size)
            sender.join()
            sent += data
    finally:
        stop.set()
        thief.join()
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == sent
    position = 0
    for run in server.runs[RECEIVED]:
        if isinstance(run, Missing):
            assert run.reason == "fault"
            position += run.length
        else:
            assert run == sent[position : position + len(run)], f"wrong bytes near {position}"
            position += len(run)
    assert position == len(sent)
    assert any(isinstance(run, Missing) for run in server.runs[RECEIVED]), "the thief was never in time"


def test_urgent_data_is_outside_of_the_stream(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    pair.client.sendall(b"before")
    assert pair.server.recv(100) == b"before"
    pair.client.send(b"u", socket.MSG_OOB)
    assert pair.server.recv(1, socket.MSG_OOB) == b"u"
    pair.client.sendall(b"after")
    assert receive_all(calls.READ, pair.server.fileno(), 5) == b"after"
    running.stop()
    _, server = pair.flows(Recording(running.output))
    assert server.bytes(RECEIVED) == b"beforeafter"


def test_several_urgent_bytes_between_two_receives(capture, connection):
    """Nobody reads them: the kernel steps over them, and no byte of the stream is missing for that."""
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    expected = bytearray()
    for number in range(1, 6):
        for _ in range(number):
            pair.client.send(b"u", socket.MSG_OOB)
            time.sleep(0.005)
        pair.client.sendall(b"text %d" % number)
        time.sleep(0.02)
        while True:
            try:
                expected += pair.server.recv(100, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
    running.stop()
    _, server = pair.flows(Recording(running.output))
    assert server.bytes(RECEIVED) == expected


def test_a_connection_opened_before_the_capture(capture, connection):
    pair = connection().open()
    pair.client.sendall(b"before the capture")
    assert pair.server.recv(100) == b"before the capture"
    running = capture(["--port", pair.port])
    pair.client.sendall(b"question")
    assert pair.server.recv(100) == b"question"
    pair.server.sendall(b"answer")
    assert pair.client.recv(100) == b"answer"
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == server.bytes(RECEIVED) == b"question"
    assert client.bytes(RECEIVED) == server.bytes(SENT) == b"answer"
    assert client.preexisting and server.preexisting
    assert (client.role, server.role) == ("client", "server")
    assert client.close == server.close == "capture_ended"


@pytest.mark.parametrize("direction, kept", [("egress", "client"), ("ingress", "server")])
def test_only_one_side(capture, connection, direction, kept):
    before = connection().open()
    running = capture(["--port", before.port, "--direction", direction])
    after = connection()
    before.client.sendall(b"x")
    assert before.server.recv(1) == b"x"
    running.stop()
    assert [flow.role for flow in Recording(running.output).flows.values()] == [kept]
    running = capture(["--port", after.port, "--port", before.port, "--direction", direction])
    after.open()
    after.client.sendall(b"y")
    assert after.server.recv(1) == b"y"
    running.stop()
    # One that is idle was open before and is told all the same.
    assert [flow.role for flow in Recording(running.output).flows.values()] == [kept, kept]


def test_a_socket_that_is_connected_anew_is_another_flow(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    client = socket.socket()
    ports = []
    for text in (b"first", b"second"):
        client.connect(("127.0.0.1", pair.port))
        server, _ = pair.listener.accept()
        ports.append(client.getsockname()[1])
        client.sendall(text)
        assert server.recv(100) == text
        server.close()
        # connect(AF_UNSPEC) dissolves the association (connect(2)).
        address = ctypes.create_string_buffer(16)
        assert ctypes.CDLL(None).connect(client.fileno(), address, 16) == 0
    client.close()
    running.stop()
    recording = Recording(running.output)
    sent = [flow.bytes(SENT) for flow in recording.flows.values() if flow.role == "client"]
    assert sent == [b"first", b"second"]


@pytest.mark.parametrize("size, buffer_bytes", [(5000, None), (150_000, 8192)], ids=["small", "blocked half way"])
def test_several_writers_are_counted_exactly_and_told(capture, connection, size, buffer_bytes):
    pair = connection(buffer_bytes=buffer_bytes)
    running = capture(["--port", pair.port, "--buffer", "64M"])
    pair.open()
    rounds = 1_000_000 // size
    total = 4 * rounds * size
    writers = [
        threading.Thread(target=lambda: [pair.client.sendall(os.urandom(size)) for _ in range(rounds)])
        for _ in range(4)
    ]
    for writer in writers:
        writer.start()
    received = receive_all(calls.RECVFROM, pair.server.fileno(), total)
    for writer in writers:
        writer.join()
    running.stop()
    recording = Recording(running.output)
    client, server = pair.flows(recording)
    assert server.bytes(RECEIVED) == received and not server.interleaved
    assert len(client.bytes(SENT)) == total
    # What is not in doubt is right; and where a call is blocked half way, the others write in its middle.
    assert client.interleaved or client.bytes(SENT) == received
    assert client.interleaved or not buffer_bytes
    told = any(f"several threads use flow {client.id}" in notice[3] for notice in recording.notices)
    assert told == client.interleaved


def test_threads_that_take_turns_leave_no_doubt(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    turn = threading.Lock()
    sent, received = [], []

    def talk(number):
        for _ in range(300):
            with turn:
                sent.append(b"%d " % number * 100)
                pair.client.sendall(sent[-1])
                received.append(receive_all(calls.READ, pair.server.fileno(), len(sent[-1])))

    threads = [threading.Thread(target=talk, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pair.client.shutdown(socket.SHUT_WR)
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.bytes(SENT) == server.bytes(RECEIVED) == b"".join(sent) == b"".join(received)
    assert not client.interleaved and not server.interleaved


def test_io_uring_moves_bytes_outside_of_any_call(capture, connection):
    pair = connection()
    running = capture(["--port", pair.port])
    pair.open()
    ring = io_uring.Ring()
    ring.submit_send(pair.client, ctypes.create_string_buffer(b"by the ring", 11))
    assert ring.wait() == 11
    assert pair.server.recv(100) == b"by the ring"
    ring.close()
    running.stop()
    client, server = pair.flows(Recording(running.output))
    assert client.runs[SENT] == [for_fentry_only(b"by the ring", "io_uring")]
    assert server.bytes(RECEIVED) == b"by the ring"


def test_a_completion_inside_another_sockets_read_is_not_taken_for_its_data(capture, connection):
    """The receive waits for its data; it completes while the thread is in a read whose registers tell of another buffer."""
    waiting, reading = connection(), connection()
    running = capture(["--port", waiting.port, "--port", reading.port])
    waiting.open()
    reading.open()
    ring = io_uring.Ring()
    words = [f"word {number} ".encode() for number in range(50)]
    for word in words:
        buffer = ctypes.create_string_buffer(100)
        ring.submit_receive(waiting.server, buffer)

        def speak():
            waiting.client.sendall(word.upper())
            reading.client.sendall(word)

        speaker = threading.Thread(target=speak)
        speaker.start()
        assert calls.receive(calls.READ, reading.server.fileno(), 100) == word
        assert ring.wait() == len(word)
        assert buffer.raw[: len(word)] == word.upper()
        speaker.join()
    ring.close()
    running.stop()
    recording = Recording(running.output)
    _, by_ring = waiting.flows(recording)
    _, by_read = reading.flows(recording)
    said = b"".join(words)
    assert by_ring.runs[RECEIVED] == [for_fentry_only(said.upper(), "io_uring")]
    assert by_read.bytes(RECEIVED) == said



@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv4-mapped"])
def test_roles_where_the_listener_has_gone(capture, family):
    """Accepted before the capture from a listener that was closed before it, too; and nothing moves."""
    with socket.socket(family) as listener:
        listener.bind(("127.0.0.1" if family == socket.AF_INET else "::", 0))
        listener.listen(5)
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server, _ = listener.accept()
    running = capture(["--port", port])
    running.stop()
    with client, server:
        recording = Recording(running.output)
        at_client = recording.flow(client.getsockname()[1], port)
        at_server = recording.flow(port, client.getsockname()[1])
    assert (at_client.role, at_server.role) == ("client", "server")
    assert at_client.local == at_server.remote and at_client.remote == at_server.local == ("127.0.0.1", port)
    assert at_client.preexisting and at_server.preexisting
    assert recording.process_of(at_client)["pid"] == recording.process_of(at_server)["pid"] == os.getpid()
