# How fast recordings are decoded and printed, beside hiredis on the same RESP bytes.

import os
import re
import subprocess
import time

from competitor import build_hiredis_reader
from harness import tapwire
from harness.pipeline import tool
from memory import anonymous_bytes
from recordings import CHUNK, OTHERS, SMALL, record, split, trickle
from report import Table, median, spread, thousands

MIB = 1 << 20


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


def instructions(recording):
    """What tap-resp executes for a recording, in user space, as callgrind counts it."""
    with open(recording, "rb") as file:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", tool("tap-resp")]
        done = subprocess.run(command, stdin=file, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


class Race:
    """hiredis, the decoder and the stage, each in turn over one recording."""

    def __init__(self, hiredis, recording):
        self.recording = recording
        self._commands = {
            "hiredis": [hiredis, *split(recording)],
            "decoder": [tool("decoder-benchmark"), recording],
        }
        self.seconds = {name: [] for name in ("hiredis", "decoder", "tap-resp")}
        self.bytes = None
        self.peak = 0

    def round(self):
        for name, command in self._commands.items():
            count, _, spent = numbers(command)
            assert self.bytes in (None, count), "the competitors do not read the same bytes"
            self.bytes = count
            self.seconds[name].append(spent)
        spent, peak = timed([tool("tap-resp")], self.recording)
        self.seconds["tap-resp"].append(spent)
        self.peak = max(self.peak, peak)

    def megabytes_per_second(self, name):
        return f"{self.bytes / median(self.seconds[name]) / 1e6:.0f}"

    def ratios(self, name):
        """How often as fast as hiredis, in each round."""
        return spread([base / own for base, own in zip(self.seconds["hiredis"], self.seconds[name])])


def measure_small(work, hiredis, rounds, requests):
    """The usual traffic, with what it costs to print it; a table of speeds and one of memory."""
    race = Race(hiredis, record(work, SMALL, requests))
    decoded = os.path.join(work, "decoded.tap")
    with open(race.recording, "rb") as source, open(decoded, "wb") as target:
        subprocess.run([tool("tap-resp")], stdin=source, stdout=target, check=True)
    exchanges = exchanges_in(decoded)
    assert exchanges >= 2 * requests, exchanges
    printing, printing_peak = [], 0
    for _ in range(rounds):
        race.round()
        spent, peak = timed([tool("tap-fmt"), "--json"], decoded)
        printing.append(spent)
        printing_peak = max(printing_peak, peak)

    title = f"A recording of {thousands(exchanges)} SET and GET exchanges, {race.bytes / 1e6:.0f} MB of RESP, pipelines of 16"
    table = Table(title, "program", "MB of RESP/s", "exchanges/s", "of hiredis")
    for name, shown in (
        ("hiredis", "hiredis redisReader, in memory"),
        ("decoder", "decoder of tap-resp, in memory"),
        ("tap-resp", "tap-resp <file >/dev/null"),
    ):
        rate = thousands(exchanges / median(race.seconds[name]))
        table.add(shown, race.megabytes_per_second(name), rate, race.ratios(name))
    table.add("tap-fmt --json <file >/dev/null", "", thousands(exchanges / median(printing)), "")
    table.notes.append(f"Medians of {rounds} rounds; the last column is the ratio within each round. Programs include their start.")
    each = (instructions(race.recording) - instructions(os.devnull)) / exchanges
    table.notes.append(f"tap-resp executes {each:.0f} instructions an exchange (callgrind, its start not counted).")
    memory = Table("Largest anonymous memory on that recording", "stage", "MiB")
    memory.add("tap-resp", f"{race.peak / MIB:.1f}")
    memory.add("tap-fmt --json", f"{printing_peak / MIB:.1f}")
    return [table, memory]


def measure_others(work, hiredis, rounds, requests):
    """Larger values and deeper ones."""
    table = Table(
        "Other shapes, MB of RESP/s", "shape", "hiredis", "decoder", "of hiredis", "tap-resp <file >/dev/null", "of hiredis"
    )
    for shape in OTHERS:
        race = Race(hiredis, record(work, shape, requests))
        for _ in range(rounds):
            race.round()
        speed = {name: race.megabytes_per_second(name) for name in race.seconds}
        table.add(
            f"{shape.name}, {race.bytes / 1e6:.0f} MB", speed["hiredis"], speed["decoder"], race.ratios("decoder"),
            speed["tap-resp"], race.ratios("tap-resp"),
        )
    table.notes.append(f"Medians of {rounds} rounds. hiredis and the decoder have the bytes in memory; tap-resp reads a file.")
    return table


def measure_growth(work, rounds, largest):
    """Values of double the size each, in small chunks: the time must double too."""
    table = Table(f"A value in chunks of {CHUNK // 1024} KiB, in memory", "value", "ms", "of half the size")
    before = None
    for size in (largest // 16, largest // 8, largest // 4, largest // 2, largest):
        # Enough of the smaller ones that there is something to measure.
        values = 16 if size <= largest // 8 else 4
        path = trickle(os.path.join(work, "trickle"), size, values)
        spent = median([numbers([tool("decoder-benchmark"), path])[2] for _ in range(rounds)]) / values
        table.add(f"{size / MIB:g} MiB", f"{spent * 1000:.2f}", f"{spent / before:.2f}" if before else "")
        before = spent
    table.notes.append(f"Medians of {rounds} rounds. Beyond 8 MiB a value is cut and its rest only counted.")
    return table


def measure(work, rounds, requests):
    """All of it, as tables; all take turns within each round."""
    hiredis = build_hiredis_reader(work)
    tables = measure_small(work, hiredis, rounds, requests)
    # Short runs, so more of them.
    tables.append(measure_others(work, hiredis, rounds, requests))
    tables.append(measure_growth(work, rounds, 48 * MIB if requests >= 100_000 else 6 * MIB))
    return tables
