# What a flow of another protocol costs: kernel time of our programs beside the processor time of the transfer itself.

import os
import subprocess
import sys

from harness import tapwire
from harness.pipeline import Capture
from hooks import costs, empty_programs, statistics_enabled
from report import Table, spread

# A web server and its client, as one process each, with buffers of one size; each says its processor time.
PEER = """
import os, socket, sys
port, total, size = map(int, sys.argv[1:])
if port:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /large HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        buffer = bytearray(size)
        received = 0
        while count := connection.recv_into(buffer):
            received += count
    assert received > total, received
else:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
    with connection:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % total)
        buffer = bytes(size)
        for _ in range(-(-total // size)):
            connection.sendall(buffer)
times = os.times()
print(times.user + times.system, flush=True)
"""


def peer(port, total, size):
    words = [sys.executable, "-c", PEER, str(port), str(total), str(size)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def transfer(server, port, total, size):
    """Moves so many bytes and returns the processor seconds of both sides."""
    client = peer(port, total, size)
    seconds = float(client.communicate()[0]) + float(server.communicate()[0])
    assert client.returncode == server.returncode == 0
    return seconds


def summed(programs):
    """Runs and seconds of all programs together."""
    programs = list(programs)
    return sum(runs for _, runs, _ in programs), sum(runs * nanoseconds for _, runs, nanoseconds in programs) / 1e9


def measure(work, rounds, total):
    """A table: ours beside the transfer's, for calls of several sizes."""
    table = Table(
        f"A transfer of {total / 1e9:g} GB over HTTP, dismissed by --protocol redis",
        "bytes a call", "our runs", "ns a run", "ns of an empty program", "its processor seconds",
        "share", "share of empty programs",
    )  # fmt: skip
    for size in (16 << 10, 64 << 10, 256 << 10):
        shares, floors, last = [], [], None
        for index in range(rounds):
            server = peer(0, total, size)
            port = int(server.stdout.readline())
            with statistics_enabled(), empty_programs(work) as empty:
                capture = Capture(os.path.join(work, f"dismissed-{size}-{index}"), ["--protocol", "redis", "--port", port])
                try:
                    seconds = transfer(server, port, total, size)
                    runs, ours = summed(costs(capture.first.pid))
                    empty_runs, empty_seconds = summed(costs(empty))
                    capture.stop()
                finally:
                    capture.kill()
            totals = list(tapwire.frames(capture.output))[-1][2]
            assert totals["dismissed_bytes"] >= 2 * total, totals
            floor = empty_seconds / empty_runs
            shares.append(100 * ours / seconds)
            floors.append(100 * floor * runs / seconds)
            last = (f"{runs:,}", f"{ours / runs * 1e9:.0f}", f"{floor * 1e9:.0f}", f"{seconds:.2f}")
        table.add(f"{size >> 10} KiB", *last, f"{spread(shares)} %", f"{spread(floors)} %")
    table.notes.append(f"Shares: median (lowest to highest) of {rounds} rounds; the other columns are the last round's.")
    table.notes.append("Empty programs on the same hooks, run as often: what no program can go below.")
    return [table]
