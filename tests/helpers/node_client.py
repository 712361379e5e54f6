"""Runs a Node.js script, whose packages npm installs once per test run, and exchanges messages with it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.helpers.virtual_sleep import VirtualSleep

SCRIPTS = Path(__file__).parents[1] / "interop"
REQUIRED = os.environ.get("TWILIO_OAUTH_REQUIRE_NODE") == "1"
TIMEOUT = 30.0
"""Real seconds to wait for a message of a script."""


def install(folder: Path) -> Path:
    """Install the packages of package-lock.json into `folder`, once for all workers; skip the test if that fails."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        skip_or_fail("Node.js with npm is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        skip_or_fail(f"Node.js is older than 20: {version}")
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
                skip_or_fail(f"npm ci failed: {run.stderr.strip()[-300:]}")
            unfinished.rename(folder)
    return folder


def skip_or_fail(reason: str) -> None:
    """Skip the test, or fail it if Node.js is required."""
    if REQUIRED:
        pytest.fail(f"TWILIO_OAUTH_REQUIRE_NODE=1, but {reason}")
    pytest.skip(reason)


class Script:
    """A running script. Each message, in both directions, is one line with a JSON value."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), TIMEOUT)
        assert line, "the script ended without a message"
        return dict(json.loads(line))

    def reply(self, value: Any = None) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def result(
        self, user: Callable[[dict[str, Any]], Awaitable[Any]], sleep: VirtualSleep | None = None
    ) -> dict[str, Any]:
        """Reply to messages until the script reports its result: its waits go to `sleep`, other messages to `user`."""
        while True:
            message = await self.receive()
            if {"done", "failed"} & set(message):
                self.reply()
                return message
            if "wait" in message and sleep is not None:
                await sleep.wait(message["wait"])
                self.reply()
            else:
                self.reply(await user(message))


@asynccontextmanager
async def run_script(folder: Path, script: str, **options: Any) -> AsyncIterator[Script]:
    """Start `script` and wait for its end after the block; fail if its exit status is not 0."""
    process = await asyncio.create_subprocess_exec(
        *("node", script, json.dumps(options)),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    stderr = asyncio.ensure_future(process.stderr.read())
    succeeded = False
    try:
        yield Script(process)
        process.stdin.close()
        succeeded = await asyncio.wait_for(process.wait(), TIMEOUT) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        errors = (await stderr).decode()
        if not succeeded and errors:
            pytest.fail(f"{script}: {errors}")
