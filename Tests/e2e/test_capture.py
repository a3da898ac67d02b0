# tap-capture as a program: what it says and how it ends, whatever stands in its way.

import os
import pty
import signal
import subprocess
import time

import pytest

from harness import kernel, tapwire
from harness.exchanges import exchanges
from harness.pipeline import JSON, RESP, Pipeline, tool

CAPTURE = tool("tap-capture")


def end_frame(path):
    """The end frame, which must be the last one."""
    last = None
    for frame in tapwire.frames(path):
        last = frame
    assert last and last[0] == tapwire.END, last
    return last


# Where it cannot capture.


@pytest.mark.root
def test_an_ordinary_user_is_told_what_is_missing(tmp_path):
    refused = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CAPTURE],
        capture_output=True, text=True, timeout=10,
    )  # fmt: skip
    assert (refused.returncode, refused.stdout) == (77, "")
    message, remedy = refused.stderr.splitlines()
    assert message.startswith("tap-capture: no permission to capture") and "CAP_BPF" in message
    assert "root" in remedy


@pytest.mark.root
def test_a_kernel_without_type_information_is_named():
    hidden = "mount -t tmpfs none /sys/kernel/btf && exec " + CAPTURE
    refused = subprocess.run(
        ["unshare", "--mount", "sh", "-c", hidden], capture_output=True, text=True, timeout=10
    )
    assert (refused.returncode, refused.stdout) == (69, "")
    message, remedy = refused.stderr.splitlines()
    assert message.startswith("tap-capture: ") and "/sys/kernel/btf/vmlinux" in message
    assert "CONFIG_DEBUG_INFO_BTF" in remedy


@pytest.mark.live
def test_a_terminal_is_no_place_for_frames():
    leader, follower = pty.openpty()
    refused = subprocess.run([CAPTURE], stdout=follower, stderr=subprocess.PIPE, text=True, timeout=10)
    os.close(follower)
    os.close(leader)
    assert refused.returncode == 64
    assert "terminal" in refused.stderr.splitlines()[0]


# How it ends.


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_stream_in_good_order(redis, capture, number):
    server = redis()
    before = kernel.loaded_programs()
    run = capture(["--port", server.port])
    with server.client() as client:
        client.call("SET", "key", "value")
    run.first.send_signal(number)
    run.finish()
    kind, is_complete, totals = end_frame(run.output)
    assert is_complete and totals["data_bytes"] > 0
    assert not kernel.leaked_programs(before, {os.getpid()})


@pytest.mark.live
def test_duration_ends_the_stream(capture):
    started = time.monotonic()
    run = capture(["--duration", "300ms"]).finish()
    assert 0.25 < time.monotonic() - started < 5
    assert end_frame(run.output)[1]


@pytest.mark.live
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


@pytest.mark.live
def test_a_closed_pipe_is_noticed_without_traffic(capture):
    run = capture(["--port", "1"], [["head", "-c", "1"]])
    assert run.wait(10) == [0, 0]


@pytest.mark.live
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


# A command of its own.


def run_command(tmp_path, *words, options=(), **popen_options):
    pipeline = Pipeline(tmp_path / "command", [[CAPTURE, *options, "--", *words]], **popen_options)
    try:
        status = pipeline.wait(30)[0]
    finally:
        pipeline.kill()
    return status, pipeline


