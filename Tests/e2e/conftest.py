# Fixtures: a redis-server for each test, captures that are always ended, and a look for leftovers at the end.

import os
import subprocess
import uuid

import pytest

from harness import kernel
from harness.pipeline import Capture, Pipeline
from harness.servers import RedisServer

# Every process that the tests start inherits this, so that none can hide, whoever its parent is by then.
MARK = f"TAP_E2E_SESSION={uuid.uuid4()}"
os.environ.update([MARK.split("=")])

BPF_REFUSAL = kernel.may_load_bpf()


def pytest_collection_modifyitems(config, items):
    """Leaves out, loudly, what this user may not do; where BPF can be loaded, a failing capture fails its tests."""
    refused = {"live": BPF_REFUSAL, "root": None if os.geteuid() == 0 else "not root"}
    left_out = [item for item in items if any(why and item.get_closest_marker(mark) for mark, why in refused.items())]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    config.left_out = left_out


def pytest_terminal_summary(terminalreporter, config):
    line = terminalreporter.write_line
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("NOT RUN", sep="!")
        for report in skipped:
            line(f"{report.nodeid}: {report.longrepr[2]}")
    left_out = getattr(config, "left_out", [])
    if left_out:
        terminalreporter.section("NOT RUN", sep="!")
        line(f"{len(left_out)} tests were left out: no root, or no right to load BPF programs ({BPF_REFUSAL}).")
        line("Nothing here says that live capture works. Run scripts/test as root:")
        for item in left_out:
            line(f"  {item.nodeid}")


@pytest.fixture(scope="session", autouse=True)
def leftovers():
    """No process of ours and no BPF program outlives the tests."""
    before = kernel.loaded_programs()
    yield
    ours = kernel.processes_with_environment(MARK)
    leaked = kernel.leaked_programs(before, ours)
    assert not leaked, f"BPF programs left loaded: {leaked}"
    commands = {pid: subprocess.getoutput(f"ps -o args= -p {pid}") for pid in ours - {os.getpid()}}
    assert not commands, f"processes left running: {commands}"


@pytest.fixture
def redis(tmp_path):
    """Starts redis-servers: `redis()`, `redis("--requirepass", "x")`."""
    servers = []

    def start(*options):
        servers.append(RedisServer(tmp_path / f"redis{len(servers)}", *options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def capture(tmp_path):
    """Starts captures: `capture(["--port", 7000], [RESP, JSON])`."""
    started = []

    def start(options, stages=(), **popen_options):
        started.append(Capture(tmp_path / f"capture{len(started)}", options, stages, **popen_options))
        return started[-1]

    yield start
    for pipeline in started:
        pipeline.kill()


@pytest.fixture
def pipeline(tmp_path):
    """Starts pipelines that need not begin with a capture."""
    started = []

    def start(commands, **options):
        started.append(Pipeline(tmp_path / f"pipeline{len(started)}", commands, **options))
        return started[-1]

    yield start
    for running in started:
        running.kill()
