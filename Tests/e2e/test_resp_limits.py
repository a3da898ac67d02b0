# What tap-resp takes, whatever the peers send: memory is bounded, time is linear, and other connections are decoded.

import json
import os
import subprocess
import time

import cbor2
import pytest

from harness.pipeline import JSON, RESP
from harness.resp import command
from harness.tapwire import CLOSE, DATA, END, EXCHANGE, FLOW, HELLO, NOTICE, RECEIVED, SENT, frames

MEBIBYTE = 1 << 20
LIMIT = 64 * MEBIBYTE


def frame(*fields):
    return cbor2.dumps(cbor2.dumps(list(fields)))


class Stream:
    """A TapWire stream in a file, of connections that clients hold to a redis-server."""

    def __init__(self, path):
        self.path, self._file = path, open(path, "wb")
        self._offsets, self._time = {}, 10**13
        self._file.write(frame(HELLO, 1, "test", 0, "host", "file"))

    def open(self, flow):
        ends = {"transport": "tcp", "local": ["127.0.0.1", 1024 + flow], "remote": ["127.0.0.1", 6379], "role": "client"}
        self._file.write(frame(FLOW, flow, None, ends))

    def data(self, flow, direction, content):
        offset = self._offsets.get((flow, direction), 0)
        self._time += 1000
        self._file.write(frame(DATA, flow, direction, self._time, offset, content))
        self._offsets[flow, direction] = offset + len(content)

    def end(self):
        """Ends with a connection that says something ordinary."""
        self.open(60_000)
        self.data(60_000, SENT, command("GET", "ordinary"))
        self.data(60_000, RECEIVED, b"$4\r\nwell\r\n")
        self._file.write(frame(CLOSE, 60_000, self._time, "closed") + frame(END, True, {}))
        self._file.close()


def measured(path, tmp_path, show=False):
    """Seconds of CPU time, the largest anonymous memory, and what came out (as JSON lines, where it is to be shown)."""
    with open(path, "rb") as stdin, open(tmp_path / "out", "wb") as stdout, open(tmp_path / "err", "wb") as stderr:
        process = subprocess.Popen(RESP, stdin=stdin, stdout=stdout if show else subprocess.DEVNULL, stderr=stderr)
        largest = 0
        ended = 0
        while not ended:
            largest = max(largest, anonymous_bytes(process.pid))
            time.sleep(0.002)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = usage.ru_utime + usage.ru_stime
    assert process.returncode == 0, (tmp_path / "err").read_text()
    if not show:
        return seconds, largest, None
    with open(tmp_path / "out", "rb") as stdin:
        done = subprocess.run(JSON, stdin=stdin, capture_output=True, check=True, timeout=60)
    return seconds, largest, done.stdout.splitlines()


