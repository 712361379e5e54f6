"""Where time comes from: one clock is shared by a session, its flows, its managers and the emulator.

Waiting runs on the monotonic side; what is stored or shown is an aware UTC ``datetime``. The two are kept
apart because the wall clock jumps (NTP, a suspended laptop) and a jump must never turn into a burst of polls.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_QUIET_TURNS = 24
"""Turns of the event loop without any use of the clock before a `VirtualClock` moves on.

A loopback request takes about a dozen turns between two looks at the clock; twice that is a safe margin.
"""


class Clock(Protocol):
    """What the package asks of a clock."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""
        ...

    def now(self) -> datetime:
        """The wall clock, as an aware UTC ``datetime``."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock's time; at once where they are not positive."""
        ...


class SystemClock:
    """The machine's own time."""

    __slots__ = ()

    # The function itself, not a method around it: `TokenManager.token` asks it each time.
    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """The machine's wall clock, aware, UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """``asyncio.sleep``."""
        await asyncio.sleep(seconds)

    def __repr__(self) -> str:
        return "SystemClock()"


class VirtualClock:
    """Time that passes only when asked to, so that a five-minute sign-in takes milliseconds in a test.

    With `auto` (the default) the clock jumps to the next sleeper as soon as the event loop has been quiet for a
    few turns, that is, when everybody who shares this clock waits for it. With ``auto=False`` only `advance`
    moves it: right where something outside of the loop (a browser, a person) has to act in between.

    Use one clock in one event loop; it starts no task and leaves no timer behind once nobody sleeps.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, auto: bool = True) -> None:
        """`start` is the wall clock's first reading and must be aware.

        Raises:
            ValueError: `start` is naive.
        """
        if start.tzinfo is None:
            raise ValueError("start must be an aware datetime, for example datetime(2026, 1, 1, tzinfo=UTC)")
        self.auto = auto
        self._wall_start = start.astimezone(UTC)
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._quiet_turns = 0
        self._turn: asyncio.Handle | None = None

    def monotonic(self) -> float:
        """Virtual seconds since this clock was made."""
        self._quiet_turns = 0
        return self._elapsed

    def now(self) -> datetime:
        """The virtual wall clock, aware, UTC."""
        self._quiet_turns = 0
        return self._wall_start + timedelta(seconds=self._elapsed)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved on by `seconds`."""
        self._quiet_turns = 0
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), woken))
        if self.auto and self._turn is None:
            self._turn = loop.call_soon(self._watch, loop)
        try:
            await woken
        finally:
            # A cancelled sleeper must not hold time back, nor keep the watch going.
            self._drop_finished()

    def advance(self, seconds: float) -> None:
        """Move both sides forward by `seconds` at once, as a suspended machine does, and wake who is due.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("monotonic time never goes back; use shift_wall() for a wall clock that does")
        self._quiet_turns = 0
        self._elapsed += seconds
        self._wake_due()

    def shift_wall(self, seconds: float) -> None:
        """Set the wall clock forward or, where `seconds` is negative, back; the monotonic side does not notice."""
        self._wall_start += timedelta(seconds=seconds)

    def __repr__(self) -> str:
        return f"VirtualClock(elapsed={self._elapsed}, sleepers={len(self._sleepers)}, auto={self.auto})"

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """One turn of the loop: count quiet ones and move on when there were enough."""
        self._turn = None
        self._drop_finished()
        if not self._sleepers:
            return
        self._quiet_turns += 1
        if self._quiet_turns >= _QUIET_TURNS:
            self._quiet_turns = 0
            self._elapsed = self._sleepers[0][0]
            self._wake_due()
        self._turn = loop.call_soon(self._watch, loop)

    def _wake_due(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)

    def _drop_finished(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers and self._turn is not None:
            self._turn.cancel()
            self._turn = None
