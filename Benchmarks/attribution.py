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

def processor_nanoseconds(pid):
    """Of the process's main thread, which reads the ring."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


def forks():
    """Of the whole machine since it was started."""
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("processes "))


def measure_once(directory, connections, messages, has_churn):
    """Nanoseconds an event, events, and processes that came and went meanwhile."""
    words = [sys.executable, "-c", LOAD, str(connections), str(messages)]
    load = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = int(load.stdout.readline())
    capture = Capture(directory, ["--port", port])
    churn = None
    try:
        if has_churn:
            churn = subprocess.Popen(["sh", "-c", "while :; do /bin/true; done"])
        before, count = processor_nanoseconds(capture.first.pid), forks()
        load.stdin.write("\n")
        load.stdin.flush()
        assert load.stdout.readline() == "done\n"
        # The ring is read at least every 10 ms.
        time.sleep(0.05)
        spent, count = processor_nanoseconds(capture.first.pid) - before, forks() - count
    finally:
        if churn:
            churn.kill()
            churn.wait()
        load.communicate("\n")
        capture.stop()
    events = list(tapwire.frames(capture.output))[-1][2]["data_frames"]
    assert events == 2 * (messages // connections * connections)
    return spent / events, events, count


def measure(work, rounds, messages):
    """A table: an event while nothing else happens, and while processes come and go, on one connection and on many."""
    table = Table(
        f"tap-capture's processor time per event, {2 * messages:,} events, while processes come and go",
        "connections in turns", "ns an event, quiet", "ns an event, with processes", "processes", "µs a process",
    )  # fmt: skip
    for connections in (1, 256):
        quiet, busy, counts, excess = [], [], [], []
        for index in range(rounds):
            calm, _, _ = measure_once(os.path.join(work, f"quiet-{connections}-{index}"), connections, messages, False)
            event, events, count = measure_once(
                os.path.join(work, f"churn-{connections}-{index}"), connections, messages, True
            )
            quiet.append(calm)
            busy.append(event)
            counts.append(count)
            excess.append((event - calm) * events / count / 1000)
        table.add(connections, spread(quiet), spread(busy), f"{median(counts):,.0f}", spread(excess))
    table.notes.append(f"Median (lowest to highest) of {rounds} rounds. The thread that reads, with its system calls.")
    table.notes.append("A process: its fork, exec and exit. Of what they cost nothing may be paid again by each connection.")
    return [table]
