# `tap-capture -- COMMAND`: as if the command ran alone, with its status, its signals and its user; and captured whole.

import json
import os
import pwd
import re
import signal
import subprocess
import sys
import time

import pytest

from harness import kernel
from harness.pipeline import tool
from harness.streams import Recording
from harness.tapwire import SENT

pytestmark = pytest.mark.live

CAPTURE = tool("tap-capture")


def start(pipeline, *command, options=(), **popen_options):
    return pipeline([[CAPTURE, *options, "--", *map(str, command)]], **popen_options)


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "script, status",
    [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 128 + 9), ("kill -TERM $$", 128 + 15), ("exit 255", 255)],
)
def test_the_status_is_the_commands(pipeline, script, status):
    running = start(pipeline, "sh", "-c", script)
    assert running.wait() == [status]
    assert Recording(running.output).totals is not None


def test_a_command_that_cannot_be_run(pipeline, tmp_path):
    running = start(pipeline, "no-such-program-anywhere")
    assert running.wait() == [127]
    assert "cannot run 'no-such-program-anywhere': No such file or directory" in running.errors()
    (tmp_path / "plain").write_text("no program")
    running = start(pipeline, tmp_path / "plain")
    assert running.wait() == [126]
    assert "Permission denied" in running.errors()


def test_the_first_and_the_last_byte_of_a_short_command(pipeline, redis):
    server = redis()
    for _ in range(10):
        running = start(pipeline, "redis-cli", "-p", server.port, "SET", "key", "value")
        assert running.wait() == [0]
        # What it prints goes to standard error, so that the pipe carries frames only.
        assert "OK" in running.errors()
        recording = Recording(running.output)
        (flow,) = recording.flows.values()
        assert flow.role == "client" and flow.close == "closed"
        assert flow.bytes(SENT).endswith(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n")
        assert recording.process_of(flow)["parent"]["pid"] == running.first.pid


def test_grandchildren_are_covered_and_strangers_are_not(pipeline, redis):
    server = redis()
    running = start(pipeline, "sh", "-c", f"(redis-cli -p {server.port} INCR n; redis-cli -p {server.port} INCR n); true")
    with server.client() as stranger:
        stranger.call("GET", "stranger")
    assert running.wait() == [0]
    recording = Recording(running.output)
    assert len(recording.flows) == 2
    assert {recording.process_of(flow)["comm"] for flow in recording.flows.values()} == {"redis-cli"}


def test_sigterm_is_passed_on(pipeline):
    running = start(pipeline, "sh", "-c", "trap 'echo got it; exit 7' TERM; echo waiting; while :; do sleep 0.05; done")
    wait_for(lambda: "waiting" in running.errors())
    running.first.send_signal(signal.SIGTERM)
    assert running.wait(20) == [7]
    assert "got it" in running.errors()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2])
def test_other_signals_are_passed_on(pipeline, number):
    script = f"trap 'echo got it; exit 7' {int(number)}; echo waiting; while :; do sleep 0.05; done"
    running = start(pipeline, "sh", "-c", script)
    wait_for(lambda: "waiting" in running.errors())
    running.first.send_signal(number)
    assert running.wait(20) == [7]
    assert "got it" in running.errors()


@pytest.mark.parametrize("delay", [0, 0.02, 0.1, 0.3])
def test_a_signal_before_the_capture_is_ready_is_not_lost(pipeline, tmp_path, delay):
    """The command does not begin, or it gets the signal: the status is a signal's, not the command's."""
    running = start(pipeline, "sh", "-c", f"sleep 1; touch {tmp_path}/lived; exit 9")
    # Its handlers are there: what comes before them ends any program.
    caught = lambda: int(re.search(r"SigCgt:\s*(\w+)", open(f"/proc/{running.first.pid}/status").read())[1], 16)
    wait_for(lambda: caught() & 1 << (signal.SIGTERM - 1))
    time.sleep(delay)
    running.first.send_signal(signal.SIGTERM)
    assert running.wait(20) == [128 + signal.SIGTERM]
    time.sleep(1.2)
    assert not (tmp_path / "lived").exists()


