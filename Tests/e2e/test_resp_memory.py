# What tap-resp spends, whatever the peers send: anonymous memory of the release binary, and time that grows with the bytes.

import os
import subprocess
import threading
import time

import cbor2
import pytest

from harness.pipeline import RESP

MEMORY_LIMIT_BYTES = 64 << 20


# Heads of CBOR by hand: half a million frames through a library take longer than all of the decoding.
def head(major, n):
    for limit, code, size in ((24, None, 0), (1 << 8, 24, 1), (1 << 16, 25, 2), (1 << 32, 26, 4), (1 << 64, 27, 8)):
        if n < limit:
            return bytes([major << 5 | n]) if code is None else bytes([major << 5 | code]) + n.to_bytes(size, "big")


def framed(body):
    return head(2, len(body)) + body


HELLO = framed(cbor2.dumps([0, 1, "test 1.0", 1_700_000_000_000_000_000, "host", "file"]))
END = framed(cbor2.dumps([8, True, {}]))
ABOUT = {"transport": "tcp", "local": ["127.0.0.1", 50000], "remote": ["127.0.0.1", 6379], "role": "client"}
SEEN, JOINED = (cbor2.dumps({**ABOUT, **more}) for more in ({}, {"preexisting": True}))


def flow(number, about=SEEN):
    return framed(b"\x84\x02" + head(0, number) + b"\xf6" + about)


def data(number, direction, offset, content, at=1000):
    return framed(
        b"\x86\x03" + head(0, number) + head(0, direction) + head(0, at) + head(0, offset) + head(2, len(content)) + content
    )


def gap(number, direction, offset, length):
    return framed(cbor2.dumps([4, number, direction, 1000, offset, length, "ring_full"]))


def bulk(content):
    return b"$%d\r\n%s\r\n" % (len(content), content)


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(bulk(word) for word in words)


def chunks(number, direction, content, size, offset=0):
    """An iterable of bytes as frames of at most `size` bytes."""
    for part in content:
        for start in range(0, len(part), size):
            piece = part[start : start + size]
            yield data(number, direction, offset, piece)
            offset += len(piece)


def batched(frames, size=256 << 10):
    batch = bytearray()
    for frame in frames:
        batch += frame
        if len(batch) >= size:
            yield batch
            batch = bytearray()
    yield batch


