# A minute of the fuzzer; scripts/fuzz runs it for longer.

import os
import re
import subprocess

from harness.pipeline import ROOT


def test_the_fuzzer_finds_nothing_in_60_seconds():
    done = subprocess.run(
        [os.path.join(ROOT, "scripts", "fuzz"), "60"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=550
    )
    assert done.returncode == 0, done.stderr
    assert int(re.search(r"(\d+) captures", done.stdout)[1]) > 1000, done.stdout
