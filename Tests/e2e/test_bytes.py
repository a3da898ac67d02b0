# Arguments and replies are byte-exact: what a raw client sent and received is what the JSON output gives back.

import os
import random

import pytest

from harness.exchanges import by_client, expected_exchange, seen_exchange
from harness.pipeline import JSON, RESP
from harness.resp import Client, Simple

pytestmark = pytest.mark.live


@pytest.fixture
def rng():
    """Seeded random numbers; the seed is printed, and TAP_SEED repeats a run."""
    seed = int(os.environ.get("TAP_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"TAP_SEED={seed}")
    return random.Random(seed)


class Recorder:
    """A raw client that remembers what the JSON output must show of it."""

    def __init__(self, port, host="127.0.0.1"):
        self.client = Client(port, host, receive_bytes=1 << 20)
        self.address = self.client.address
        self.expected = []
        self.queued = []

    def call(self, *arguments):
        reply = self.client.call(*arguments)
        if isinstance(reply, Simple) and reply == b"QUEUED":
            self.queued.append(arguments)
            return reply
        # What was queued comes out with EXEC, each command with its own reply.
        for command, result in zip(self.queued, reply if self.queued else []):
            self.expected.append((["queued"], expected_exchange(command, result)))
        self.queued = []
        self.expected.append((None, expected_exchange(arguments, reply)))
        return reply

    def close(self):
        self.client.close()


def check(run, recorders):
    """Each connection's exchanges, on both sides, are the ones that its client saw, in that order."""
    for direction in ("ingress", "egress"):
        seen = by_client(run.output, direction)
        for recorder in recorders:
            shown = seen.get(recorder.address, [])
            flags = [flags for flags, _ in recorder.expected]
            assert [exchange.get("flags") for exchange in shown] == flags, direction
            for index, (exchange, (_, expected)) in enumerate(zip(shown, recorder.expected)):
                # Not assert on the values themselves: a difference of megabytes takes pytest minutes to print.
                same = seen_exchange(exchange) == expected
                assert same, (direction, index, str(expected)[:300], str(seen_exchange(exchange))[:300])


def random_bytes(rng, length):
    """Random bytes; at times only such as are UTF-8, or text that ends in the middle of a character."""
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(rng.choices(b"abc \r\n\0\x1b$*:-+", k=length))
    if kind == 1:
        return ("äß→😀\u202e" * length).encode()[:length]
    return rng.randbytes(length)


def test_random_keys_and_values_come_back_byte_for_byte(redis, capture, rng):
    server = redis()
    run = capture(["--port", server.port, "--buffer", "64M"], [RESP, JSON])
    recorders = [Recorder(server.port), Recorder(server.port, "::1")]
    lengths = [0, 1, 2, 23, 24, 255, 256, 4095, 4096, 65535, 65536, (1 << 20) + 1, 7 << 20]
    lengths += [rng.randrange(1 << rng.randrange(1, 18)) for _ in range(150)]
    rng.shuffle(lengths)
    for length in lengths:
        recorder = rng.choice(recorders)
        key = random_bytes(rng, rng.randrange(40))
        value = random_bytes(rng, length)
        recorder.call("SET", key, value)
        assert recorder.call("GET", key) == value
        if length < 100_000:
            hash_key, fields = b"h" + key, [random_bytes(rng, rng.randrange(30)) for _ in range(6)]
            recorder.call("DEL", hash_key)
            recorder.call("HSET", hash_key, *fields)
            recorder.call("HGETALL", hash_key)
            recorder.call("APPEND", b"a" + key, value)
            recorder.call("ECHO", value)
    for recorder in recorders:
        recorder.close()
    run.stop()
    check(run, recorders)


@pytest.mark.parametrize("version", [2, 3])
def test_every_type_of_reply_keeps_its_value(redis, capture, rng, version):
    server = redis()
    run = capture(["--port", server.port], [RESP, JSON])
    recorder = Recorder(server.port)
    recorder.call("HELLO", version)
    recorder.call("SET", "text", "hello")
    recorder.call("GET", "missing")
    recorder.call("INCRBY", "counter", 2**63 - 1)
    recorder.call("INCRBY", "counter", 1)
    recorder.call("GETRANGE", "text", -(2**62), 2**62)
    recorder.call("HSET", "hash", "a", "1", b"\xff", b"\xfe")
    recorder.call("HGETALL", "hash")
    recorder.call("SADD", "set", "x", b"\x80", "12")
    recorder.call("SMEMBERS", "set")
    recorder.call("ZADD", "sorted", "1.5", "one", "-inf", "low")
    recorder.call("ZSCORE", "sorted", "one")
    recorder.call("ZSCORE", "sorted", "low")
    recorder.call("LRANGE", "nothing", 0, -1)
    recorder.call("EVAL", "return {1, {2, 'x', false, {}}, redis.error_reply('ERR inside'), 9007199254740993}", 0)
    recorder.call("EVAL", "return {'nested', {'deep', {'deeper', {'deepest'}}}}", 0)
    recorder.call("DEBUG", "PROTOCOL", "string")
    recorder.call("LOLWUT")
    recorder.call("nosuchcommand", rng.randbytes(20))
    recorder.call("MULTI")
    recorder.call("INCR", "n")
    recorder.call("GET", "text")
    recorder.call("EXEC")
    if version == 3:
        recorder.call("EVAL", "redis.setresp(3); return redis.call('HGETALL', 'hash')", 0)
        recorder.call("EVAL", "return {map={field='value'}}", 0)
        recorder.call("EVAL", "return {big_number='-3492890328409238509324850943850943825024385'}", 0)
        recorder.call("EVAL", "return {verbatim_string={format='txt', string='words'}}", 0)
        recorder.call("EVAL", "redis.setresp(3); return true", 0)
        recorder.call("EVAL", "return {double=3.25}", 0)
        recorder.call("EVAL", "return {set={one=true}}", 0)
    recorder.close()
    run.stop()
    check(run, [recorder])