class Spent:
    """Runs tap-resp on frames, and looks at its memory all the while."""

    def __init__(self, frames):
        stage = subprocess.Popen(RESP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.output_bytes = 0
        self.tail = b""
        self.peak_bytes = 0
        running = True

        def drain():
            while block := os.read(stage.stdout.fileno(), 1 << 20):
                self.output_bytes += len(block)
                self.tail = (self.tail + block)[-4096:]

        def watch():
            while running:
                try:
                    with open(f"/proc/{stage.pid}/status") as status:
                        lines = [line for line in status if line.startswith("RssAnon")]
                except OSError:
                    return
                if lines:
                    self.peak_bytes = max(self.peak_bytes, int(lines[0].split()[1]) << 10)
                time.sleep(0.005)

        threads = [threading.Thread(target=drain), threading.Thread(target=watch)]
        for thread in threads:
            thread.start()
        try:
            for batch in batched(frames):
                stage.stdin.write(batch)
            stage.stdin.close()
            threads[0].join(60)
            # While it is a zombie at the latest it holds nothing: its own processor time is asked for as it ends.
            _, status, usage = os.wait4(stage.pid, 0)
            stage.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = usage.ru_utime + usage.ru_stime
        finally:
            running = False
            if stage.returncode is None:
                stage.kill()
                stage.wait()
            for thread in threads:
                thread.join(10)
            stage.stdout.close()
            self.errors = stage.stderr.read().decode()
            stage.stderr.close()
        assert stage.returncode == 0, self.errors


# MARK: The cases. Each takes a scale, so that twice as much can be measured.


def sets_and_gets(scale):
    """redis-benchmark -c … -d 60000."""
    value = b"x" * 60_000
    set_, get = command(b"SET", b"k", value), command(b"GET", b"k")
    for number in range(1, 1000 * scale + 1):
        yield flow(number)
        yield data(number, 0, 0, set_)
        yield data(number, 1, 0, b"+OK\r\n")
        yield data(number, 0, len(set_), get)
        yield data(number, 1, 5, bulk(value))


def confirmations(scale):
    count, channel = 50_000 * scale, b"c" * 1000
    yield flow(1)
    request = [b"*%d\r\n" % (count + 1) + bulk(b"SUBSCRIBE")] + [bulk(channel)] * count
    yield from chunks(1, 0, request, 16 << 10)
    replies = (b"*3\r\n" + bulk(b"subscribe") + bulk(channel) + b":%d\r\n" % (i + 1) for i in range(count))
    yield from chunks(1, 1, replies, 16 << 10)


def open_connections(scale):
    """240,000 at scale 2, each of which has said its name and something that was answered, and stays open."""
    hello = command(b"HELLO", b"3", b"SETNAME", b"worker:" + b"w" * 200)
    get = command(b"GET", b"k")
    for number in range(1, 120_000 * scale + 1):
        yield flow(number)
    for number in range(1, 120_000 * scale + 1):
        yield data(number, 0, 0, hello, number)
        yield data(number, 1, 0, b"%1\r\n+proto\r\n:3\r\n", number)
        yield data(number, 0, len(hello), get, number)
        yield data(number, 1, 16, b"$1\r\nv\r\n", number)


def announced_arguments(scale):
    """Commands of 2 * 10^9 arguments that end behind the first."""
    for number in range(1, 5000 * scale + 1):
        yield flow(number)
        yield data(number, 0, 0, b"*2000000000\r\n$4\r\nMSET\r\n$1\r\na\r\n")
        yield framed(cbor2.dumps([5, number, 1000, "closed"]))


def silent_flows(scale):
    return (flow(number) for number in range(1, 250_000 * scale + 1))


def lone_gaps(scale):
    return (gap(number, 0, 0, 10) for number in range(1, 200_000 * scale + 1))


def other_protocols(scale):
    noise = os.urandom(64 << 10).replace(b"*", b"+")
    for number in range(1, 300 * scale + 1):
        yield flow(number, JOINED)
        yield data(number, 0, 0, noise * 4)


def unanswered(scale):
    """Over a million in all at scale 2, over several flows: what waits is small, and there is nothing to cut."""
    pings = command(b"PING") * 1000
    for number in range(1, 4 * scale + 1):
        yield flow(number)
        for index in range(200):
            yield data(number, 0, index * len(pings), pings)


def unanswered_on_one_flow(scale):
    yield flow(1)
    yield from chunks(1, 0, [command(b"PING") * 1000] * 1000 * scale, 16 << 10)


def large_value(scale):
    size = (128 << 20) * scale
    yield flow(1)
    yield data(1, 0, 0, command(b"GET", b"k"))
    yield from chunks(1, 1, [b"$%d\r\n" % size], 4096)
    offset = len(b"$%d\r\n" % size)
    yield from chunks(1, 1, (b"v" * 4096 for _ in range(size // 4096)), 4096, offset)
    yield data(1, 1, offset + size, b"\r\n")
    yield data(1, 0, len(command(b"GET", b"k")), command(b"PING"))
    yield data(1, 1, offset + size + 2, b"+PONG\r\n")


def bytes_one_by_one(scale):
    """A value of 16 MiB (at scale 2) in frames of a single byte."""
    size = (8 << 20) * scale
    announced = b"$%d\r\n" % size
    yield flow(1)
    yield data(1, 0, 0, command(b"GET", b"k") * 2)
    # So long that the offsets of what follows are of four bytes, and begin with a whole block.
    first = bulk(b"p" * (65536 - len(announced) - len(b"$65500\r\n\r\n")))
    assert len(first) + len(announced) == 65536
    yield data(1, 1, 0, first + announced)
    frame = data(1, 1, 65536, b"v")
    block = bytearray(frame * 65536)
    place = frame.index(bytes([0, 1, 0, 0]))
    block[place + 3 :: len(frame)] = bytes(range(256)) * 256
    block[place + 2 :: len(frame)] = b"".join(bytes([high]) * 256 for high in range(256))
    for index in range(size // 65536):
        block[place :: len(frame)] = bytes([(index + 1) >> 8]) * 65536
        block[place + 1 :: len(frame)] = bytes([(index + 1) & 255]) * 65536
        yield bytes(block)
    yield data(1, 1, 65536 + size, b"\r\n")


def large_frames(scale):
    value = bulk(b"w" * (15 << 20))
    yield flow(1)
    for index in range(4 * scale):
        yield data(1, 0, index * 20, command(b"GET", b"k")[:20].ljust(20, b"\n"))
        yield data(1, 1, index * len(value), value)


def values_in_flight(scale):
    request = command(b"SET", b"k", b"x" * (64 << 10))
    for round_ in range(scale):
        for number in range(1, 51):
            if round_ == 0:
                yield flow(number)
            for index in range(16):
                yield data(number, 0, (round_ * 16 + index) * len(request), request)
        for number in range(1, 51):
            yield data(number, 1, round_ * 80, b"+OK\r\n" * 16)


def large_arrays(scale):
    """Arrays of 10^9 small elements that never end, over several flows."""
    for number in range(1, 21):
        yield flow(number)
        yield data(number, 0, 0, command(b"GET", b"k"))
        yield data(number, 1, 0, b"*1000000000\r\n")
    numbers = b",1.5\r\n" * 4096
    for index in range(110 * scale):
        for number in range(1, 21):
            yield data(number, 1, 13 + index * len(numbers), numbers)


def deep(scale):
    yield flow(1)
    yield data(1, 0, 0, command(b"GET", b"k"))
    yield from chunks(1, 1, [b"*1\r\n" * 10_000] * 50 * scale, 16 << 10)


def endless_line(scale):
    yield flow(1)
    yield data(1, 0, 0, b"PING ")
    yield data(1, 1, 0, b"+PONG\r\n")
    yield from chunks(1, 0, (b"x" * 16_384 for _ in range(2000 * scale)), 16 << 10, 5)


def endless_streamed_string(scale):
    yield flow(1)
    yield data(1, 0, 0, command(b"GET", b"k"))
    yield data(1, 1, 0, b"$?\r\n")
    yield from chunks(1, 1, (b";4096\r\n" + b"s" * 4096 + b"\r\n" for _ in range(8000 * scale)), 16 << 10, 4)


CASES = [
    sets_and_gets,
    confirmations,
    open_connections,
    announced_arguments,
    silent_flows,
    lone_gaps,
    other_protocols,
    unanswered,
    unanswered_on_one_flow,
    large_value,
    bytes_one_by_one,
    large_frames,
    values_in_flight,
    large_arrays,
    deep,
    endless_line,
    endless_streamed_string,
]


@pytest.mark.parametrize("frames", CASES, ids=lambda case: case.__name__)
def test_memory_and_time(frames):
    """Half as much, then all of it: memory stays under the limit, and twice the bytes take at most 2.2 times the time."""

    def spend(scale):
        def stream():
            yield HELLO
            yield from frames(scale)
            yield END

        return Spent(stream())

    # On a machine that others use too, the quickest of a few runs is what counts.
    half, whole = [], []
    while len(whole) < 4:
        half.append(spend(1))
        whole.append(spend(2))
        if min(run.seconds for run in whole) <= 2.2 * min(run.seconds for run in half):
            break
    half, whole = (min(runs, key=lambda run: run.seconds) for runs in (half, whole))
    print(f"{frames.__name__}: {whole.peak_bytes / (1 << 20):.1f} MiB, {half.seconds:.2f} s, {whole.seconds:.2f} s")
    assert whole.peak_bytes < MEMORY_LIMIT_BYTES
    # The programs' start and the clock's steps are no part of what grows.
    assert whole.seconds <= 2.2 * half.seconds + 0.1
    assert whole.tail.endswith(END)
