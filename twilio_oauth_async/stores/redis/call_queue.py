"""Limits the commands that a store sends at the same time. The wait for a place does not count as the server's time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from weakref import WeakKeyDictionary

import attrs

from twilio_oauth_async.errors import StoreError

MAX_CONCURRENT_CALLS = 32
"""Commands that one store sends at the same time. Each needs a connection; an exhausted connection pool raises."""

RESERVED_CALLS = 8
"""Further commands, which only keep or release locks. A lock must not be lost because many other calls wait."""

QUEUE_TIMEOUT = 60.0
"""Seconds that a call waits for a place while the server responds to others."""


@attrs.define(eq=False)
class _Places:
    """The places in one event loop."""

    common: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_CALLS))
    reserved: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(RESERVED_CALLS))
    last_reply: float = 0.0
    """Time of the loop."""


class CallQueue:
    """The calls of one store that wait for a place, in order."""

    def __init__(self, stall_timeout: float) -> None:
        """Create an empty queue.

        Args:
            stall_timeout: seconds without any reply of the server after which the waiting calls fail.
        """
        self._stall_timeout = stall_timeout
        # A semaphore that a task waited for belongs to one loop for ever; a store may be used in several loops.
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, _Places] = WeakKeyDictionary()

    @contextlib.asynccontextmanager
    async def place(self, *, reserved: bool = False) -> AsyncGenerator[None]:
        """Hold a place; with `reserved` one of those that are kept for locks.

        Raises:
            StoreError: no place was free within `QUEUE_TIMEOUT`, or the server has stopped to respond.
        """
        loop = asyncio.get_running_loop()
        places = self._places.get(loop)
        if places is None:
            places = self._places[loop] = _Places()
        semaphore = places.reserved if reserved else places.common
        if semaphore.locked():
            await self._wait(semaphore, places)
        else:
            await semaphore.acquire()
        try:
            yield
        finally:
            semaphore.release()

    def record_reply(self) -> None:
        """Record that the server has responded."""
        loop = asyncio.get_running_loop()
        self._places[loop].last_reply = loop.time()

    async def _wait(self, semaphore: asyncio.Semaphore, places: _Places) -> None:
        loop = asyncio.get_running_loop()
        queued_at = loop.time()
        limit = asyncio.timeout(QUEUE_TIMEOUT)
        timer: asyncio.TimerHandle | None = None

        def check() -> None:
            nonlocal timer
            stalled_at = max(queued_at, places.last_reply) + self._stall_timeout
            if loop.time() < stalled_at:
                timer = loop.call_at(stalled_at, check)
            elif not limit.expired():
                limit.reschedule(loop.time())

        with contextlib.suppress(TimeoutError):
            async with limit:
                check()
                try:
                    await semaphore.acquire()
                finally:
                    if timer is not None:
                        timer.cancel()
                return
        raise StoreError(
            f"Redis: too many calls wait, and none was completed in time ({loop.time() - queued_at:.1f} s)"
        )
