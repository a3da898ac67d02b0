# The manual pages are well-formed, and no option is missing in them.

import re
import subprocess

import pytest

from harness.pipeline import ROOT, tool

PROGRAMS = ["tap-capture", "tap-resp", "tap-http", "tap-merge", "tap-fmt"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_manual_page_is_well_formed(program):
    said = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", f"{ROOT}/man/{program}.1"], capture_output=True, text=True
    )
    assert (said.returncode, said.stdout) == (0, "")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_manual_page_tells_every_option(program):
    shown = subprocess.run([tool(program), "--help"], capture_output=True, text=True, check=True).stdout
    page = subprocess.run(["mandoc", "-T", "utf8", f"{ROOT}/man/{program}.1"], capture_output=True, text=True, check=True)
    text = re.sub(".\b", "", page.stdout)
    missing = {option for option in re.findall(r"(?<!\S)--[a-z-]+", shown) if option not in text}
    # Every program has these two, and says so itself.
    assert missing <= {"--help", "--version"}, missing
