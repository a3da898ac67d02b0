# What happens at the edges: a ring that overflows, a reader that stalls or leaves, users without rights, odd kernels.

import os
import pty
import random
import signal
import socket
import stat
import struct
import subprocess
import time

import pytest

from harness import kernel
from harness.pipeline import Capture, reachable_copy, tool
from harness.stalled import Stalled, agrees, transfer
from harness.streams import Missing, Recording
from harness.tapwire import RECEIVED, SENT

CAPTURE = tool("tap-capture")


@pytest.fixture
def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            yield client, server


@pytest.mark.live
@pytest.mark.parametrize("is_closed", [False, True], ids=["still open", "closed"])
def test_a_stalled_reader_costs_gaps_of_exact_size(tmp_path, pair, is_closed):
    client, server = pair
    ports = client.getsockname()[1], server.getsockname()[1]
    # This process holds the reader's end, and asks to be captured all the same.
    stalled = Stalled(tmp_path, ["--port", ports[1], "--buffer", "512K", "--pid", os.getpid()])
    data = transfer(pair, 20_000_000, random.Random(20268))
    if is_closed:
        client.close()
        server.close()
        time.sleep(0.1)
    recording = stalled.read()
    sent, received = recording.flow(ports[0], ports[1]), recording.flow(ports[1], ports[0])
    for flow, direction in ((sent, SENT), (received, RECEIVED)):
        assert agrees(flow.runs[direction], data)
        assert flow.captured_bytes + flow.missing_bytes == len(data)
        assert flow.missing_bytes > 10_000_000
        assert {run.reason for run in flow.runs[direction] if isinstance(run, Missing)} == {"ring_full"}
        assert flow.close == ("closed" if is_closed else "capture_ended")
    assert recording.totals["gap_bytes_ring_full"] == sent.missing_bytes + received.missing_bytes
    assert any("the ring was full" in notice[3] for notice in recording.notices)
    assert "were lost" in open(stalled.errors).read()


