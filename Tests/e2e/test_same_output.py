# The pipeline is its parts: recorded and replayed, with another stage in between, the output is the live one, byte for byte.

import subprocess
import sys

import pytest

from harness.pipeline import HTTP, JSON, PRETTY, RESP, ROOT, run

COUNT = [sys.executable, f"{ROOT}/examples/count.py"]

# Places for a stage that forwards everything, with programs of ours before and behind it.
REPLAYS = {
    "recording": [RESP, JSON],
    "http before resp": [HTTP, RESP, JSON],
    "http behind resp": [RESP, HTTP, JSON],
    "python before resp": [COUNT, RESP, JSON],
    "python behind resp": [RESP, COUNT, JSON],
    "python everywhere": [COUNT, RESP, COUNT, HTTP, COUNT, JSON],
}


def workload(port):
    """Real clients: the command line, redis-benchmark with pipelines, redis-py with RESP3 and a binary value."""
    import redis

    cli = ["redis-cli", "-p", str(port)]
    subprocess.run([*cli, "SET", "testkey", "hello from cli"], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(
        ["redis-benchmark", "-p", str(port), "-q", "-n", "3200", "-P", "16", "-d", "100", "-t", "set,get,lpush,lrange_100"],
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    with redis.Redis(port=port, protocol=3) as client:
        client.hset("hash", mapping={"a": 1, "binary": b"\xff\x00"})
        client.hgetall("hash")
        client.set("large", b"\x80" * 300_000)
        client.get("large")
        with client.pipeline() as pipeline:
            pipeline.incr("n").get("testkey").execute()


@pytest.mark.live
def test_live_and_replayed_outputs_are_the_same(redis, capture, tmp_path):
    server = redis()
    recording = tmp_path / "recording.tap"
    live = capture(["--port", server.port, "--buffer", "64M"], [["tee", str(recording)], COUNT, RESP, HTTP, COUNT, JSON])
    workload(server.port)
    live.stop()
    with open(live.output, "rb") as file:
        output = file.read()
    assert output.count(b"\n") > 2 * 12_000
    for name, stages in REPLAYS.items():
        replayed = run(stages, tmp_path / name, stdin=recording)
        assert replayed == output, name
    pretty = run([RESP, PRETTY], tmp_path / "pretty", stdin=recording)
    assert pretty == run([COUNT, RESP, HTTP, COUNT, PRETTY], tmp_path / "pretty-python", stdin=recording)
    assert pretty.count(b"\n") == output.count(b"\n")
    assert "■ redis-cli → SET testkey hello from cli OK".encode() in pretty
    assert "■ redis-server ← SET testkey hello from cli OK".encode() in pretty
