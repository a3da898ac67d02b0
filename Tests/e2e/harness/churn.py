# Connections that come and go, many a minute, from processes that do too: what leaks shows in the memory of the capture and
# in the maps of its kernel program.

import json
import os
import subprocess
import sys
import time

# From the first line of its standard input to its end, opens connections at an even pace, most of them itself, some from
# children that live as long as one. Prints their number.
CLIENTS = """
import select, socket, subprocess, sys, time
port, interval, each_child = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
made, due = 0, time.monotonic()
while True:
    due += interval
    if select.select([sys.stdin], [], [], max(0, due - time.monotonic()))[0]:
        break
    made += 1
    if made % each_child == 0:
        words = ["redis-cli", "-p", str(port), "SET", f"key:{made}", "x" * 100]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        continue
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"*1\\r\\n$4\\r\\nPING\\r\\n")
        assert connection.recv(100) == b"+PONG\\r\\n"
print(made, flush=True)
"""


class Churn:
    """A process that makes connections to a port from its start to its stop."""

    def __init__(self, port, connections_per_minute=10_000, each_child=50):
        words = [sys.executable, "-c", CLIENTS, str(port), str(60 / connections_per_minute), str(each_child)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid

    def start(self):
        """The first connection comes after this."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def stop(self):
        """Ends it and returns how many connections it made."""
        output, _ = self.process.communicate(timeout=30)
        assert self.process.returncode == 0
        return int(output)

    def kill(self):
        self.process.kill()
        self.process.wait()


def maps_of(pid):
    """The ids of the BPF maps that a process holds, by name."""
    held = set()
    for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{descriptor}") as info:
            held |= {int(line.split()[1]) for line in info if line.startswith("map_id:")}
    shown = subprocess.run(["bpftool", "map", "show", "--json"], capture_output=True, check=True).stdout
    return {entry["name"]: entry["id"] for entry in json.loads(shown) if entry["id"] in held}


def entries(map_id):
    """How many entries a map holds."""
    shown = subprocess.run(["bpftool", "map", "dump", "id", str(map_id), "--json"], capture_output=True, check=True).stdout
    return len(json.loads(shown or b"[]"))


# Maps whose entries belong to processes and flows that are there, or wait to be collected.
COUNTED_MAPS = ("traced", "excluded", "unreported_ends", "tcp_losses", "unix_losses")


class Sample:
    """What the pipeline and the maps of a capture hold at a moment."""

    def __init__(self, pids, maps):
        self.time = time.monotonic()
        self.anonymous_kib = {name: anonymous_kib(pid) for name, pid in pids.items()}
        self.entries = {name: entries(maps[name]) for name in COUNTED_MAPS if name in maps}

    def __str__(self):
        memory = ", ".join(f"{name} {kib} KiB" for name, kib in self.anonymous_kib.items())
        return f"{memory}; entries: " + ", ".join(f"{name} {count}" for name, count in self.entries.items())


def anonymous_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


def check(samples, growth_kib):
    """Memory is flat once the capture has warmed up, and no entry stays behind."""
    warm = samples[max(1, len(samples) // 4) :]
    for name in samples[0].anonymous_kib:
        first, last = warm[0].anonymous_kib[name], max(sample.anonymous_kib[name] for sample in warm)
        assert last - first <= growth_kib, f"{name} grew from {first} to {last} KiB"
    for sample in samples:
        # The clients' process, the server with its threads, and a child or two on its way in or out.
        assert sample.entries["traced"] <= 6, str(sample)
        kept = sum(sample.entries[name] for name in ("unreported_ends", "tcp_losses", "unix_losses"))
        assert kept == 0, str(sample)
