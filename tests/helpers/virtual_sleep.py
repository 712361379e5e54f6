"""A replacement for ``time.sleep`` in another thread that waits on the virtual clock of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twilio_oauth_async.clock import VirtualClock

TIMEOUT = 20.0
"""Real seconds after which a wait fails, so that a hanging test ends."""


HEAD_START = 600
"""Seconds by which the virtual clock starts early, so that a token of a flow of some minutes is not from the future for
verifiers that use the real clock."""


class VirtualSleep:
    """Waits on a `VirtualClock`. Create it in the event loop that the clock belongs to."""

    def __init__(self, clock: VirtualClock) -> None:
        self.before_wait: dict[int, Callable[[], Awaitable[None]]] = {}
        """Functions to call before a wait, by the number of the wait, counted from 1."""
        self.waits: list[float] = []
        """Seconds of each wait, as requested by the client."""
        self.shortened_by: dict[int, float] = {}
        """Seconds by which a wait ends too early, as with an inaccurate timer, by the number of the wait."""
        self._clock = clock
        self._loop = asyncio.get_running_loop()

    def sleep(self, seconds: float) -> None:
        """Wait; called in the client's thread."""
        asyncio.run_coroutine_threadsafe(self.wait(seconds), self._loop).result(TIMEOUT)

    async def wait(self, seconds: float) -> None:
        """Wait; called in the event loop."""
        self.waits.append(seconds)
        if act := self.before_wait.get(len(self.waits)):
            await act()
        await self._clock.sleep(seconds - self.shortened_by.get(len(self.waits), 0.0))
