# What the kernel allows and what it holds: whether BPF programs can be loaded, and which ones are loaded.

import ctypes
import json
import os
import platform
import shutil
import subprocess
import time

_BPF_SYSCALL = {"x86_64": 321, "aarch64": 280}
_BPF_PROG_LOAD = 5
_RAW_TRACEPOINT = 17


def may_load_bpf():
    """Loads the smallest tracing program there is, apart from all our code, so that a broken tap-capture cannot say no.

    Returns None, or why it is refused.
    """
    instructions = bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])  # r0 = 0; exit
    program = ctypes.create_string_buffer(instructions, len(instructions))
    license = ctypes.create_string_buffer(b"GPL")
    attributes = ctypes.create_string_buffer(128)
    ctypes.memmove(
        attributes,
        _RAW_TRACEPOINT.to_bytes(4, "little")
        + (len(instructions) // 8).to_bytes(4, "little")
        + ctypes.addressof(program).to_bytes(8, "little")
        + ctypes.addressof(license).to_bytes(8, "little"),
        24,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    number = _BPF_SYSCALL[platform.machine()]
    descriptor = libc.syscall(number, _BPF_PROG_LOAD, attributes, len(attributes))
    if descriptor < 0:
        return os.strerror(ctypes.get_errno())
    os.close(descriptor)
    return None


def loaded_programs():
    """Every loaded BPF program by its id."""
    if not shutil.which("bpftool") or os.geteuid() != 0:
        return {}
    shown = subprocess.run(["bpftool", "prog", "show", "--json"], capture_output=True, check=True).stdout
    return {program["id"]: program for program in json.loads(shown or b"[]")}


def programs_held_by(pid):
    """Ids of the programs that a process holds open."""
    held = set()
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{descriptor}") as info:
                held |= {int(line.split()[1]) for line in info if line.startswith("prog_id:")}
    except OSError:
        pass  # it ended meanwhile
    return held


def leaked_programs(before, ours):
    """Programs that appeared after `before` and that no process outside `ours` holds: other captures may run beside us.

    The kernel frees a program some milliseconds after its last holder is gone.
    """
    deadline = time.monotonic() + 3
    while True:
        leaked = {key: value for key, value in loaded_programs().items() if key not in before}
        if leaked:
            for pid in filter(str.isdigit, os.listdir("/proc")):
                if int(pid) not in ours:
                    for held in programs_held_by(pid):
                        leaked.pop(held, None)
        if not leaked or time.monotonic() > deadline:
            return leaked
        time.sleep(0.05)


def processes_with_environment(entry):
    """Pids of the processes that inherited `NAME=value`."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                if entry.encode() in environment.read().split(b"\0"):
                    found.add(int(pid))
        except OSError:
            pass  # it ended, or is another user's
    return found
