"""Starts a Redis server for a benchmark, on a free loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import attrs

START_TIMEOUT = 10.0
"""Seconds that the server may take to start."""


@attrs.frozen
class RedisServer:
    """A running server."""

    url: str
    pid: int
    version: str


@contextlib.asynccontextmanager
async def redis_server(folder: Path, *options: str) -> AsyncGenerator[RedisServer | None]:
    """Run a server inside the ``async with``; yield None if ``redis-server`` is not installed.

    Args:
        folder: for its files.
        options: of the command line. Without any it writes nothing to the disk.

    Raises:
        RuntimeError: the server did not start.
    """
    if shutil.which("redis-server") is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""),
        *("--loglevel", "warning", *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        version = await _wait_until_ready(port)
        yield RedisServer(f"redis://127.0.0.1:{port}", process.pid, version)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _wait_until_ready(port: int) -> str:
    """Return the version of the server once it responds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_TIMEOUT):
            while True:
                with contextlib.suppress(OSError):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(b"INFO server\r\n")
                    info = (await reader.read(1 << 16)).decode()
                    writer.close()
                    if "redis_version:" in info:
                        return info.partition("redis_version:")[2].split()[0]
                await asyncio.sleep(0.02)
    raise RuntimeError("redis-server does not start")
