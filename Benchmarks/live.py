# What watching costs the watched: redis-benchmark bare, under our pipeline, under MONITOR and under tcpdump, in turns.

import contextlib
import csv
import os
import re
import signal
import subprocess
import time

from harness.pipeline import HTTP, JSON, RESP, Capture
from harness.servers import RedisServer
from memory import PeakMemory
from report import Table, median, spread, thousands

STAGES = ("tap-capture", "tap-resp", "tap-http", "tap-fmt")


def throughput(port, requests):
    """Requests a second of `redis-benchmark -t set,get`, both commands together."""
    words = ["redis-benchmark", "-p", str(port), "-t", "set,get", "-n", str(requests), "--csv"]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rates = [float(row["rps"]) for row in csv.DictReader(output.splitlines())]
    assert len(rates) == 2, output
    return 2 / sum(1 / rate for rate in rates)


class Live:
    """The measurement; `lost` and `peaks` gather what the pipelines said and needed."""

    def __init__(self, work, requests):
        self.work = work
        self.requests = requests
        self.lost = []
        self.peaks = dict.fromkeys(STAGES, 0)
        self.tcpdump_dropped = 0
        self.watchers = {
            "bare": self._nothing,
            "ingress": lambda port: self._pipeline(port, "ingress"),
            "both sides": lambda port: self._pipeline(port, "all"),
            "MONITOR": self._monitor,
            "tcpdump": self._tcpdump,
        }

    def round(self, port, order):
        rates = {}
        for name in order:
            with self.watchers[name](port):
                rates[name] = throughput(port, self.requests)
        return rates

    @contextlib.contextmanager
    def _nothing(self, port):
        yield

    @contextlib.contextmanager
    def _pipeline(self, port, direction):
        options = ["--port", port, "--direction", direction]
        directory = os.path.join(self.work, f"capture-{time.monotonic_ns()}")
        # The last stage writes to /dev/null and says on stderr what the end frame counted.
        capture = Capture(directory, options, [RESP, HTTP, [*JSON, "--verbose"]], output="/dev/null")
        processes = {name: process.pid for name, process in zip(STAGES, capture.processes)}
        try:
            with PeakMemory(processes) as memory:
                yield
                capture.stop()
        finally:
            capture.kill()
        for name, peak in memory.peaks.items():
            self.peaks[name] = max(self.peaks[name], peak)
        said = capture.errors(3)
        assert "end of the stream" in said, said
        counted = re.findall(r"(?:lost_\w+|gap_bytes_\w+|untracked_bytes) (\d+)", said)
        self.lost.append(sum(map(int, counted)))

    @contextlib.contextmanager
    def _monitor(self, port):
        with open(os.devnull, "wb") as null:
            process = subprocess.Popen(["redis-cli", "-p", str(port), "MONITOR"], stdout=null)
        time.sleep(0.2)
        try:
            yield
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def _tcpdump(self, port):
        words = ["tcpdump", "-i", "lo", "-w", "/dev/null", "port", str(port)]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        process.stderr.readline()
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
            process.wait()
        dropped = re.search(r"(\d+) packets? dropped by kernel", said)
        self.tcpdump_dropped += int(dropped[1]) if dropped else 0


def measure(work, rounds, requests):
    """Tables of throughput and memory."""
    live = Live(work, requests)
    names = list(live.watchers)
    results = []
    server = RedisServer(os.path.join(work, "redis"))
    try:
        throughput(server.port, requests)  # warm
        for index in range(rounds):
            # Another one begins each round, so that none always has the best moment.
            shift = index % len(names)
            results.append(live.round(server.port, names[shift:] + names[:shift]))
    finally:
        server.stop()

    title = f"redis-benchmark -t set,get, 50 connections, no pipelining, {thousands(requests)} requests of each"
    table = Table(title, "watched by", "requests/s", "of bare", "of MONITOR")
    shown = {
        "bare": "nothing",
        "ingress": "tap pipeline, --direction ingress",
        "both sides": "tap pipeline, both sides",
        "MONITOR": "redis-cli MONITOR >/dev/null",
        "tcpdump": "tcpdump -w /dev/null",
    }
    for name in names:
        table.add(
            shown[name],
            thousands(median([result[name] for result in results])),
            spread([result[name] / result["bare"] for result in results]),
            spread([result[name] / result["MONITOR"] for result in results]),
        )
    table.notes.append(
        f"Median (lowest to highest) of {rounds} rounds. Lost by our pipelines in {len(live.lost)} runs: "
        f"{sum(live.lost)} bytes. Packets that tcpdump lost: {live.tcpdump_dropped}."
    )
    memory = Table("Largest anonymous memory in these runs", "stage", "MiB")
    for name, peak in live.peaks.items():
        memory.add(name, f"{peak / (1 << 20):.1f}")
    memory.notes.append("The ring, 16 MiB, is shared memory and comes once on top of it.")
    return [table, memory]
