# --check: what this machine allows; and which rights a capture needs, and which it keeps.

import os
import platform
import re
import ssl
import subprocess
import sys
import time

import pytest

from harness.pipeline import reachable_copy, tool
from harness.resp import command
from harness.streams import Recording
from harness.tapwire import SENT

CAPTURE = tool("tap-capture")
FILE_CAPABILITIES = "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep"


def check(*words, **options):
    result = subprocess.run([*words, CAPTURE, "--check"], capture_output=True, text=True, **options)
    lines = result.stdout.splitlines()
    found, label = {}, None
    for line in lines:
        # Labels stand in a column of their own; what continues them does not begin there.
        label = line[:20].strip() or label
        found[label] = found.get(label, "") + " " + line[20:].strip()
        assert len(line) <= 80 or "/" in line, line
    return result, found


@pytest.mark.live
@pytest.mark.root
def test_a_machine_that_can():
    """Also the libraries of a running process, by the process that this test is."""
    version = ssl.OPENSSL_VERSION
    result, found = check()
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert platform.release() in found["kernel"]
    assert found["live capture"].strip().startswith("works, with the ")
    assert found["CAP_BPF"].strip() == "yes"
    assert "allowed" in found["tracepoint engine"] or "allowed" in found["fentry engine"]
    # Each failure comes with its cause.
    assert all(text.strip() for text in found.values()), found
    with open("/proc/self/maps") as maps:
        library = next(line.split()[-1] for line in maps if "/libssl" in line)
    assert f"OpenSSL: {library}" in found["TLS libraries"], (version, found)


def test_an_ordinary_user(tmp_path):
    """Everything that can be known without rights, and the remedy for the rest."""
    options = {"user": "nobody", "cwd": "/"} if os.geteuid() == 0 else {}
    program = reachable_copy("tap-capture", tmp_path)
    result = subprocess.run([program, "--check"], capture_output=True, text=True, **options)
    assert result.returncode == 77, result.stdout
    assert re.search(r"^CAP_BPF +no: ", result.stdout, re.M)
    assert re.search(r"^live capture +no permission", result.stdout, re.M)
    assert "sudo" in result.stdout


@pytest.mark.root
def test_a_kernel_without_type_information():
    result, found = check("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")
    assert result.returncode == 69
    assert "missing" in found["type information"] and "CONFIG_DEBUG_INFO_BTF" in found["live capture"]


@pytest.mark.root
def test_container_runtimes():
    """By their sockets: one that answers, one that nobody listens at."""
    script = f"""
mount -t tmpfs none /run && mkdir /run/podman &&
exec {sys.executable} - <<'END'
import socket, subprocess, sys
docker, podman = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
docker.bind("/run/docker.sock")
docker.listen()
podman.bind("/run/podman/podman.sock")
sys.exit(subprocess.run(["{CAPTURE}", "--check"]).returncode)
END
"""
    shown = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True).stdout
    lines = shown.splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("container runtimes"))
    assert lines[first].split() == ["container", "runtimes", "Docker:", "/run/docker.sock"]
    assert lines[first + 1].split() == ["Podman:", "/run/podman/podman.sock"]
    assert "Nobody answers" in lines[first + 2]


def test_it_stands_alone():
    result = subprocess.run([CAPTURE, "--check", "--port", "1"], capture_output=True, text=True)
    assert result.returncode == 64 and "--check stands alone" in result.stderr


def status_of(pid):
    with open(f"/proc/{pid}/status") as status:
        return dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)


@pytest.mark.live
@pytest.mark.root
def test_file_capabilities_are_enough(tmp_path, redis):
    """An ordinary user with a copy that has four rights sees another user's processes, and keeps two of the rights."""
    server = redis()
    program = reachable_copy("tap-capture", tmp_path)
    subprocess.run(["setcap", FILE_CAPABILITIES, program], check=True)
    output, errors = tmp_path / "output", tmp_path / "errors"
    with open(output, "wb") as out, open(errors, "wb") as err:
        process = subprocess.Popen(
            [program, "--port", str(server.port), "--stats"], stdout=out, stderr=err, user="nobody", group="nogroup",
            extra_groups=[], cwd="/",
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while "ready" not in errors.read_text():
            assert process.poll() is None and time.monotonic() < deadline, errors.read_text()
            time.sleep(0.01)
        allowed = 1 << 2 | 1 << 19  # CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE
        for task in os.listdir(f"/proc/{process.pid}/task"):
            status = status_of(f"{process.pid}/task/{task}")
            assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == allowed
            assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
            assert status["NoNewPrivs"] == "1"
            assert set(status["Uid"].split()) != {"0"}
        with server.client() as client:
            client.call("SET", "seen", "by nobody")
        process.send_signal(2)
        assert process.wait(20) == 0, errors.read_text()
    finally:
        process.kill()
        process.wait()
    recording = Recording(output)
    served = next(flow for flow in recording.flows.values() if flow.role == "server")
    about = recording.process_of(served)
    assert about["pid"] == server.pid and about["uid"] == os.geteuid()
    # Of another user's process: its program and its command line.
    assert about["exe"].endswith("redis-check-rdb") or about["exe"].endswith("redis-server")
    assert any(command("SET", "seen", "by nobody") in flow.bytes(SENT) for flow in recording.flows.values())


@pytest.mark.live
@pytest.mark.root
@pytest.mark.parametrize("missing", ["cap_bpf", "cap_perfmon"])
def test_a_right_that_is_missing(tmp_path, missing):
    program = reachable_copy("tap-capture", tmp_path)
    rights = ",".join(name for name in FILE_CAPABILITIES.removesuffix("+ep").split(",") if name != missing)
    subprocess.run(["setcap", rights + "+ep", program], check=True)
    result = subprocess.run([program], capture_output=True, text=True, user="nobody", cwd="/")
    assert result.returncode == 77
    assert result.stderr.startswith("tap-capture: no permission to capture") and "PRIVILEGES" in result.stderr


@pytest.mark.live
@pytest.mark.root
@pytest.mark.parametrize("has_command", [False, True], ids=["alone", "with a command"])
def test_root_keeps_no_more_than_it_needs(capture, has_command):
    running = capture(["--", "sleep", "60"] if has_command else [])
    allowed = 1 << 2 | 1 << 19 | (1 << 5 if has_command else 0)  # and CAP_KILL, for a command of another user
    status = status_of(running.first.pid)
    for name in ("CapEff", "CapPrm", "CapBnd"):
        assert int(status[name], 16) & ~allowed == 0, (name, status[name])
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    if has_command:
        # The command itself is not bound by any of that.
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(running.first.pid)], capture_output=True, text=True)
        child = status_of(int(children.stdout))
        assert child["NoNewPrivs"] == "0" and child["CapBnd"] != status["CapBnd"]
        running.kill()
        os.kill(int(children.stdout), 9)
    else:
        running.stop()
