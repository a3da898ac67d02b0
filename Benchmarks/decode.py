# How fast a recording is decoded and printed, beside hiredis on the same RESP bytes: a million small SET and GET exchanges.

import os
import subprocess
import time

from harness import tapwire
from harness.pipeline import Capture, tool
from harness.servers import RedisServer
from memory import anonymous_bytes
from report import Table, median, spread, thousands

HERE = os.path.dirname(os.path.abspath(__file__))


def record(work, requests):
    """Captures redis-benchmark at the server, 50 connections in pipelines of 16: the recording's path."""
    server = RedisServer(os.path.join(work, "redis-decode"))
    try:
        # The ring holds a second of it: here is measured what comes later.
        options = ["--port", server.port, "--direction", "ingress", "--buffer", "256M"]
        capture = Capture(os.path.join(work, "recording"), options)
        words = ["-t", "set,get", "-P", "16", "-r", "1000000", "-d", "16", "-n", str(requests), "-q"]
        subprocess.run(["redis-benchmark", "-p", str(server.port), *words], stdout=subprocess.DEVNULL, check=True)
        capture.stop()
    finally:
        server.stop()
    return capture.output


def split(recording, work):
    """The RESP bytes of a recording for a reader that knows no frames: all requests, and all replies."""
    streams = {}
    for kind, *fields in tapwire.frames(recording):
        assert kind != tapwire.GAP, "the recording has gaps: it measures nothing"
        if kind == tapwire.DATA:
            flow, direction, _, _, data = fields[:5]
            streams.setdefault((direction, flow), []).append(data)
    paths = []
    for direction, name in ((tapwire.RECEIVED, "requests"), (tapwire.SENT, "replies")):
        paths.append(os.path.join(work, name))
        with open(paths[-1], "wb") as file:
            for key, pieces in streams.items():
                if key[0] == direction:
                    file.writelines(pieces)
    return paths


def timed(command, stdin):
    """Seconds from start to end, and the peak of anonymous memory, of a program that reads a file and writes nowhere."""
    with open(stdin, "rb") as file, open(os.devnull, "wb") as null:
        start = time.monotonic()
        process = subprocess.Popen(command, stdin=file, stdout=null)
        peak = 0
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(0.002)
        seconds = time.monotonic() - start
    assert process.returncode == 0, command
    return seconds, peak
