# Both views of one exchange in one record: real servers and clients, and a server that takes its time.

import json
import socket
import subprocess
import time

import pytest

from harness.exchanges import lines
from harness.pipeline import JSON, MERGE, PRETTY, RESP, run
from harness.resp import Client

pytestmark = [pytest.mark.live, pytest.mark.root]


@pytest.mark.parametrize("arguments", [["-c", 1], ["-c", 20], ["-c", 10, "-P", 16]], ids=str)
def test_every_exchange_of_a_benchmark_becomes_one(arguments, redis, capture, tmp_path):
    server = redis()
    recording = capture(["--port", server.port])
    benchmark = ["redis-benchmark", "-p", server.port, "-n", 5000, "-r", 100, "-t", "set,incr,lpop", "-q", *arguments]
    subprocess.run([*map(str, benchmark)], check=True, stdout=subprocess.DEVNULL)
    recording.stop()
    plain = run([RESP, JSON], tmp_path / "plain", stdin=recording.output).splitlines()
    merged = run([RESP, MERGE, JSON], tmp_path / "merged", stdin=recording.output).splitlines()
    plain, merged = [json.loads(line) for line in plain], [json.loads(line) for line in merged]

    def content(line):
        return line["client"], line["command"], json.dumps(line["args"]), json.dumps(line.get("response_value"))

    both = [line for line in merged if "server_latency_ns" in line]
    # Each flow's exchanges are in order, and the views of one are those of the same client's in that order.
    for direction in ("egress", "ingress"):
        alone = sorted(map(content, (line for line in plain if line["direction"] == direction)))
        now = sorted(map(content, (line for line in merged if "server_latency_ns" in line or line["direction"] == direction)))
        assert now == alone
    assert len(both) > 0.999 * len(plain) / 2 > 7000
    servers = {}
    for line in plain:
        if line["direction"] == "ingress":
            servers.setdefault(content(line), []).append(line["latency_ns"])
    for line in both:
        assert line["direction"] == "egress" and line["server_latency_ns"] in servers[content(line)]
        assert line["peer"]["pid"] == server.process.pid


def test_the_difference_is_where_the_time_went(redis, capture, tmp_path):
    server = redis("--enable-debug-command", "yes")
    watch = capture(["--port", server.port], [RESP, MERGE, JSON])
    with Client(server.port) as client:
        assert client.call("DEBUG", "SLEEP", "0.2") == b"OK"
        # In the server's buffer while it sleeps: the wait is the client's.
        with Client(server.port) as other:
            other.send(b"*3\r\n$5\r\nDEBUG\r\n$5\r\nSLEEP\r\n$3\r\n0.3\r\n")
            time.sleep(0.05)
            assert client.call("GET", "waits") is None
            other.read()
    watch.stop()
    (slow,) = [line for line in lines(watch.output) if line.get("args") == ["SLEEP", "0.2"]]
    assert slow["latency_ns"] >= slow["server_latency_ns"] > 190e6
    (waited,) = [line for line in lines(watch.output) if line.get("args") == ["waits"]]
    assert waited["latency_ns"] > 200e6 > 50e6 > waited["server_latency_ns"]


def test_a_client_that_reads_late(redis, capture):
    """A view waits for the other one, also while nothing else happens; nothing is shown twice."""
    server = redis()
    watch = capture(["--port", server.port], [RESP, MERGE, JSON])
    delays = [0.05, 0.25, 0.5, 1.0]
    with Client(server.port) as client:
        for number, delay in enumerate(delays):
            client.send(b"*2\r\n$3\r\nGET\r\n$1\r\n%d\r\n" % number)
            time.sleep(delay)
            client.read()
    watch.stop()
    shown = [line for line in lines(watch.output) if line["command"] == "GET"]
    assert [line["args"] for line in shown] == [[str(number)] for number in range(len(delays))]
    for line, delay in zip(shown, delays):
        assert line["latency_ns"] >= delay * 1e9 > 40e6 > line["server_latency_ns"]


def test_what_a_filter_hides_on_one_side(capture, tmp_path):
    """Two equal commands at once, the first of which the server answers at once: its view is hidden by its latency."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recording = capture(["--port", listener.getsockname()[1]])
        command, reply = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", b"$1\r\nv\r\n"
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(command)
        client.sendall(command)
        server.recv(len(command), socket.MSG_WAITALL)
        server.sendall(reply)
        server.recv(len(command), socket.MSG_WAITALL)
        time.sleep(0.15)
        server.sendall(reply)
        client.recv(len(reply), socket.MSG_WAITALL)
        client.recv(len(reply), socket.MSG_WAITALL)
        client.close()
        server.close()
        recording.stop()
    filtered = [*RESP, "--slower-than", "100ms"]
    shown = run([filtered, MERGE, JSON], tmp_path / "merged", stdin=recording.output).splitlines()
    first, second = sorted(map(json.loads, shown), key=lambda line: "server_latency_ns" in line)
    assert "server_latency_ns" not in first and second["server_latency_ns"] > 100e6
    assert {line["direction"] for line in (first, second)} == {"egress"}


def test_a_line_comes_while_the_capture_goes_on(redis, capture):
    """Where the other side is not captured nobody waits; where it is, not for long."""
    server = redis()
    for options in (["--direction", "egress"], []):
        watch = capture(["--port", server.port, *options], [RESP, MERGE, PRETTY])
        subprocess.run(["redis-cli", "-p", str(server.port), "SET", "k", "v"], check=True, stdout=subprocess.DEVNULL)
        for _ in range(300):
            text = open(watch.output).read()
            if text:
                break
            time.sleep(0.01)
        assert text.startswith("■ redis-cli → redis-server: SET k v OK" if not options else "■ redis-cli → SET k v OK")
        assert text.count("\n") == 1
        watch.stop()
