# The recordings that are decoded: real traffic of several shapes, captured at the server, and one value in small chunks.

import os
import subprocess
from typing import Callable, NamedTuple

import cbor2

from harness import tapwire
from harness.pipeline import Capture
from harness.resp import command
from harness.servers import RedisServer

CHUNK = 4096


def add_stream(client):
    """Twenty entries: XRANGE answers with an array of arrays of arrays."""
    for index in range(20):
        client.call("XADD", "stream", f"{1_700_000_000_000 + index}-0", "sensor", f"device:{index:04}", "value", 20.5 + index)


def add_hash(client):
    """Twenty fields: HGETALL answers with a map to whom speaks RESP3."""
    for index in range(20):
        client.call("HSET", "hash", f"field:{index:02}", f"value of field {index}")


class Shape(NamedTuple):
    """What redis-benchmark does, and what it finds; `share` of the requests of small ones."""

    name: str
    words: list
    share: float
    prepare: Callable = lambda client: None


SMALL = Shape("small SET and GET", ["-t", "set,get", "-P", "16", "-r", "1000000", "-d", "16"], 1)
OTHERS = [
    Shape("values of 1 KiB", ["-t", "set,get", "-P", "16", "-d", "1024"], 1 / 16),
    # As much is in flight as half the ring.
    Shape("values of 64 KiB", ["-t", "set,get", "-d", "65536"], 1 / 500),
    Shape("nested arrays (XRANGE)", ["-P", "16", "XRANGE", "stream", "-", "+"], 1 / 16, add_stream),
    Shape("RESP3 maps (HGETALL)", ["-3", "-P", "16", "HGETALL", "hash"], 1 / 8, add_hash),
]


def record(work, shape, requests):
    """Captures redis-benchmark with 50 connections at the server: the recording's path."""
    directory = os.path.join(work, shape.name.replace(" ", "-"))
    server = RedisServer(os.path.join(directory, "redis"))
    try:
        with server.client() as client:
            shape.prepare(client)
        # The ring holds a second of it: here is measured what comes later.
        capture = Capture(directory, ["--port", server.port, "--direction", "ingress", "--buffer", "256M"])
        benchmark = ["redis-benchmark", "-p", str(server.port), "-q", "-n", str(round(requests * shape.share))]
        subprocess.run([*benchmark, *shape.words], stdout=subprocess.DEVNULL, check=True)
        capture.stop()
    finally:
        server.stop()
    return capture.output


def split(recording):
    """The RESP bytes of a recording for a reader that knows no frames: all requests, and all replies; two paths."""
    streams = {}
    for kind, *fields in tapwire.frames(recording):
        assert kind != tapwire.GAP, "the recording has gaps: it measures nothing"
        if kind == tapwire.DATA:
            flow, direction, _, _, data = fields[:5]
            streams.setdefault((direction, flow), []).append(data)
    paths = []
    for direction, name in ((tapwire.RECEIVED, "requests"), (tapwire.SENT, "replies")):
        paths.append(f"{recording}.{name}")
        with open(paths[-1], "wb") as file:
            for key, pieces in streams.items():
                if key[0] == direction:
                    file.writelines(pieces)
    return paths


def trickle(path, value_bytes, values):
    """Writes a recording of SETs of so many bytes each, in chunks as small clients write them."""
    with open(path, "wb") as file:

        def write(*frame):
            file.write(cbor2.dumps(cbor2.dumps(frame)))

        write(tapwire.HELLO, 1, "bench", 0, "host", "file")
        write(tapwire.FLOW, 1, None, {"transport": "tcp", "role": "server"})
        sets = command("SET", "key", b"v" * value_bytes)
        offsets = [0, 0]
        time = 1 << 40

        def data(direction, piece):
            nonlocal time
            time += 1000
            write(tapwire.DATA, 1, direction, time, offsets[direction], piece)
            offsets[direction] += len(piece)

        for _ in range(values):
            for start in range(0, len(sets), CHUNK):
                data(tapwire.RECEIVED, sets[start : start + CHUNK])
            data(tapwire.SENT, b"+OK\r\n")
        write(tapwire.CLOSE, 1, time, "closed")
        write(tapwire.END, True, {})
    return path
