# sendmmsg and recvmmsg: which bytes belong to which event is counted, and what cannot be known is a gap, never a guess.

import ctypes
import errno
import mmap
import os
import random
import select
import socket
import threading
import time

import pytest

from harness import system_calls as calls
from harness.pipeline import ENGINE
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live

WAIT_FOR_ONE = 0x10000
DONT_WAIT = 0x40


class Messages:
    """An array of struct mmsghdr in memory that stays the same from call to call."""

    def __init__(self, lengths, pieces=1):
        self.lengths = lengths
        self.buffers = [ctypes.create_string_buffer(max(1, length)) for length in lengths]
        self.arrays = [(calls.Iovec * pieces)() for _ in lengths]
        for array, buffer, length in zip(self.arrays, self.buffers, lengths):
            for index, entry in enumerate(array):
                start, end = length * index // pieces, length * (index + 1) // pieces
                entry.base, entry.length = ctypes.addressof(buffer) + start, end - start
        self.headers = (calls.MultiMessage * len(lengths))(
            *[calls.MultiMessage(calls.message(array)) for array in self.arrays]
        )

    def fill(self, generator):
        """Random bytes in every message; returns them."""
        data = [generator.randbytes(length) for length in self.lengths]
        for buffer, part in zip(self.buffers, data):
            ctypes.memmove(buffer, part, len(part))
        return data

    def send(self, end, flags=0):
        return calls.call(calls.SENDMMSG, end.fileno(), self.headers, len(self.lengths), flags)

    def receive(self, end, flags=WAIT_FOR_ONE, timeout=None):
        count = calls.call(
            calls.RECVMMSG, end.fileno(), self.headers, len(self.lengths), flags,
            ctypes.byref(timeout) if timeout else 0,
        )  # fmt: skip
        return b"".join(self.buffers[index].raw[: self.headers[index].length] for index in range(count))


class Timespec(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long)]


@pytest.fixture(params=["tcp", "unix"])
def listener(request, tmp_path):
    if request.param == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            listener.listen()
            yield listener


@pytest.fixture
def pair(listener):
    with socket.socket(listener.family) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        client.connect(listener.getsockname())
        with listener.accept()[0] as server:
            yield client, server


def capture_this_process(capture):
    return capture(["--pid", os.getpid(), "--buffer", "64M"])


def flows(recording):
    """The client's and the server's: both have been there before the capture, and are the only ones with bytes."""
    used = [flow for flow in recording.flows.values() if any(flow.length.values())]
    return sorted(used, key=lambda flow: flow.role)


def gaps(runs):
    return sum(run.length for run in runs if isinstance(run, Missing))


def is_true(runs, data):
    """Every captured byte is right and at its place."""
    position = 0
    for run in runs:
        if isinstance(run, Missing):
            assert run.reason == "multi_message"
            position += run.length
        else:
            assert run == data[position : position + len(run)], f"wrong bytes near {position}"
            position += len(run)
    assert position == len(data)
    return True


@pytest.mark.parametrize("pieces", [1, 3])
def test_every_byte_of_many_messages(capture, pair, pieces):
    generator = random.Random(20291)
    client, server = pair
    running = capture_this_process(capture)
    sent = b""
    # The same memory each time, as a program does that sends in a loop; an empty message among the others.
    outgoing = Messages([5, 700, 0, 1, 4000, 64], pieces)
    incoming = Messages([100, 1, 5000, 30], pieces)
    for _ in range(50):
        data = b"".join(outgoing.fill(generator))
        assert outgoing.send(client) == len(outgoing.lengths)
        received = b""
        while len(received) < len(data):
            received += incoming.receive(server)
        assert received == data
        sent += data
    client.sendall(b"the end")
    assert server.recv(100) == b"the end"
    running.stop()
    at_client, at_server = flows(Recording(running.output))
    assert at_client.bytes(SENT) == at_server.bytes(RECEIVED) == sent + b"the end"


