"""A guard against regressions of speed. It compares ratios of CPU times that one run has measured, never times.

It runs in a process of its own: a tool that traces the lines of this package, but not those of aiohttp, would change
the ratios.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "typed_call.py"
TRACING = {"COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "PYTHONASYNCIODEBUG", "PYTHONDEVMODE"}


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="the limits are those of CPython")
def test_typed_call_and_pending_poll_cost_at_most_a_third_more_than_a_hand_written_call():
    environment = {name: value for name, value in os.environ.items() if name not in TRACING}
    command = [sys.executable, str(SCRIPT), "--guard"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "create_token" in done.stdout
    assert "pending poll" in done.stdout