def anonymous_bytes(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon")), 0)
    except OSError:
        return 0


def is_ordinary(exchange):
    exchange = json.loads(exchange) if isinstance(exchange, bytes) else exchange
    return exchange.get("args") == ["ordinary"] and exchange["response_value"] == "well"


# Large values


def one_value(path, length, chunk):
    stream = Stream(path)
    stream.open(1)
    stream.data(1, SENT, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % length)
    piece = bytes(chunk)
    for _ in range(length // chunk):
        stream.data(1, SENT, piece)
    stream.data(1, SENT, b"\r\n")
    stream.data(1, RECEIVED, b"+OK\r\n")
    stream.end()
    return path


def test_512_mib_in_4_kib_chunks_cost_twice_what_256_mib_do(tmp_path):
    seconds = {}
    for mebibytes in (256, 512):
        path = one_value(tmp_path / "in.tap", mebibytes * MEBIBYTE, 4096)
        runs = [measured(path, tmp_path) for _ in range(3)]
        assert max(memory for _, memory, _ in runs) < LIMIT
        seconds[mebibytes] = min(taken for taken, _, _ in runs)
    os.remove(tmp_path / "in.tap")
    assert seconds[512] <= 2.2 * seconds[256], seconds


def test_frames_of_16_mib(tmp_path):
    path = one_value(tmp_path / "in.tap", 15 * MEBIBYTE * 8, 15 * MEBIBYTE)
    _, memory, exchanges = measured(path, tmp_path, show=True)
    os.remove(path)
    assert memory < LIMIT, memory
    [large, ordinary] = map(json.loads, exchanges)
    assert large["args"][1]["length"] == 120 * MEBIBYTE and is_ordinary(ordinary)


# Many requests


def test_50_connections_with_16_values_of_64_kib_in_flight(tmp_path):
    stream = Stream(tmp_path / "in.tap")
    for flow in range(50):
        stream.open(flow + 1)
    for turn in range(16):
        for flow in range(50):
            stream.data(flow + 1, SENT, command("SET", f"{flow}.{turn}", b"v" * 65536))
    for flow in range(50):
        stream.data(flow + 1, RECEIVED, b"".join(b":%d\r\n" % turn for turn in range(16)))
    stream.end()
    _, memory, exchanges = measured(stream.path, tmp_path, show=True)
    assert memory < LIMIT, memory
    assert len(exchanges) == 801 and is_ordinary(exchanges[-1])
    for exchange in map(json.loads, exchanges[:-1]):
        assert exchange["args"][0].endswith("." + exchange["response_value"]), exchange


@pytest.mark.parametrize("connections", [1, 64, 1000])
def test_a_million_commands_without_a_reply(tmp_path, connections):
    stream = Stream(tmp_path / "in.tap")
    for flow in range(connections):
        stream.open(flow + 1)
    batch = command("SET", "key:0123456789", "value") * 50
    for turn in range(1_000_000 // 50):
        stream.data(turn % connections + 1, SENT, batch)
    stream.end()
    _, memory, exchanges = measured(stream.path, tmp_path, show=True)
    os.remove(stream.path)
    assert memory < LIMIT, memory
    assert len(exchanges) == 1_000_001
    assert sum(b'"flags":["' in line and b'"unanswered"' in line for line in exchanges) == 1_000_000
    assert sum(b'"ordinary"' in line and is_ordinary(line) for line in exchanges) == 1


# Hostile peers

HOSTILE = {
    "a bulk string of 2^63 bytes": (SENT, b"*2\r\n$3\r\nGET\r\n$9223372036854775808\r\n" + b"x" * 65536, 16),
    "a reply of 2^63 bytes": (RECEIVED, b"$9223372036854775807\r\n" + b"x" * 65536, 16),
    "an array of 10^9 elements": (RECEIVED, b"*1000000000\r\n" + b":1\r\n" * 100_000, 40),
    "a map of 10^9 keys": (RECEIVED, b"%1000000000\r\n" + b"$3\r\nkey\r\n:1\r\n" * 50_000, 40),
    "10,000 levels": (RECEIVED, b"*1\r\n" * 10_000 + b":1\r\n", 40),
    "10^9 arguments": (SENT, b"*1000000000\r\n" + b"$1\r\na\r\n" * 100_000, 40),
    "a line without an end": (SENT, b"GET " + b"a" * 65536, 1000),
    "a simple string without an end": (RECEIVED, b"+" + b"a" * 65536, 1000),
    "a streamed string without an end": (RECEIVED, b"$?\r\n" + b";65536\r\n%s\r\n" % (b"a" * 65536) * 16, 100),
    "line ends only": (RECEIVED, b"\r\n" * 32768, 100),
    "dollar signs only": (SENT, b"*1\r\n" + b"$" * 65536, 400),
}  # fmt: skip


def is_told(path):
    """Whether the hostile connection has an exchange that says that it is not whole, or a notice tells of skipped bytes."""
    for kind, *fields in frames(path):
        if kind == NOTICE and fields[4]["skipped_bytes"] > 0:
            return True
        if kind == EXCHANGE and fields[0] == 1 and {"cut", "incomplete", "malformed"} & set(fields[6]):
            return True
    return False


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_peer_costs_bounded_memory_and_linear_time(tmp_path, name):
    direction, content, repeats = HOSTILE[name]
    # What comes behind the beginning, again and again.
    rest = content[content.index(b"\n") + 1 :] if b"\n" in content[:40] else content[4:]
    seconds = {}
    for times in (repeats, 2 * repeats):
        stream = Stream(tmp_path / "in.tap")
        stream.open(1)
        stream.data(1, SENT, command("GET", "a"))
        if direction == SENT:
            stream.data(1, RECEIVED, b"$-1\r\n")
        stream.data(1, direction, content)
        for _ in range(times):
            stream.data(1, direction, rest)
        stream.end()
        runs = [measured(stream.path, tmp_path, show=times == repeats) for _ in range(2)]
        assert max(memory for _, memory, _ in runs) < LIMIT
        seconds[times] = min(taken for taken, _, _ in runs)
        if times == repeats:
            assert sum(is_ordinary(exchange) for exchange in runs[0][2]) == 1
            assert is_told(tmp_path / "out"), "nothing says what was not decoded"
    # Small times are as exact as the clock's ticks.
    assert seconds[2 * repeats] <= 2.2 * seconds[repeats] + 0.03, seconds
