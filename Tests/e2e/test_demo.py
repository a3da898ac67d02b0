# scripts/demo, as a newcomer runs it: live, and where live capture is not allowed.

import os
import subprocess
import time

import pytest

from harness.pipeline import JSON, PRETTY, RESP, ROOT, run

SHOWN = ["■ redis-cli → SET testkey hello from cli OK", "■ redis-server ← SET testkey hello from cli OK", '"command":"SET"']


def demo(directory, *prefix):
    started = time.monotonic()
    shown = subprocess.run(
        [*prefix, f"{ROOT}/scripts/demo"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env={**os.environ, "TMPDIR": str(directory)},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    assert time.monotonic() - started < 10, "the demo takes less than 10 s beside an up-to-date build"
    assert not os.listdir(directory)
    return shown.stdout


@pytest.mark.live
def test_the_demo_shows_live_traffic(tmp_path):
    shown = demo(tmp_path)
    for text in SHOWN:
        assert text in shown
    assert "a-password-that-nobody-sees" not in shown
    assert "recording" not in shown


@pytest.mark.root
def test_the_demo_without_the_right_to_capture_shows_a_recording(tmp_path):
    # Root in a user namespace of its own has no rights outside of it.
    shown = demo(tmp_path, "unshare", "--user", "--map-root-user")
    for text in [*SHOWN, "Live capture is not possible here"]:
        assert text in shown
    # It is root that reads this.
    assert "As root" not in shown


@pytest.mark.parametrize("stage, golden", [(PRETTY, "demo.txt"), (JSON, "demo.jsonl")])
def test_the_recording_gives_what_stands_beside_it(tmp_path, stage, golden):
    """`scripts/demo --record` makes all three files anew."""
    output = run([RESP, stage], tmp_path / "replay", stdin=f"{ROOT}/examples/demo.tap")
    with open(f"{ROOT}/examples/{golden}", "rb") as file:
        assert output == file.read()