@pytest.mark.live
def test_flows_of_which_nothing_was_recorded_are_in_the_books(tmp_path):
    """Connections that begin and end while the ring is full."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        stalled = Stalled(tmp_path, ["--port", port, "--buffer", "256K", "--pid", os.getpid()])
        moved = {}
        for number in range(40):
            with socket.create_connection(("127.0.0.1", port)) as client:
                server, _ = listener.accept()
                with server:
                    moved[client.getsockname()[1]] = transfer((client, server), 100_000, random.Random(number))
        recording = stalled.read()
    assert len(recording.flows) == 2 * len(moved)
    for client_port, data in moved.items():
        for flow, direction in (
            (recording.flow(client_port, port), SENT), (recording.flow(port, client_port), RECEIVED),
        ):  # fmt: skip
            assert agrees(flow.runs[direction], data)
            assert flow.close == "closed"
            assert recording.process_of(flow)["pid"] == os.getpid()
    assert any(flow.captured_bytes == 0 for flow in recording.flows.values())


@pytest.mark.live
def test_ctrl_c_under_load_ends_the_stream_whole(capture, redis):
    server = redis()
    running = capture(["--port", server.port])
    load = subprocess.Popen(
        ["redis-benchmark", "-p", str(server.port), "-t", "set,get", "-n", "100000000", "-q"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(1)
        running.stop()
    finally:
        load.kill()
        load.wait()
    recording = Recording(running.output)
    assert recording.totals["data_bytes"] > 100_000
    assert all(flow.close for flow in recording.flows.values())


@pytest.mark.live
def test_the_time_given(pipeline):
    start = time.monotonic()
    running = pipeline([[CAPTURE, "--duration", "300ms"]])
    assert running.wait() == [0]
    assert 0.3 <= time.monotonic() - start < 5
    assert Recording(running.output).totals is not None


def wait_until_gone(programs):
    """The kernel unloads them a moment after the last descriptor is closed."""
    deadline = time.monotonic() + 5
    while programs & set(kernel.loaded_programs()):
        assert time.monotonic() < deadline, "programs stay loaded"
        time.sleep(0.05)


@pytest.mark.live
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_no_program_stays_in_the_kernel(capture, end):
    before = kernel.loaded_programs()
    running = capture([])
    held = kernel.programs_held_by(running.first.pid)
    assert held, "the capture holds no program"
    running.first.send_signal(end)
    assert running.wait(20) == [-signal.SIGKILL if end == signal.SIGKILL else 0]
    wait_until_gone(held - set(before))


@pytest.mark.live
def test_a_closed_pipe_is_the_end_also_without_traffic(pipeline):
    running = pipeline([[CAPTURE, "--port", "1"], ["true"]])
    assert running.wait(20) == [0, 0]


@pytest.mark.live
def test_a_reader_that_is_killed_while_bytes_flow(capture, redis):
    """The capture ends, nothing of it stays in the kernel, and the traced programs do not notice."""
    server = redis()
    running = capture(["--port", server.port, "--buffer", "256K"], [["cat"]])
    held = kernel.programs_held_by(running.first.pid)
    load = subprocess.Popen(
        ["redis-benchmark", "-p", str(server.port), "-n", "100000", "-P", "16", "-d", "1000", "-t", "set,get", "-q"],
        stdout=subprocess.DEVNULL,
    )
    try:
        while os.path.getsize(running.output) < 1 << 20:
            assert load.poll() is None
            time.sleep(0.001)
        running.processes[1].send_signal(signal.SIGKILL)
        assert running.wait(20) == [0, -signal.SIGKILL]
        wait_until_gone(held)
        assert load.wait(60) == 0
    finally:
        load.kill()
        load.wait()


@pytest.mark.live
def test_it_keeps_only_the_rights_it_needs(capture):
    running = capture([])
    with open(f"/proc/{running.first.pid}/status") as status:
        lines = dict(line.split(":\t", 1) for line in status if ":\t" in line)
    dac_read_search, ptrace = 2, 19
    allowed = 1 << dac_read_search | 1 << ptrace
    assert int(lines["CapEff"], 16) & ~allowed == 0
    assert int(lines["CapPrm"], 16) & ~allowed == 0
    running.stop()


@pytest.mark.live
def test_a_private_pid_namespace_is_told(tmp_path):
    """Pids differ there; capture goes on."""
    script = f"exec {CAPTURE} --duration 0.2 --port 1 > {tmp_path}/output"
    result = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script], stderr=subprocess.PIPE, text=True
    )
    assert result.returncode == 0
    assert "not the machine's own pid namespace" in result.stderr and "ready" in result.stderr
    assert any("pid namespace" in notice[3] for notice in Recording(tmp_path / "output").notices)


@pytest.mark.live
def test_memory_stays_small(capture, redis):
    server = redis()
    running = capture(["--port", server.port])
    subprocess.run(
        ["redis-benchmark", "-p", str(server.port), "-n", "50000", "-P", "16", "-d", "1000", "-t", "set,get", "-q"],
        check=True, capture_output=True,
    )  # fmt: skip
    with open(f"/proc/{running.first.pid}/status") as status:
        anonymous = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
    assert anonymous < 64 * 1024
    running.stop()


@pytest.mark.live
def test_a_recording_is_for_its_owner_only(capture):
    os.umask(0o022)
    running = capture(["--duration", "0.1"])
    running.finish()
    assert stat.S_IMODE(os.stat(running.output).st_mode) == 0o600


def test_a_recording_of_packets_is_for_its_owner_only(tmp_path):
    os.umask(0o022)
    (tmp_path / "empty.pcap").write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    with open(tmp_path / "packets.tap", "wb") as output:
        subprocess.run([CAPTURE, "--read", tmp_path / "empty.pcap"], stdout=output, check=True)
    assert stat.S_IMODE(os.stat(tmp_path / "packets.tap").st_mode) == 0o600


@pytest.mark.live
def test_a_recording_begun_by_another_user_is_for_that_user_only(tmp_path):
    """Under sudo the shell makes the file as the caller, before tap-capture starts as root."""
    recording = tmp_path / "day.tap"
    recording.touch(mode=0o644)
    os.chown(recording, 65534, 65534)
    with open(recording, "ab") as output:
        subprocess.run([CAPTURE, "--duration", "0.1"], stdout=output, stderr=subprocess.PIPE, check=True)
    found = os.stat(recording)
    assert stat.S_IMODE(found.st_mode) == 0o600 and found.st_uid == 65534


@pytest.mark.live
def test_an_interrupt_ends_a_capture_that_a_script_began(redis, capture):
    """A shell without job control ignores SIGINT for what it starts by `&`."""
    running = capture(["--port", redis().port], preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    running.stop(timeout=10)


@pytest.mark.live
@pytest.mark.parametrize("is_ignored", [True, False], ids=["nohup", "plain"])
def test_a_hangup_ends_a_capture_unless_it_is_ignored(is_ignored, redis, capture):
    server = redis()
    action = signal.SIG_IGN if is_ignored else signal.SIG_DFL
    run = capture(["--port", server.port], preexec_fn=lambda: signal.signal(signal.SIGHUP, action))
    run.first.send_signal(signal.SIGHUP)
    if is_ignored:
        time.sleep(0.2)
        with server.client() as client:
            client.call("ECHO", "after the hangup")
        run.stop()
        assert b"after the hangup" in open(run.output, "rb").read()
    else:
        run.finish(10)


@pytest.mark.live
def test_a_terminal_gets_no_frames():
    primary, secondary = pty.openpty()
    result = subprocess.run([CAPTURE], stdout=secondary, stderr=subprocess.PIPE, text=True)
    os.close(primary)
    os.close(secondary)
    assert result.returncode == 64
    assert result.stderr.startswith("tap-capture: standard output is a terminal")


@pytest.mark.root
def test_an_ordinary_user(tmp_path):
    program = reachable_copy("tap-capture", tmp_path)
    result = subprocess.run(
        [program], user="nobody", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    assert result.returncode == 77
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and lines[0].startswith("tap-capture: no permission to capture")
    assert "sudo" in lines[1]
    assert result.stdout == ""


@pytest.mark.root
def test_a_kernel_without_type_information():
    script = f"mount -t tmpfs none /sys/kernel/btf && exec {CAPTURE}"
    result = subprocess.run(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 69
    lines = result.stderr.splitlines()
    assert len(lines) == 2 and "/sys/kernel/btf/vmlinux is missing" in lines[0]
    assert "CONFIG_DEBUG_INFO_BTF" in lines[1]


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--port", "http"], "invalid port 'http'"),
        (["--port", "0"], "invalid port '0'"),
        (["--port", "65536"], "invalid port '65536'"),
        (["--pid", "me"], "invalid process id 'me'"),
        (["--direction", "up"], "up"),
        (["--duration", "soon"], "invalid time 'soon'; expected a number"),
        (["--duration", "0s"], "invalid time '0s'"),
        (["--buffer", "much"], "invalid size 'much'; expected a number"),
        (["--buffer", "10K"], "expected 256K to 1G"),
        (["--max-bytes", "0"], "invalid size '0'"),
        (["--no-such-option"], "--no-such-option"),
        (["stray"], "stray"),
        (["--"], "nothing follows --"),
    ],
)
def test_a_command_line_that_is_wrong(arguments, text):
    result = subprocess.run([CAPTURE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 64
    assert result.stderr.startswith("tap-capture: ") and text in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert result.stdout == ""
