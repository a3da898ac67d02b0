# What attribution costs tap-capture per event: its processor time while processes come and go, beside that of a quiet machine.

import os
import subprocess
import sys
import time

from harness import tapwire
from harness.pipeline import Capture
from report import Table, median, spread

# Many connections of one process with itself, used in turns: two events a message. Begins with each line of its input, and
# says when it is done.
LOAD = """
import socket, sys
connections, messages = int(sys.argv[1]), int(sys.argv[2])
with socket.create_server(("127.0.0.1", 0), backlog=connections) as listener:
    print(listener.getsockname()[1], flush=True)
    sys.stdin.readline()
    pairs = []
    for _ in range(connections):
        client = socket.create_connection(listener.getsockname())
        pairs.append((client, listener.accept()[0]))
word = bytes(64)
for _ in range(messages // connections):
    for client, server in pairs:
        client.send(word)
        server.recv(64)
print("done", flush=True)
sys.stdin.readline()
"""

CONNECTIONS = 256


def processor_nanoseconds(pid):
    """Of the process's main thread, which reads the ring."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


def forks():
    """Of the whole machine since it was started."""
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("processes "))


class Spent:
    """What a capture has used, and how many processes have begun, while something went on."""

    def __init__(self, pid):
        self.pid = pid
        self.began = time.monotonic(), processor_nanoseconds(pid), forks()

    def end(self):
        # The ring is read at least every 10 ms.
        time.sleep(0.1)
        time_began, nanoseconds, count = self.began
        self.seconds = time.monotonic() - time_began
        self.nanoseconds = processor_nanoseconds(self.pid) - nanoseconds
        self.forks = forks() - count
        return self


def measure_once(directory, messages, has_churn):
    """Nanoseconds an event, nanoseconds a process that comes and goes, and how many of those a second."""
    words = [sys.executable, "-c", LOAD, str(CONNECTIONS), str(messages)]
    load = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = int(load.stdout.readline())
    capture = Capture(directory, ["--port", port])
    churn = None
    try:
        a_process = 0
        if has_churn:
            churn = subprocess.Popen(["sh", "-c", "while :; do /bin/true; done"])
            alone = Spent(capture.first.pid)
            time.sleep(1)
            alone.end()
            a_process = alone.nanoseconds / alone.forks
        spent = Spent(capture.first.pid)
        load.stdin.write("\n")
        load.stdin.flush()
        assert load.stdout.readline() == "done\n"
        spent.end()
    finally:
        if churn:
            churn.kill()
            churn.wait()
        load.communicate("\n")
        capture.stop()
    totals = list(tapwire.frames(capture.output))[-1][2]
    events = totals["data_frames"]
    assert events == 2 * (messages // CONNECTIONS * CONNECTIONS), totals
    return (spent.nanoseconds - a_process * spent.forks) / events, a_process, spent.forks / spent.seconds


def measure(work, rounds, messages):
    """A table: an event while nothing else happens, and while processes come and go."""
    quiet, busy, processes, rates = [], [], [], []
    for index in range(rounds):
        quiet.append(measure_once(os.path.join(work, f"quiet-{index}"), messages, False)[0])
        event, process, rate = measure_once(os.path.join(work, f"churn-{index}"), messages, True)
        busy.append(event)
        processes.append(process / 1000)
        rates.append(rate)
    table = Table(
        f"tap-capture's processor time, {CONNECTIONS} connections in turns, {2 * messages:,} events",
        "meanwhile", "ns an event", "of quiet", "µs a process",
    )  # fmt: skip
    table.add("nothing", spread(quiet), "1.00", "")
    ratios = [mine / other for mine, other in zip(busy, quiet)]
    table.add(f"{median(rates):,.0f} processes a second come and go", spread(busy), spread(ratios), spread(processes))
    table.notes.append(f"Median (lowest to highest) of {rounds} rounds. User space and system calls of the thread that reads.")
    table.notes.append("A process: its fork, exec and exit, measured by itself and taken off the time of the events.")
    return [table]
