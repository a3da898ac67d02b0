# The truth test: what the pipeline shows of a real server under a real load is what the server itself counted.

import subprocess
import time
from collections import Counter

import pytest

from harness import tapwire
from harness.exchanges import command_statistics, counted, exchanges
from harness.pipeline import JSON, RESP

pytestmark = pytest.mark.live

MIB = 1 << 20


def benchmark(server, *options, stdin=None):
    subprocess.run(
        ["redis-benchmark", "-p", str(server.port), "-c", "50", "-q", *map(str, options)],
        input=stdin, stdout=subprocess.DEVNULL, check=True, timeout=300,
    )  # fmt: skip


def check(run, statistics, stream, allowed=frozenset()):
    """Both sides show every command that the server ran, to the last one; nothing is missing, nothing is in doubt."""
    kinds = Counter(frame[0] for frame in tapwire.frames(stream))
    assert kinds[tapwire.GAP] == 0
    assert kinds[tapwire.END] == 1
    statistics["INFO"] += 1  # it cannot count itself
    for direction in ("ingress", "egress"):
        assert counted(run.output, direction) == statistics, direction
    in_doubt = [exchange for exchange in exchanges(run.output) if set(exchange.get("flags", [])) - allowed]
    assert not in_doubt, in_doubt[:3]


# (pipeline, value bytes, ring, requests of SET GET LPUSH, of MSET, of LRANGE). A kilobyte in MSET is ten, in LRANGE a hundred:
# more of these would outrun any reader, so the ring holds most of what they move. The last is for emulated processors.
UNTHROTTLED = [
    (1, 3, "16M", 8000, 8000, 1600),
    (16, 3, "64M", 64_000, 32_000, 1600),
    (1, 1024, "256M", 8000, 1600, 800),
    (16, 1024, "256M", 16_000, 1600, 800),
    (4, 100, "16M", 500, 200, 100),
]


@pytest.mark.parametrize("depth, value_bytes, ring, requests, msets, lranges", UNTHROTTLED)
def test_every_command_is_counted_on_both_sides(
    redis, capture, tmp_path, depth, value_bytes, ring, requests, msets, lranges
):
    server = redis()
    stream = tmp_path / "exchanges.tap"
    run = capture(["--port", server.port, "--buffer", ring], [RESP, ["tee", str(stream)], JSON])
    with server.client() as admin:
        admin.call("CONFIG", "RESETSTAT")
        for tests, count in (("set,get,lpush", requests), ("mset", msets), ("lrange_100", lranges)):
            benchmark(server, "-P", depth, "-d", value_bytes, "-n", count, "-t", tests)
        statistics = command_statistics(admin)
    run.stop()
    # What was asked of redis-benchmark was really done: the oracle itself is no accident.
    assert statistics["SET"] == statistics["GET"] == requests
    assert statistics["MSET"] == msets and statistics["LRANGE"] == lranges
    assert statistics["LPUSH"] == requests + lranges
    check(run, statistics, stream)


@pytest.mark.parametrize("pipeline_depth", [1, 16])
def test_large_values_are_counted_with_half_the_ring_in_flight(redis, capture, tmp_path, pipeline_depth):
    """One round moves 800 values of 64 KiB through two sides: 105 MB, under half of the ring, however slow the reader."""
    server = redis()
    stream = tmp_path / "exchanges.tap"
    run = capture(["--port", server.port, "--buffer", f"{256 * MIB}"], [RESP, ["tee", str(stream)], JSON])
    value = "v" * 65536
    expected = Counter()
    with server.client() as admin:
        admin.call("CONFIG", "RESETSTAT")
        for words in (["SET", "key"], ["GET", "key"], ["LPUSH", "list"], ["LRANGE", "list", "0", "0"], ["MSET", "m"]):
            stdin = value.encode() if words[0] in ("SET", "LPUSH", "MSET") else None
            benchmark(server, "-P", pipeline_depth, "-n", 800, *(["-x"] if stdin else []), *words, stdin=stdin)
            expected[words[0]] += 800
            wait_until_shown(run, 2 * sum(expected.values()))
        statistics = command_statistics(admin)
    run.stop()
    assert expected <= statistics
    # 50 connections with 16 commands of 64 KiB under way are 52 MB; tap-resp keeps 32 MiB and cuts the rest, marked.
    check(run, statistics, stream, allowed={"cut"} if pipeline_depth == 16 else frozenset())


def wait_until_shown(run, count):
    """Waits until at least `count` lines have left the pipeline: its reader has caught up."""
    shown = 0
    deadline = time.monotonic() + 120
    with open(run.output, "rb") as output:
        while shown < count:
            assert run.first.poll() is None and time.monotonic() < deadline, (shown, run.all_errors())
            time.sleep(0.02)
            while chunk := output.read(MIB):
                shown += chunk.count(b"\n")
