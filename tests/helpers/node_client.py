"""A script for Node.js with packages that npm installs once a run, and the conversation with it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

SCRIPTS = Path(__file__).parents[1] / "interop"
REQUIRED = os.environ.get("TWILIO_OAUTH_REQUIRE_NODE") == "1"
PATIENCE = 30.0
"""Real seconds that an answer of a script may take."""


def install(folder: Path) -> Path:
    """Install what package-lock.json says into `folder`, once for all workers of a run; skip where that cannot be."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        give_up("there is no Node.js with npm here")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        give_up(f"Node.js is older than 20: {version}")
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = folder.with_name(folder.name + "-unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            for file in (*SCRIPTS.glob("*.mjs"), *SCRIPTS.glob("package*.json")):
                shutil.copy(file, unfinished)
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
            run = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, timeout=300, check=False)
            if run.returncode != 0:
                give_up(f"npm ci failed: {run.stderr.strip()[-300:]}")
            unfinished.rename(folder)
    return folder


def give_up(reason: str) -> None:
    if REQUIRED:
        pytest.fail(f"TWILIO_OAUTH_REQUIRE_NODE=1, but {reason}")
    pytest.skip(reason)


class Script:
    """A running script: what it says, one JSON value a line, and what it is answered."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def listen(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        assert line, "the script ended without a word"
        return dict(json.loads(line))

    def answer(self, value: Any = None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")


@asynccontextmanager
async def running(folder: Path, script: str, **given: Any) -> AsyncIterator[Script]:
    """Start `script`; it ends with the block, and must then have ended well."""
    process = await asyncio.create_subprocess_exec(
        *("node", script, json.dumps(given)),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    complaint = asyncio.ensure_future(process.stderr.read())
    ended_well = False
    try:
        yield Script(process)
        process.stdin.close()
        ended_well = await asyncio.wait_for(process.wait(), PATIENCE) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        told = (await complaint).decode()
        if not ended_well and told:
            pytest.fail(f"{script}: {told}")
