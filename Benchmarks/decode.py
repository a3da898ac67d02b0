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


def numbers(command):
    """What a helper prints."""
    return [float(word) for word in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def exchanges_in(path):
    return sum(frame[0] == tapwire.EXCHANGE for frame in tapwire.frames(path))


def measure(work, rounds, requests):
    """A table of speeds and one of memory; all take turns within each round."""
    recording = record(work, requests)
    streams = split(recording, work)
    hiredis = os.path.join(work, "hiredis-reader")
    subprocess.run(["gcc", "-O2", os.path.join(HERE, "hiredis-reader.c"), "-o", hiredis, "-lhiredis"], check=True)
    decoded = os.path.join(work, "decoded.tap")
    with open(recording, "rb") as source, open(decoded, "wb") as target:
        subprocess.run([tool("tap-resp")], stdin=source, stdout=target, check=True)
    exchanges = exchanges_in(decoded)
    assert exchanges >= 2 * requests, exchanges

    names = ("hiredis", "decoder", "tap-resp", "tap-fmt --json")
    seconds = {name: [] for name in names}
    peaks = {"tap-resp": 0, "tap-fmt --json": 0}
    for _ in range(rounds):
        resp_bytes, _, spent = numbers([hiredis, *streams])
        seconds["hiredis"].append(spent)
        decoder_bytes, _, spent = numbers([tool("decoder-benchmark"), recording])
        assert decoder_bytes == resp_bytes, "the competitors do not read the same bytes"
        seconds["decoder"].append(spent)
        for name, command, source in (
            ("tap-resp", [tool("tap-resp")], recording),
            ("tap-fmt --json", [tool("tap-fmt"), "--json"], decoded),
        ):
            spent, peak = timed(command, source)
            seconds[name].append(spent)
            peaks[name] = max(peaks[name], peak)

    title = f"A recording of {thousands(exchanges)} SET and GET exchanges, {resp_bytes / 1e6:.0f} MB of RESP, pipelines of 16"
    table = Table(title, "program", "MB of RESP/s", "exchanges/s", "of hiredis")
    shown = {
        "hiredis": "hiredis redisReader, in memory",
        "decoder": "decoder of tap-resp, in memory",
        "tap-resp": "tap-resp <file >/dev/null",
        "tap-fmt --json": "tap-fmt --json <file >/dev/null",
    }
    for name in names:
        spent = median(seconds[name])
        ratios = [base / own for base, own in zip(seconds["hiredis"], seconds[name])]
        is_decoding = name != "tap-fmt --json"
        table.add(
            shown[name],
            f"{resp_bytes / spent / 1e6:.0f}" if is_decoding else "",
            thousands(exchanges / spent),
            spread(ratios) if is_decoding else "",
        )
    table.notes.append(f"Medians of {rounds} rounds; the last column is the ratio within each round. Programs include their start.")
    memory = Table("Largest anonymous memory on that recording", "stage", "MiB")
    for name, peak in peaks.items():
        memory.add(name, f"{peak / (1 << 20):.1f}")
    return [table, memory]
