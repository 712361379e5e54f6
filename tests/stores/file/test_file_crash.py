"""Row 27: killed with kill -9 while saving, there is the old or the new file, never a torn one, and no lock stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "25"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def crashing(*arguments):
    command = [sys.executable, Path(__file__).parents[2] / "helpers" / "crashing_writer.py", *map(str, arguments)]
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=unmeasured)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_killed_at_each_system_call_of_a_save(tmp_path):
    # The lock, the reading, the new file and its parts, the two folders: fewer would not be a save.
    assert crashing("steps", tmp_path / "private" / "tokens.json") > 20


def test_killed_at_random_moments(tmp_path):
    assert crashing("times", tmp_path / "private" / "tokens.json", ROUNDS) == ROUNDS
