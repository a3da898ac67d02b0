# The whole pipeline on real traffic: what reaches its end, whatever it began in and however it is ended.

import os
import pty
import signal
import subprocess
import time

import pytest

from harness import kernel, tapwire
from harness.exchanges import exchanges
from harness.pipeline import JSON, RESP, tool

pytestmark = pytest.mark.live

CAPTURE = tool("tap-capture")


def test_a_closed_pipe_is_success(redis, capture):
    server = redis()
    before = kernel.loaded_programs()
    run = capture(["--port", server.port], [["head", "-c", "1"]])
    with server.client() as client:
        for _ in range(200):
            client.call("PING")
    assert run.wait(10) == [0, 0]
    assert run.errors().count("\n") == 1, run.errors()
    assert not kernel.leaked_programs(before, {os.getpid()})


def test_ctrl_c_under_load_drains_the_pipeline(redis, tmp_path):
    """A shell on a terminal of its own, a real ^C: all stages get SIGINT, and everything captured comes out."""
    server = redis()
    before = kernel.loaded_programs()
    script = (
        f"'{CAPTURE}' --port {server.port} --buffer 64M 2>capture.err | '{tool('tap-resp')}' 2>resp.err "
        f"| '{tool('tap-fmt')}' --json --verbose >output 2>fmt.err; echo ${{PIPESTATUS[@]}} >statuses"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execvp("bash", ["bash", "-c", script])
    load = None
    try:
        errors = tmp_path / "capture.err"
        deadline = time.monotonic() + 20
        while not (errors.exists() and "ready" in errors.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        load = subprocess.Popen(
            ["redis-benchmark", "-p", str(server.port), "-l", "-q", "-t", "set,get"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(1)
        os.write(terminal, b"\x03")
        status = os.waitpid(pid, 0)[1]
    finally:
        os.close(terminal)
        if load:
            load.kill()
            load.wait()
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGINT, 130)
    assert (tmp_path / "statuses").read_text().split() == ["0", "0", "0"]
    assert sum(1 for _ in exchanges(tmp_path / "output")) > 1000
    said = (tmp_path / "fmt.err").read_text()
    assert "info: end of the stream" in said and "incomplete" not in said and "missing" not in said, said
    assert not kernel.leaked_programs(before, {os.getpid()})


def test_a_command_and_its_descendants_are_captured_and_nobody_else(redis, pipeline):
    server = redis()
    script = f"redis-cli -p {server.port} SET from shell; (sh -c 'redis-cli -p {server.port} SET from grandchild')"
    stages = [[CAPTURE, "--", "sh", "-c", script], RESP, JSON]
    running = pipeline(stages)
    deadline = time.monotonic() + 20
    with server.client() as outsider:
        while running.first.poll() is None and time.monotonic() < deadline:
            outsider.call("SET", "from", "outside")
    assert running.wait(30) == [0, 0, 0], running.all_errors()
    seen = [(x["process"]["comm"], x["direction"], x["args"]) for x in exchanges(running.output) if x["command"] == "SET"]
    assert seen == [("redis-cli", "egress", ["from", word]) for word in ("shell", "grandchild")]


def test_the_first_bytes_of_a_command_are_captured(redis, pipeline):
    """The capture is ready before the command starts: its very first exchange is there and beyond doubt."""
    server = redis()
    for _ in range(5):
        stages = [[CAPTURE, "--", "redis-cli", "-p", str(server.port), "PING"], RESP, JSON]
        running = pipeline(stages)
        assert running.wait(30) == [0, 0, 0], running.all_errors()
        shown = list(exchanges(running.output))
        assert [(x["command"], x["response_value"], x.get("flags")) for x in shown] == [("PING", "PONG", None)]


# What it takes and what it leaves out.


def test_connections_that_were_open_before(redis, capture):
    server = redis()
    client = server.client()
    client.call("SET", "before", "capture")
    run = capture(["--port", server.port], [RESP, JSON])
    for number in range(3):
        client.call("SET", f"key{number}", f"value{number}")
        client.call("GET", f"key{number}")
    client.close()
    run.stop()
    for direction in ("ingress", "egress"):
        shown = [(x["command"], *x["args"]) for x in exchanges(run.output, direction)]
        expected = [(name, f"key{n}", *value) for n in range(3) for name, value in (("SET", [f"value{n}"]), ("GET", []))]
        assert shown == expected, direction


@pytest.mark.parametrize("direction, comm", [("ingress", "redis-server"), ("egress", "redis-cli")])
def test_a_direction_is_one_side(redis, capture, direction, comm):
    server = redis()
    run = capture(["--port", server.port, "--direction", direction], [RESP, JSON])
    subprocess.run(["redis-cli", "-p", str(server.port), "SET", "a", "b"], stdout=subprocess.DEVNULL, check=True)
    run.stop()
    shown = [(x["direction"], x["process"]["comm"], x["command"]) for x in exchanges(run.output)]
    assert shown == [(direction, comm, "SET")]


def test_ports_and_processes_are_filters(redis, capture):
    first, second, third = redis(), redis(), redis()
    by_port = capture(["--port", first.port, "--port", second.port], [RESP, JSON])
    by_pid = capture(["--pid", second.pid, "--pid", third.pid], [RESP, JSON])
    for server in (first, second, third):
        with server.client() as client:
            client.call("ECHO", server.port)
    by_port.stop()
    by_pid.stop()
    seen = [(x["direction"], int(x["args"][0])) for x in exchanges(by_port.output)]
    assert sorted(seen) == sorted((d, s.port) for d in ("egress", "ingress") for s in (first, second))
    seen = [(x["direction"], int(x["args"][0])) for x in exchanges(by_pid.output)]
    assert seen == [("ingress", second.port), ("ingress", third.port)]


def test_what_is_not_redis_passes_through(capture, tmp_path):
    """A web server's bytes come out of tap-resp as they went in."""
    import http.server
    import threading
    import urllib.request

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    raw = tmp_path / "raw.tap"
    run = capture(["--port", server.server_port], [["tee", str(raw)], RESP])
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as response:
        response.read()
    server.shutdown()
    server.server_close()
    run.stop()
    before = [frame for frame in tapwire.frames(raw) if frame[0] in (tapwire.DATA, tapwire.GAP)]
    after = [frame for frame in tapwire.frames(run.output) if frame[0] in (tapwire.DATA, tapwire.GAP)]
    assert before and sorted(map(repr, after)) == sorted(map(repr, before))
