"""`LoopDelay`: how late the event loop runs a timer while a load runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from typing import Self

from harness.rounds import percentile

INTERVAL = 0.001
"""Seconds between two timers. The loop itself rounds the time of a timer up to a millisecond."""


class LoopDelay:
    """Samples the delay of the running event loop inside its ``async with``; it can be entered repeatedly.

    A timer is due every millisecond. A loop that was blocked for 100 ms has missed 100 of them, and each counts with
    its own delay; otherwise a long pause would be one sample among thousands.

    On Linux the kernel counts the time for which a thread is ready and waits for a free core. Other programs cause it,
    so there are also figures without it (`own`). Elsewhere both are the same.
    """

    def __init__(self) -> None:
        """Create it without samples."""
        self.all: list[float] = []
        """Milliseconds."""
        self.own: list[float] = []
        """Milliseconds, without the wait for a free core."""
        self._sampler: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._sampler = asyncio.create_task(self._sample())
        await asyncio.sleep(0)  # the first timer is set before the load starts
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._sampler is not None
        await asyncio.sleep(2 * INTERVAL)  # a pause at the end of the load is still counted
        self._sampler.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sampler

    @staticmethod
    def figures(samples: Sequence[float]) -> tuple[float, float, float]:
        """Return median, 99th percentile and maximum of `all` or `own`, in milliseconds."""
        return percentile(samples, 0.5), percentile(samples, 0.99), max(samples)

    async def _sample(self) -> None:
        with _CoreWait() as core:
            waited = core.seconds()
            due = time.perf_counter() + INTERVAL
            while True:
                await asyncio.sleep(due - time.perf_counter())
                now, before, waited = time.perf_counter(), waited, core.seconds()
                while due <= now:
                    self.all.append((now - due) * 1e3)
                    self.own.append(max(0.0, now - due - (waited - before)) * 1e3)
                    due += INTERVAL


class _CoreWait:
    """For how long the thread that creates it has been ready but waited for a free core."""

    def __enter__(self) -> Self:
        self._file: int | None = None
        with contextlib.suppress(OSError):  # another system, or a kernel without these statistics
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def seconds(self) -> float:
        """Return the sum since the start of the thread; 0 where it is not known."""
        return 0.0 if self._file is None else int(os.pread(self._file, 100, 0).split()[1]) / 1e9
