"""One lock a key for the tasks of one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import attrs

from twilio_oauth_async.errors import StoreError


@attrs.define
class _Place:
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    users: int = 0


class KeyedLocks:
    """Locks that come into being when a key is used and go when nobody uses it.

    Waiters are served in turn. A store that excludes other processes by asking again and again sends only one task a
    key to ask; the rest stand in line here and cost nothing.
    """

    def __init__(self) -> None:
        # The loop is part of the place: a lock that was contended belongs to one loop for good, and a store may see
        # several, one after the other (asyncio.run twice) or at once (a thread each).
        self._places: dict[tuple[asyncio.AbstractEventLoop, str], _Place] = {}

    @contextlib.asynccontextmanager
    async def hold(self, key: str, timeout: float) -> AsyncGenerator[None]:
        """Hold the lock of `key`.

        Args:
            key: any string.
            timeout: seconds to wait for it.

        Raises:
            StoreError: others held it for all that time.
        """
        at = (asyncio.get_running_loop(), key)
        place = self._places.setdefault(at, _Place())
        place.users += 1
        try:
            late = False
            try:
                async with asyncio.timeout(timeout):
                    await place.lock.acquire()
            except TimeoutError:
                late = True
            if late:
                raise StoreError(f"the lock was not free within {timeout:g} s: another task of this process holds it")
            try:
                yield
            finally:
                place.lock.release()
        finally:
            place.users -= 1
            if not place.users:
                del self._places[at]