@pytest.mark.live
@pytest.mark.parametrize(
    "words, expected",
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], 128 + signal.SIGKILL),
        (["/nonexistent/program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_status_is_that_of_the_command(tmp_path, words, expected):
    status, pipeline = run_command(tmp_path, *words)
    assert status == expected, pipeline.errors()
    assert end_frame(pipeline.output)[1]
    if expected in (126, 127):
        assert words[0] in pipeline.errors()


@pytest.mark.live
def test_what_the_command_prints_stays_out_of_the_stream(tmp_path):
    status, pipeline = run_command(tmp_path, "sh", "-c", "echo for people; echo problems >&2")
    assert status == 0
    assert "for people\n" in pipeline.errors() and "problems\n" in pipeline.errors()
    assert end_frame(pipeline.output)[1]


@pytest.mark.live
def test_a_command_and_its_descendants_are_captured_and_nobody_else(redis, tmp_path, capture):
    server = redis()
    script = f"redis-cli -p {server.port} SET from shell; (sh -c 'redis-cli -p {server.port} SET from grandchild')"
    stages = [[CAPTURE, "--", "sh", "-c", script], RESP, JSON]
    pipeline = Pipeline(tmp_path / "command", stages)
    deadline = time.monotonic() + 20
    with server.client() as outsider:
        while pipeline.first.poll() is None and time.monotonic() < deadline:
            outsider.call("SET", "from", "outside")
    assert pipeline.wait(30) == [0, 0, 0], pipeline.all_errors()
    seen = [(x["process"]["comm"], x["direction"], x["args"]) for x in exchanges(pipeline.output) if x["command"] == "SET"]
    assert seen == [("redis-cli", "egress", ["from", word]) for word in ("shell", "grandchild")]


@pytest.mark.live
def test_the_first_bytes_of_a_command_are_captured(redis, tmp_path):
    """The capture is ready before the command starts: its very first exchange is there and beyond doubt."""
    server = redis()
    for _ in range(5):
        stages = [[CAPTURE, "--", "redis-cli", "-p", str(server.port), "PING"], RESP, JSON]
        pipeline = Pipeline(tmp_path / "command", stages)
        assert pipeline.wait(30) == [0, 0, 0], pipeline.all_errors()
        shown = list(exchanges(pipeline.output))
        assert [(x["command"], x["response_value"], x.get("flags")) for x in shown] == [("PING", "PONG", None)]


@pytest.mark.live
def test_a_signal_is_passed_on_to_the_command(tmp_path):
    pipeline = Pipeline(tmp_path / "command", [[CAPTURE, "--", "sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"]])
    try:
        deadline = time.monotonic() + 20
        while "up" not in pipeline.errors():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        pipeline.first.send_signal(signal.SIGTERM)
        assert pipeline.wait(20) == [3]
    finally:
        pipeline.kill()
    assert end_frame(pipeline.output)[1]


@pytest.mark.live
def test_survivors_of_the_command_are_named(tmp_path):
    status, pipeline = run_command(tmp_path, "sh", "-c", "sleep 4 >/dev/null 2>&1 & exit 0")
    assert status == 0
    notices = [frame for frame in tapwire.frames(pipeline.output) if frame[0] == tapwire.NOTICE]
    assert any("sleep" in notice[4] for notice in notices), notices
    time.sleep(4)


@pytest.mark.live
def test_when_the_reader_goes_the_command_goes_on(tmp_path):
    proof = tmp_path / "proof"
    pipeline = Pipeline(
        tmp_path / "command", [[CAPTURE, "--", "sh", "-c", f"sleep 1; echo done >'{proof}'; exit 5"], ["head", "-c", "1"]]
    )
    assert pipeline.wait(20) == [5, 0]
    assert proof.read_text() == "done\n"


# What it takes and what it leaves out.


@pytest.mark.live
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


@pytest.mark.live
@pytest.mark.parametrize("direction, comm", [("ingress", "redis-server"), ("egress", "redis-cli")])
def test_a_direction_is_one_side(redis, capture, direction, comm):
    server = redis()
    run = capture(["--port", server.port, "--direction", direction], [RESP, JSON])
    subprocess.run(["redis-cli", "-p", str(server.port), "SET", "a", "b"], stdout=subprocess.DEVNULL, check=True)
    run.stop()
    shown = [(x["direction"], x["process"]["comm"], x["command"]) for x in exchanges(run.output)]
    assert shown == [(direction, comm, "SET")]


@pytest.mark.live
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


@pytest.mark.live
def test_it_does_not_capture_its_own_pipeline(capture, tmp_path):
    """A stage that sends the output over a connection: its bytes must not come back as new data for ever."""
    import socket
    import threading

    listener = socket.create_server(("127.0.0.1", 0))
    received = bytearray()

    def drain():
        peer, _ = listener.accept()
        while data := peer.recv(1 << 16):
            received.extend(data)
        peer.close()

    reader = threading.Thread(target=drain)
    reader.start()
    port = listener.getsockname()[1]
    sender = ["bash", "-c", f"exec cat >/dev/tcp/127.0.0.1/{port}"]
    # --direction egress: this process, which receives, is the server and no part of the pipeline.
    run = capture(["--port", port, "--direction", "egress"], [["cat"], sender])
    time.sleep(1.5)
    run.stop()
    reader.join()
    listener.close()
    assert len(received) < 4096, f"{len(received)} bytes: the capture feeds on its own output"


@pytest.mark.live
def test_recordings_are_private(redis, capture):
    previous = os.umask(0o022)
    try:
        run = capture(["--port", "1", "--duration", "100ms"]).finish()
    finally:
        os.umask(previous)
    assert os.stat(run.output).st_mode & 0o777 == 0o600


@pytest.mark.live
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
