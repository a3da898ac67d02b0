# What every program says about itself and about a wrong command line: one clear line, the right status, no data on stdout.

import subprocess

import pytest

from harness.pipeline import tool

PROGRAMS = ["tap-capture", "tap-resp", "tap-http", "tap-merge", "tap-fmt"]


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_version_are_data(program):
    shown = run(tool(program), "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"USAGE: {program}" in shown.stdout
    version = run(tool(program), "--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.strip()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_bad_option_is_refused_with_its_name(program):
    refused = run(tool(program), "--no-such-option")
    assert (refused.returncode, refused.stdout) == (64, "")
    first = refused.stderr.splitlines()[0]
    assert first.startswith(f"{program}: ") and "--no-such-option" in first