def test_calls_that_end_before_their_last_message(capture, pair):
    """A full socket ends the call, in the middle of a message or between two; the next one looks the same."""
    generator = random.Random(20292)
    client, server = pair
    running = capture_this_process(capture)
    sent = b""
    outgoing = Messages([3000, 9000, 200, 70_000, 10])
    short = 0
    for _ in range(200):
        data = outgoing.fill(generator)
        try:
            count = outgoing.send(client, DONT_WAIT)
        except OSError as error:
            assert error.errno == errno.EAGAIN
            # Nothing may be left to receive: the socket is full until the other end's acknowledgement comes.
            if server in select.select([server], [client], [])[0]:
                server.recv(30_000)
            continue
        for index in range(count):
            sent += data[index][: outgoing.headers[index].length]
        short += count < len(data) or outgoing.headers[count - 1].length < len(data[count - 1])
        server.recv(generator.randint(1, 50_000))
    assert short > 10
    running.stop()
    at_client, _ = flows(Recording(running.output))
    assert is_true(at_client.runs[SENT], sent)
    assert gaps(at_client.runs[SENT]) == 0


def test_a_call_that_ends_unseen_leaves_doubt_and_no_wrong_byte(capture, pair):
    """The second message cannot even be looked at: the call ends without an event, and is made again, repaired."""
    generator = random.Random(20293)
    client, server = pair
    running = capture_this_process(capture)
    sent = received = b""
    outgoing = Messages([100, 100, 100])
    good = outgoing.headers[1].message.iovecs
    for _ in range(20):
        data = outgoing.fill(generator)
        outgoing.headers[1].message.iovecs = 8
        assert outgoing.send(client) == 1
        sent += data[0]
        outgoing.headers[1].message.iovecs = good
        data = outgoing.fill(generator)
        assert outgoing.send(client) == 3
        sent += b"".join(data)
        while len(received) < len(sent):
            received += server.recv(1 << 20)
    running.stop()
    at_client, at_server = flows(Recording(running.output))
    assert is_true(at_client.runs[SENT], sent)
    assert gaps(at_client.runs[SENT]) > 0 or ENGINE == "fentry"
    assert at_server.bytes(RECEIVED) == received == sent


def test_a_timeout_between_messages_leaves_doubt_and_no_wrong_byte(capture, pair):
    generator = random.Random(20294)
    client, server = pair
    running = capture_this_process(capture)
    sent = received = b""
    incoming = Messages([10, 10, 10])
    for _ in range(50):
        data = generator.randbytes(generator.randint(1, 40))
        client.sendall(data)
        sent += data
        while len(received) < len(sent):
            received += incoming.receive(server, timeout=Timespec(0, generator.choice([0, 10_000_000])))
    assert received == sent
    running.stop()
    at_client, at_server = flows(Recording(running.output))
    assert at_client.bytes(SENT) == sent
    assert is_true(at_server.runs[RECEIVED], sent)


def test_a_capture_that_begins_inside_of_a_call(capture, pair):
    """The messages that it did not see are not taken for those that it sees."""
    generator = random.Random(20295)
    client, server = pair
    outgoing = Messages([50_000] * 40)
    data = b"".join(outgoing.fill(generator))
    sender = threading.Thread(target=outgoing.send, args=[client])
    sender.start()
    time.sleep(0.3)
    running = capture_this_process(capture)
    received = b""
    while len(received) < len(data):
        received += server.recv(1 << 20)
    sender.join()
    client.sendall(b"the end")
    assert server.recv(100) == b"the end"
    running.stop()
    assert received == data
    at_client, at_server = flows(Recording(running.output))
    assert at_server.bytes(RECEIVED) == data + b"the end"
    # The call that was under way is counted from the first message that was sent after the capture began.
    if ENGINE == "fentry":
        assert (data + b"the end").endswith(at_client.bytes(SENT))
        return
    hidden, shown = at_client.runs[SENT]
    assert hidden.reason == "multi_message" and hidden.length % 50_000 == 0 and shown == b"the end"


def test_messages_in_read_only_memory(capture, pair):
    """The kernel cannot store how much it has sent: the call ends behind the first message."""
    client, server = pair
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    outgoing = Messages([10, 10])
    ctypes.memmove(address, outgoing.headers, ctypes.sizeof(outgoing.headers))
    libc = ctypes.CDLL(None)
    running = capture_this_process(capture)
    sent = b""
    assert libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ) == 0
    try:
        for number in range(20):
            data = outgoing.fill(random.Random(number))
            with pytest.raises(OSError):
                calls.call(calls.SENDMMSG, client.fileno(), ctypes.c_void_p(address), 2, 0)
            sent += data[0]
            assert server.recv(1000) == data[0]
    finally:
        libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
    running.stop()
    at_client, _ = flows(Recording(running.output))
    assert is_true(at_client.runs[SENT], sent)
