# How fast packets of a file become JSON, beside tshark on the same file; and a file ten times as large, whose memory must not grow.

import os
import signal
import struct
import subprocess
import time

from decode import timed
from harness.pipeline import JSON, RESP, Pipeline, tool
from harness.servers import RedisServer
from report import Table, median, spread, thousands

FILE_HEAD, RECORD_HEAD, ETHERNET, ADDRESSES = 24, 16, 14, 12


def record(work, requests):
    """tcpdump of redis-benchmark on loopback, a request and a reply a packet: the capture's path and the server's port."""
    server = RedisServer(os.path.join(work, "redis-offline"))
    path = os.path.join(work, "packets.pcap")
    try:
        # -Z root: tcpdump must not give up the right to write here. The buffer keeps all that comes in this short time.
        command = ["tcpdump", "-Z", "root", "-i", "lo", "-s", "0", "-B", "131072", "-w", path, f"port {server.port}"]
        tcpdump = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert "listening on" in tcpdump.stderr.readline()
        words = ["-t", "set,get", "-n", str(requests), "-d", "200", "-c", "50", "-q"]
        subprocess.run(["redis-benchmark", "-p", str(server.port), *words], stdout=subprocess.DEVNULL, check=True)
        time.sleep(1)
        tcpdump.send_signal(signal.SIGINT)
        said = tcpdump.communicate(timeout=60)[1]
        assert "\n0 packets dropped by kernel" in said, said
    finally:
        server.stop()
    return path, server.port


def multiplied(path, port, copies, target):
    """The same packets `copies` times, each time from other client addresses and a minute later."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    records, position = [], FILE_HEAD
    while position < len(data):
        seconds, _, length = struct.unpack_from("<III", data, position)
        packet = position + RECORD_HEAD + ETHERNET
        destination_port = struct.unpack_from(">H", data, packet + 22)[0]
        # The last byte of the client's address: the source's of what goes to the server, else the destination's.
        client = packet + ADDRESSES + (3 if destination_port == port else 7)
        records.append((position, seconds, client))
        position += RECORD_HEAD + length
    with open(target, "wb") as file:
        file.write(data[:FILE_HEAD])
        for copy in range(copies):
            for position, seconds, client in records:
                struct.pack_into("<I", data, position, seconds + 60 * copy)
                data[client] = 1 + copy
            file.write(data[FILE_HEAD:])
    return len(records) * copies


def json_lines(path):
    with open(path, "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def pipeline_seconds(work, path, output):
    start = time.monotonic()
    pipeline = Pipeline(work, [[tool("tap-capture"), "--read", path], RESP, JSON], output=output)
    statuses = pipeline.wait(600)
    assert statuses == [0, 0, 0], (statuses, pipeline.all_errors())
    return time.monotonic() - start


def measure(work, rounds, requests):
    """A table of speeds beside tshark, and one of a file ten times as large."""
    path, port = record(work, requests)
    size = os.path.getsize(path)
    # What comes out is what went in, before anything is measured.
    lines = os.path.join(work, "offline.jsonl")
    pipeline_seconds(work, path, lines)
    exchanges = json_lines(lines)
    assert 2 * requests <= exchanges <= 2 * requests + 10, exchanges

    tap = [pipeline_seconds(work, path, os.devnull) for _ in range(rounds)]
    reading = [timed([tool("tap-capture"), "--read", path], os.devnull) for _ in range(rounds)]
    # Once: it takes more than a minute.
    decoding = ["-d", f"tcp.port=={port},resp"]
    tshark, tshark_peak = timed(["tshark", "-r", path, *decoding, "-T", "json"], os.devnull)

    title = f"A pcap of {size / 1e6:.0f} MB, {thousands(exchanges)} exchanges, to JSON"
    table = Table(title, "program", "seconds", "MB/s", "of tshark's speed", "MiB")
    table.add("the pipeline to JSON", spread(tap), f"{size / median(tap) / 1e6:.0f}", f"{tshark / median(tap):.0f}", "")
    alone, peak = median([seconds for seconds, _ in reading]), max(peak for _, peak in reading)
    table.add("tap-capture --read >/dev/null", spread([seconds for seconds, _ in reading]), f"{size / alone / 1e6:.0f}", "", f"{peak / (1 << 20):.1f}")
    table.add("tshark -T json >/dev/null, once", f"{tshark:.2f}", f"{size / tshark / 1e6:.1f}", "1", f"{tshark_peak / (1 << 20):.1f}")
    table.notes.append(f"Medians (lowest to highest) of {rounds} rounds; the last column is the largest anonymous memory.")

    large = os.path.join(work, "large.pcap")
    packets = multiplied(path, port, 10, large)
    size = os.path.getsize(large)
    reading = [timed([tool("tap-capture"), "--read", large], os.devnull) for _ in range(rounds)]
    piped = [pipeline_seconds(work, large, os.devnull) for _ in range(rounds)]
    os.remove(large)
    growth = Table(f"The same packets from ten clients: {size / 1e6:.0f} MB, {thousands(packets)} packets", "program", "seconds", "MB/s", "MiB")
    alone, large_peak = median([seconds for seconds, _ in reading]), max(peak for _, peak in reading)
    growth.add("tap-capture --read >/dev/null", spread([seconds for seconds, _ in reading]), f"{size / alone / 1e6:.0f}", f"{large_peak / (1 << 20):.1f}")
    growth.add("the pipeline to JSON", spread(piped), f"{size / median(piped) / 1e6:.0f}", "")
    return [table, growth]
