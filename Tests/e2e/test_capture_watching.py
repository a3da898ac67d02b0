# What a capture says of itself while it runs: --stats, and a hint when it sees nothing.

import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from harness.pipeline import tool
from harness.servers import free_port
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

pytestmark = pytest.mark.live

CAPTURE = tool("tap-capture")
LINE = re.compile(
    r"tap-capture: (\d+) s, ([\d,]+) flows, ([\d,]+) records/s, ([\d.]+ \w*B)/s, ring (\d+) % \(peak (\d+) %\), "
    r"lost (0|[\d.]+ \w*B \(now [\d.]+ \w*B/s\))"
)

# Two processes that throw a message to and fro; prints the seconds of each round, told by a line on stdin.
PING_PONG = """
import os, socket, sys, time
MESSAGE, TIMES = 4096, 3000
def receive(connection):
    left = MESSAGE
    while left:
        left -= len(connection.recv(left))
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    if os.fork() == 0:
        with socket.create_connection(listener.getsockname()) as far:
            while True:
                receive(far)
                far.sendall(bytes(MESSAGE))
    near, _ = listener.accept()
for _ in sys.stdin:
    start = time.monotonic()
    for _ in range(TIMES):
        near.sendall(bytes(MESSAGE))
        receive(near)
    print(time.monotonic() - start, flush=True)
os.kill(0, 9)
"""


def test_a_reader_that_stalls_slows_nobody(tmp_path):
    """Neither while the ring is full nor after; the memory stays bounded, each second says so, and the books are exact."""
    port, rounds, times, message = free_port(), 4, 3000, 4096
    player = subprocess.Popen(
        [sys.executable, "-c", PING_PONG, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip

    def play():
        player.stdin.write("\n")
        player.stdin.flush()
        return float(player.stdout.readline())

    errors = tmp_path / "errors"
    try:
        bare = [play() for _ in range(rounds)]
        with open(errors, "wb") as file:
            capture = subprocess.Popen(
                [CAPTURE, "--port", str(port), "--buffer", "256K", "--stats"], stdout=subprocess.PIPE, stderr=file
            )
        # It alone holds the pipe: whoever reads from a reader of the capture would be left out of it.
        with open(tmp_path / "late.tap", "wb") as file:
            reader = subprocess.Popen(["sh", "-c", "kill -STOP $$; exec cat"], stdin=capture.stdout, stdout=file)
        capture.stdout.close()
        try:
            while "ready" not in errors.read_text():
                time.sleep(0.01)
            stalled = [play() for _ in range(rounds)]
            time.sleep(max(0, 2.2 - sum(stalled)))
            said = errors.read_text()
            with open(f"/proc/{capture.pid}/status") as status:
                anonymous = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
            reader.send_signal(signal.SIGCONT)
            capture.send_signal(signal.SIGINT)
            assert capture.wait(60) == reader.wait(60) == 0
        finally:
            for process in (capture, reader):
                process.kill()
                process.wait()
    finally:
        player.stdin.close()
        player.wait(10)
        player.stdout.close()
    print(f"seconds a round: bare {bare}, stalled {stalled}; {anonymous} KiB")
    # A program that waited for the reader would not come back at all; the rest is the noise of two processors.
    assert min(stalled) < 2 * min(bare) + 0.05, (bare, stalled)
    assert anonymous < 8 << 10
    lines = LINE.findall(said)
    assert lines, said
    last = lines[-1]
    assert int(last[1].replace(",", "")) == 2 and last[3] != "0" and last[6] != "0", said
    assert any(int(line[5]) >= 80 for line in lines), said
    recording = Recording(tmp_path / "late.tap")
    assert len(recording.flows) == 2
    for flow in recording.flows.values():
        for direction in (SENT, RECEIVED):
            # The connection was open before, so counting begins with the capture.
            assert flow.length[direction] == rounds * times * message
            reasons = {run.reason for run in flow.runs[direction] if isinstance(run, Missing)}
            assert reasons == {"ring_full"}


def test_statistics_on_a_terminal_are_one_line():
    """It is rewritten, and messages begin at the left edge."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen([CAPTURE, "--stats", "--port", "1"], stdout=subprocess.DEVNULL, stderr=secondary)
    os.close(secondary)
    said = b""
    try:
        while said.count(b"\x1b[K") < 2:
            said += os.read(primary, 1 << 16)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        os.close(primary)
    text = said.decode().replace("\r\n", "\n")
    first, rest = text.split("\n", 1)
    assert first.startswith("tap-capture: ready")
    assert re.match(r"\rtap-capture: 1 s, .*\x1b\[K\rtap-capture: 2 s, ", rest), text


def test_a_hint_when_nothing_is_seen(capture):
    """One cause and its remedy, found by looking; nothing where something was seen."""
    hello = bytes.fromhex("16030100c5010000c10303") + bytes(189)
    ended = subprocess.Popen(["sleep", "60"])
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as idle:
        port, idle_port, unused = listener.getsockname()[1], idle.getsockname()[1], free_port()
        cases = {
            "unused": (["--port", unused], f"nobody on this machine uses port {unused} now"),
            "idle": (["--port", idle_port], f"somebody listens on port {idle_port}, but nobody is connected"),
            "tls": (["--port", port, "--protocol", "redis"], "2 connections begin with TLS"),
            "name": (["--comm", "no-such-name"], "no process has the name no-such-name"),
            "ended": (["--pid", ended.pid], "every process chosen with --pid has ended"),
            "seen": (["--port", port], None),
        }
        running = {name: capture(options) for name, (options, _) in cases.items()}
        ended.kill()
        ended.wait()
        with socket.create_connection(listener.getsockname()) as client:
            server, _ = listener.accept()
            with server:
                client.sendall(hello)
                assert server.recv(1000) == hello
                time.sleep(5.5)
        for name, (_, text) in cases.items():
            lines = running[name].stop().errors().splitlines()
            assert lines[0].startswith("tap-capture: ready")
            if text is None:
                assert len(lines) == 1, (name, lines)
            else:
                assert lines[1].startswith(f"tap-capture: nothing seen yet: {text}"), (name, lines)
                assert lines[2].startswith("  ") and len(lines) == 3, (name, lines)


def status_of(pid, name):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(f"{name}:"))


def test_it_sleeps_while_nothing_happens(capture):
    """And keeps no memory of its start. Other processes that begin or end wake it: one quiet second in ten will do."""
    pid = capture(["--port", free_port()]).first.pid
    time.sleep(0.2)
    assert status_of(pid, "RssAnon") < 4 << 10
    woken = []
    while len(woken) < 10 and min(woken, default=100) > 20:
        before = status_of(pid, "voluntary_ctxt_switches")
        time.sleep(1)
        woken.append(status_of(pid, "voluntary_ctxt_switches") - before)
    assert min(woken) <= 20, woken


def test_the_first_bytes_after_a_silence_come_at_once(capture):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        running = capture(["--port", port])
        delays = []
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0] as server:
            for _ in range(15):
                time.sleep(0.15)
                size, sent = os.path.getsize(running.output), time.monotonic()
                client.sendall(b"word")
                while os.path.getsize(running.output) == size and time.monotonic() < sent + 1:
                    time.sleep(0.0002)
                delays.append(time.monotonic() - sent)
                assert server.recv(4) == b"word"
    running.stop()
    print(f"seconds: {sorted(delays)}")
    # One that nobody wakes sleeps on for 50 ms on the average.
    assert sorted(delays)[len(delays) // 2] < 0.010, delays
