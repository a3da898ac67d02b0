# Kernel time of each BPF program per run, as the kernel counts it, beside empty programs on the same hooks.

import contextlib
import os
import shutil
import subprocess

from harness import kernel
from harness.pipeline import JSON, RESP, Capture
from harness.servers import RedisServer
from live import throughput
from report import Table, thousands

HERE = os.path.dirname(os.path.abspath(__file__))
SWITCH = "/proc/sys/kernel/bpf_stats_enabled"


@contextlib.contextmanager
def statistics_enabled():
    """The kernel counts run times only while this is on; it costs every program two readings of a clock."""
    with open(SWITCH) as file:
        before = file.read()
    with open(SWITCH, "w") as file:
        file.write("1")
    try:
        yield
    finally:
        with open(SWITCH, "w") as file:
            file.write(before)


@contextlib.contextmanager
def empty_hooks(work):
    """Compiles and attaches the empty programs; yields the pid that holds them."""
    clang = os.path.join(os.path.dirname(os.path.realpath(shutil.which("swift"))), "clang")
    compiled, loader = os.path.join(work, "empty-hook.bpf.o"), os.path.join(work, "empty-hook")
    headers = f"/usr/include/{os.uname().machine}-linux-gnu"
    source = os.path.join(HERE, "empty-hook.bpf.c")
    subprocess.run([clang, "--target=bpf", "-g", "-O2", "-idirafter", headers, "-c", source, "-o", compiled], check=True)
    subprocess.run(["gcc", "-O2", os.path.join(HERE, "empty-hook.c"), "-o", loader, "-lbpf"], check=True)
    process = subprocess.Popen([loader, compiled], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()


def costs(pid):
    """(name, runs, nanoseconds a run) of each program that a process holds and that ran."""
    held = kernel.programs_held_by(pid)
    for key, program in sorted(kernel.loaded_programs().items()):
        if key in held and program.get("run_cnt"):
            yield program["name"], program["run_cnt"], program["run_time_ns"] / program["run_cnt"]


def measure(work, requests):
    """A table of run times under redis-benchmark, unpipelined."""
    table = Table("Kernel time of each BPF program (kernel.bpf_stats_enabled)", "program", "runs", "ns a run")
    server = RedisServer(os.path.join(work, "redis-hooks"))
    try:
        with statistics_enabled(), empty_hooks(work) as empty:
            for direction in ("all", "ingress"):
                options = ["--port", server.port, "--direction", direction]
                capture = Capture(os.path.join(work, f"hooks-{direction}"), options, [RESP, JSON], output="/dev/null")
                try:
                    throughput(server.port, requests)
                    for name, runs, nanoseconds in costs(capture.first.pid):
                        table.add(f"{name}, --direction {direction}", thousands(runs), f"{nanoseconds:.0f}")
                    capture.stop()
                finally:
                    capture.kill()
            for name, runs, nanoseconds in costs(empty):
                table.add(f"{name}, an empty program", thousands(runs), f"{nanoseconds:.0f}")
    finally:
        server.stop()
    return [table]
