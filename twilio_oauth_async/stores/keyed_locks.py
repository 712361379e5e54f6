"""One lock per key for the tasks of one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import attrs

from twilio_oauth_async.errors import StoreError


@attrs.define
class _Entry:
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    tasks: int = 0
    """Number of tasks that hold the lock or wait for it."""


class KeyedLocks:
    """Locks that are created when a key is first used and deleted when no task uses it.

    Tasks get the lock in the order in which they asked for it. A store that polls for a lock between processes uses
    this one first: then only one task per key polls, and the others wait here at no cost.
    """

    def __init__(self) -> None:
        # The loop is part of the key: an asyncio.Lock is bound to one loop once a task has waited for it,
        # and a store may be used in several loops, one after the other (asyncio.run twice) or at the same time (one per
        # thread).
        self._entries: dict[tuple[asyncio.AbstractEventLoop, str], _Entry] = {}

    @contextlib.asynccontextmanager
    async def hold(self, key: str, timeout: float) -> AsyncGenerator[None]:
        """Hold the lock of `key`.

        Args:
            key: any string.
            timeout: seconds to wait for the lock.

        Raises:
            StoreError: other tasks held the lock for the whole `timeout`.
        """
        loop_and_key = (asyncio.get_running_loop(), key)
        entry = self._entries.setdefault(loop_and_key, _Entry())
        entry.tasks += 1
        try:
            timed_out = False
            try:
                async with asyncio.timeout(timeout):
                    await entry.lock.acquire()
            except TimeoutError:
                timed_out = True
            if timed_out:
                raise StoreError(f"the lock was not free within {timeout:g} s: another task of this process holds it")
            try:
                yield
            finally:
                entry.lock.release()
        finally:
            entry.tasks -= 1
            if not entry.tasks:
                del self._entries[loop_and_key]