def test_ctrl_c_reaches_the_command_and_capture_goes_on(pipeline, redis):
    """As a terminal does it: the signal goes to the whole process group."""
    server = redis()
    script = f"trap 'redis-cli -p {server.port} SET after interrupt; exit 5' INT; echo waiting; while :; do sleep 0.05; done"
    running = start(pipeline, "sh", "-c", script, start_new_session=True)
    wait_for(lambda: "waiting" in running.errors())
    os.killpg(running.first.pid, signal.SIGINT)
    assert running.wait(20) == [5]
    sent = b"".join(flow.bytes(SENT) for flow in Recording(running.output).flows.values())
    assert b"interrupt" in sent


def test_it_ends_with_the_command_and_names_who_lives_on(pipeline):
    running = start(pipeline, "sh", "-c", "sleep 30 & echo $!; sleep 0.2; exit 4")
    assert running.wait(20) == [4]
    survivor = int(running.errors().split()[-1])
    try:
        recording = Recording(running.output)
        texts = [notice[3] for notice in recording.notices]
        assert any(f"sleep ({survivor})" in text for text in texts), texts
        os.kill(survivor, 0)
    finally:
        os.kill(survivor, signal.SIGKILL)


def test_the_command_goes_on_when_the_reader_is_gone(pipeline, tmp_path):
    done = tmp_path / "done"
    running = pipeline([[CAPTURE, "--", "sh", "-c", f"sleep 1.5; touch {done}; exit 6"], ["true"]])
    assert running.processes[1].wait(10) == 0
    wait_for(lambda: "ready" in running.errors())
    # The capture is over long before the command is.
    time.sleep(0.7)
    assert not done.exists() and running.first.poll() is None
    mine = kernel.programs_held_by(running.first.pid)
    assert [link for link in bpf_links() if link.get("prog_id") in mine] == []
    assert running.first.wait(20) == 6
    assert done.exists()


def bpf_links():
    shown = subprocess.run(["bpftool", "link", "show", "--json"], capture_output=True, check=True).stdout
    return json.loads(shown or b"[]")


def test_a_command_waits_until_the_capture_is_ready_and_dies_with_it(pipeline, tmp_path):
    """Killed while the command is held back, it leaves nobody waiting."""
    started = tmp_path / "started"
    running = pipeline([[CAPTURE, "--buffer", "1", "--port", "99999", "--", "touch", str(started)]])
    assert running.wait() == [64]
    assert not started.exists()


@pytest.mark.root
def test_the_command_runs_as_the_user_who_called_sudo(pipeline):
    nobody = pwd.getpwnam("nobody")
    environment = dict(os.environ, SUDO_UID=str(nobody.pw_uid), SUDO_USER="nobody", SUDO_GID=str(nobody.pw_gid))
    running = start(pipeline, "sh", "-c", "id -u; id -un; id -G; echo $HOME; echo $USER", env=environment)
    assert running.wait() == [0]
    assert running.errors().split()[-5:] == [
        str(nobody.pw_uid), "nobody", str(nobody.pw_gid), nobody.pw_dir, "nobody",
    ]  # fmt: skip


def test_descriptors_and_signals_are_as_a_program_expects_them(pipeline):
    script = "import os,signal,sys; print(sorted(os.listdir('/proc/self/fd')), signal.getsignal(signal.SIGPIPE).name)"
    direct = "import subprocess,sys; subprocess.run([sys.executable,'-c',sys.argv[1]],stdout=sys.stderr,restore_signals=True)"
    running = start(pipeline, sys.executable, "-c", script.replace(".name", ""))
    assert running.wait() == [0]
    plain = subprocess.run([sys.executable, "-c", direct, script.replace(".name", "")], stderr=subprocess.PIPE, text=True)
    assert running.errors().splitlines()[-1] == plain.stderr.splitlines()[-1]
