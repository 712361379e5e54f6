"""The sleep of a client in another thread, spent on the virtual clock of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twilio_oauth_async.clock import VirtualClock

PATIENCE = 20.0
"""Real seconds after which a test that hangs is given up."""

HEAD_START = 600
"""Seconds that the virtual clock of these tests is behind the real one at first: a token that was issued after minutes
of virtual time must not be from the future for verifiers that use the real clock."""


class ForeignTime:
    """Stands in for ``time.sleep``. Make it in the event loop that the clock belongs to."""

    def __init__(self, clock: VirtualClock) -> None:
        self.before: dict[int, Callable[[], Awaitable[None]]] = {}
        """What happens before which of the waits, counted from 1."""
        self.waits: list[float] = []
        """How long the client meant to wait."""
        self.early: dict[int, float] = {}
        """By how many seconds a wait ends too early, as if the device's timer were off."""
        self._clock = clock
        self._loop = asyncio.get_running_loop()

    def sleep(self, seconds: float) -> None:
        """Called in the client's thread."""
        asyncio.run_coroutine_threadsafe(self.wait(seconds), self._loop).result(PATIENCE)

    async def wait(self, seconds: float) -> None:
        """Called in the event loop."""
        self.waits.append(seconds)
        if act := self.before.get(len(self.waits)):
            await act()
        await self._clock.sleep(seconds - self.early.get(len(self.waits), 0.0))
