# The soak: an hour of churn through the whole pipeline, sampled. scripts/soak runs it, and test_soak.py for seconds.

import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import tapwire  # noqa: E402
from harness.churn import Churn, Sample, check, maps_of  # noqa: E402
from harness.pipeline import JSON, RESP, Capture  # noqa: E402
from harness.servers import RedisServer  # noqa: E402


def soak(work, seconds, pause, say=lambda text: None):
    """Runs it and returns (connections made, samples, what the stream counts)."""
    frames, books = os.path.join(work, "frames"), os.path.join(work, "books")
    os.mkfifo(frames)
    server = RedisServer(os.path.join(work, "redis"))
    started = [Churn(server.port)]
    try:
        churn = started[0]
        # An hour of frames need not be kept: a process of its own counts them as they come.
        reader = subprocess.Popen([sys.executable, __file__, "--count", frames, books])
        started.append(reader)
        options = ["--pid", churn.pid, "--pid", server.pid, "--port", server.port]
        capture = Capture(os.path.join(work, "capture"), options, [["tee", frames], RESP, JSON], output="/dev/null")
        started.append(capture)
        first, _, resp, fmt = (process.pid for process in capture.processes)
        pids, maps = {"tap-capture": first, "tap-resp": resp, "tap-fmt": fmt}, maps_of(first)
        churn.start()
        samples, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(pause)
            samples.append(Sample(pids, maps))
            say(str(samples[-1]))
        made = churn.stop()
        # The server closes its end a moment later.
        time.sleep(0.5)
        samples.append(Sample(pids, maps))
        capture.stop()
        assert reader.wait(60) == 0
    finally:
        for process in started:
            process.kill()
        server.stop()
    with open(books) as file:
        return made, samples, {name: int(value) for name, value in map(str.split, file)}


def count(frames, books):
    """Writes the reasons of the closes and the totals of a stream."""
    counted = collections.Counter()
    for kind, *fields in tapwire.frames(frames):
        if kind == tapwire.CLOSE:
            counted[fields[2]] += 1
        elif kind == tapwire.END:
            counted.update(fields[1])
    with open(books, "w") as file:
        for name, value in counted.items():
            file.write(f"{name} {value}\n")


def verify(made, samples, books, growth_kib):
    """Memory and maps stay as they are, and each connection is two flows, the client's and the server's, seen to its end."""
    check(samples, growth_kib)
    assert books["flows"] == 2 * made, (made, books)
    assert books["closed"] == books["flows"] and "capture_ended" not in books, books
    for name in ("lost_transfer_records", "lost_process_records", "lost_flow_ends", "untracked_bytes"):
        assert books[name] == 0, books


def main():
    parser = argparse.ArgumentParser(prog="scripts/soak", description="Churn for an hour; fails if anything leaks.")
    parser.add_argument("--minutes", type=float, default=60, help="how long; 60 if not given")
    parser.add_argument("--count", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        return count(*options.count)
    with tempfile.TemporaryDirectory(prefix="tap-soak.") as work:
        seconds = 60 * options.minutes
        made, samples, books = soak(work, seconds, max(1, seconds / 60), lambda text: print(text, flush=True))
    print(f"{made:,} connections in {options.minutes:g} minutes; the stream counts {books}")
    verify(made, samples, books, growth_kib=512)
    print("nothing leaked")


if __name__ == "__main__":
    main()
