# Kernel time of each BPF program per event, as the kernel counts it, beside the parts that it is made of, measured one by
# one on the same hooks in the same run.

import contextlib
import os
import shutil
import subprocess

from harness import kernel
from harness.pipeline import JSON, RESP, Capture, tool
from harness.servers import RedisServer
from live import throughput
from report import Table, median, spread, thousands

HERE = os.path.dirname(os.path.abspath(__file__))
SWITCH = "/proc/sys/kernel/bpf_stats_enabled"

# The programs of each engine, by direction, and the letter of their parts in hook-parts.bpf.c.
ENGINES = {
    "tracepoint": ("t", {"sent": "socket_sent", "received": "socket_received"}),
    "fentry": ("f", {"sent": "inet_sent", "received": "inet_received"}),
}
PARTS = ("storage", "clock", "ring", "memory")
# What an event may cost, as a multiple of the sum of its parts.
LIMIT = 1.2


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
def held_programs(work, *prefixes):
    """Compiles the programs and attaches those with such names; yields the pid that holds them."""
    compiled, loader = os.path.join(work, "hook-parts.bpf.o"), os.path.join(work, "hold-programs")
    if not os.path.exists(loader):
        clang = os.path.join(os.path.dirname(os.path.realpath(shutil.which("swift"))), "clang")
        headers = f"/usr/include/{os.uname().machine}-linux-gnu"
        source = os.path.join(HERE, "hook-parts.bpf.c")
        words = ["--target=bpf", "-D__TARGET_ARCH_x86", "-g", "-O2", "-Wall", "-idirafter", headers]
        subprocess.run([clang, *words, "-c", source, "-o", compiled], check=True)
        subprocess.run(["gcc", "-O2", os.path.join(HERE, "hold-programs.c"), "-o", loader, "-lbpf"], check=True)
    process = subprocess.Popen([loader, compiled, *prefixes], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.wait()


def empty_programs(work):
    """Programs that do nothing on the hooks of the tracepoint engine."""
    return held_programs(work, "empty_t")


def costs(pid):
    """(name, runs, nanoseconds a run) of each program that a process holds and that ran."""
    held = kernel.programs_held_by(pid)
    for key, program in sorted(kernel.loaded_programs().items()):
        if key in held and program.get("run_cnt"):
            yield program["name"], program["run_cnt"], program["run_time_ns"] / program["run_cnt"]


def works(engine):
    """Whether this machine takes the engine."""
    words = [tool("tap-capture"), "--engine", engine, "--duration", "0.1", "--port", "1"]
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def measure(work, rounds, requests):
    """Tables of run times under redis-benchmark, unpipelined: for each engine that works here."""
    server = RedisServer(os.path.join(work, "redis-hooks"))
    try:
        return [measure_engine(work, server, engine, rounds, requests) for engine in ENGINES if works(engine)]
    finally:
        server.stop()


def measure_engine(work, server, engine, rounds, requests):
    table = Table(
        f"Kernel time of an event of the {engine} engine and of its parts, ns (kernel.bpf_stats_enabled)",
        "", "runs", "event", "empty program", *(f"{part}, besides" for part in PARTS), "sum of the parts", "ratio",
    )  # fmt: skip
    letter, programs = ENGINES[engine]
    rows = {direction: [] for direction in programs}
    others = []
    for index in range(rounds):
        with statistics_enabled(), held_programs(work, *(f"{part}_{letter}" for part in ("empty", *PARTS))) as parts:
            options = ["--port", server.port, "--engine", engine]
            directory = os.path.join(work, f"hooks-{engine}-{index}")
            capture = Capture(directory, options, [RESP, JSON], output="/dev/null")
            try:
                throughput(server.port, requests)
                ours = {name: (runs, time) for name, runs, time in costs(capture.first.pid)}
                times = {name: time for name, _, time in costs(parts)}
                capture.stop()
            finally:
                capture.kill()
        others = [(name, *ours[name]) for name in ours if name not in programs.values()]
        for direction, name in programs.items():
            empty = times[f"empty_{letter}{direction}"]
            besides = [times[f"{part}_{letter}{direction}"] - empty for part in PARTS]
            runs, time = ours[name]
            rows[direction].append((runs, time, empty, *besides, empty + sum(besides)))
    for direction, measured in rows.items():
        ratios = [row[1] / row[-1] for row in measured]
        medians = [median(column) for column in zip(*measured)]
        table.add(programs[direction], thousands(medians[0]), *(f"{value:.0f}" for value in medians[1:]), spread(ratios))
    table.notes.append(f"Medians of {rounds} rounds. The ratio must be at most {LIMIT}.")
    rest = ", ".join(f"{name} {time:.0f} ({thousands(runs)})" for name, runs, time in others)
    table.notes.append(f"The other programs, ns a run (runs): {rest}.")
    return table
