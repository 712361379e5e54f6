"""Fault 27 (docs/reliability.md): after ``kill -9`` the database is whole and every save that returned is stored.

The environment variable ``TWILIO_OAUTH_CRASH_ROUNDS`` sets how many processes are killed at random moments.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.stored_values import stored
from twilio_oauth_async.stores.file import FileTokenStore

ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "12"))
WRITER = Path(__file__).parents[2] / "helpers" / "crashing_writer.py"
CALLS = "pwrite64,fdatasync,fsync,ftruncate,unlink,rename,openat,fchmod"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run_writer(*arguments, before=()):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [*before, sys.executable, WRITER, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def rounds_of(*arguments):
    run = run_writer(*arguments)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_two_processes_killed_at_random_moments_lose_no_completed_save(tmp_path):
    assert rounds_of("times", tmp_path / "private" / "tokens.db", ROUNDS) == ROUNDS


def test_creation_killed_at_each_step_leaves_no_database_or_a_whole_one(tmp_path):
    assert rounds_of("create", tmp_path) > 30


@pytest.fixture
def tracer():
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("strace, which kills a process at a system call, is not installed or not allowed here")
    return strace


def test_save_killed_at_each_system_call_leaves_the_old_or_the_new_token(tmp_path, tracer):
    """Between the write to the log and its sync, too, where only SQLite itself is at work."""
    path, log = tmp_path / "private" / "tokens.db", tmp_path / "trace"

    async def load():
        store = FileTokenStore(path)
        found = await store.load("a")
        await store.close()
        return found

    run = run_writer("save", path, 1, before=[tracer, "-f", "-y", "-o", log, "-e", f"trace={CALLS}"])
    assert run.returncode == 0, run.stderr
    calls = [line for line in log.read_text().splitlines() if re.search(r"\) += ", line)]
    first = next(number for number, line in enumerate(calls) if "tokens.db" in line)
    # Only from where the store begins: before, Python opens its modules.
    moments = range(first + 1, len(calls) + 1)
    generation = 1
    for when in moments[:: max(1, len(moments) // 10)]:
        inject = f"inject={CALLS}:signal=KILL:when={when}"
        run_writer("save", path, generation + 1, before=[tracer, "-f", "-o", "/dev/null", "-e", inject])
        found = asyncio.run(load())
        assert found in (stored(generation), stored(generation + 1))
        generation = found.generation
    assert not list(path.parent.glob("*.set-aside-*"))
