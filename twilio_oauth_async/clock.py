"""Clocks: a session, its flows, its managers and the emulator share one source of time.

Waits use monotonic time; what is stored or shown is an aware UTC ``datetime``. The two are separate because the wall
clock jumps (NTP, a suspended laptop), and a jump must not cause a burst of polls.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import random
import time
from collections.abc import Callable, Collection, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from twilio_oauth_async import in_flight
from twilio_oauth_async.tasks import create_task

_QUIET_ITERATIONS = 24
"""A `VirtualClock` advances after this many iterations of the event loop in which it was not used.

A loopback request takes about a dozen iterations between two uses of the clock; this is twice that. Iterations in
which work is in flight (`in_flight`) are not counted.
"""

_STALL_TIMEOUT = 1.0
"""Real seconds after which a `VirtualClock` does not wait any longer for requests in flight, if none of them ended and
none began: their server may wait on this clock, or may never respond."""


class Clock(Protocol):
    """Source of time for the package."""

    def monotonic(self) -> float:
        """Return seconds since some fixed point; never goes back."""
        ...

    def now(self) -> datetime:
        """Return the wall clock time as an aware UTC ``datetime``."""
        ...

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait, when it is awaited, for `seconds` of this clock's time; do not wait if `seconds` is not positive."""
        ...


class SystemClock:
    """The clock of the machine."""

    __slots__ = ()

    # Functions in C and not methods that call them: `TokenManager.token` uses both clocks in every call.
    monotonic: staticmethod[[], float] = staticmethod(time.monotonic)
    now: staticmethod[[], datetime] = staticmethod(functools.partial(datetime.now, UTC))
    # The wall clock as POSIX seconds: `now` still takes several times as long. See `wall_seconds`.
    timestamp: staticmethod[[], float] = staticmethod(time.time)

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        """Wait with ``asyncio.sleep``."""
        # Not a coroutine function: each of thousands of flows that wait would have one more coroutine.
        return asyncio.sleep(seconds)

    def __repr__(self) -> str:
        return "SystemClock()"


def wall_seconds(clock: Clock) -> Callable[[], float]:
    """Return a function that returns the wall clock time of `clock` in POSIX seconds, as fast as the clock can."""
    timestamp: Callable[[], float] | None = getattr(clock, "timestamp", None)
    return timestamp if timestamp is not None else lambda: clock.now().timestamp()


def spread(clock: Clock) -> float:
    """Return a number from 0 to 1 that spreads what many flows and processes would do at the same time.

    Random, but 0.0 with a `VirtualClock`: tests are repeatable.
    """
    return 0.0 if isinstance(clock, VirtualClock) else random.random()  # noqa: S311 - no secret


async def wait_for_all(tasks: Collection[asyncio.Future[Any]], clock: Clock, seconds: float) -> None:
    """Wait until `tasks` have ended, at most `seconds` of `clock`. Those that have not ended go on."""
    waiting = {task for task in tasks if not task.done()}
    if not waiting:
        return
    timer: asyncio.Future[None] = create_task(clock.sleep(seconds))
    try:
        while waiting and not timer.done():
            futures: set[asyncio.Future[Any]] = {timer, *waiting}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            waiting = {task for task in waiting if not task.done()}
    finally:
        timer.cancel()
        await asyncio.wait({timer})


class VirtualClock:
    """A clock for tests, with which a sign-in of five minutes takes milliseconds.

    With `auto` (the default), the clock advances to the end of the next `sleep` when it has not been used for some
    iterations of the event loop. Every task that uses the clock is then assumed to wait in `sleep`. The clock does not
    advance while a request of an `OAuthSession` or a call of a store is in flight in the same event loop, except while
    the emulator waits on the clock; after a second of real time without progress, requests do not stop it any longer.
    With ``auto=False``, only `advance` and `suspend` move the clock. Use that if something outside the event loop (a
    browser, a user) has to act during a `sleep`.

    Use one clock in one event loop. It starts no task, and keeps no timer after the last `sleep` has ended.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC), *, auto: bool = True) -> None:
        """Create a clock whose wall clock time begins at `start`.

        Raises:
            ValueError: `start` is naive.
        """
        if getattr(start, "tzinfo", None) is None:  # also for a value that is no datetime
            raise ValueError("start must be an aware datetime, for example datetime(2026, 1, 1, tzinfo=UTC)")
        in_flight.start_counting()
        self._auto = auto
        self._wall_start = start.astimezone(UTC)
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._quiet_iterations = 0
        self._next_iteration: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where the sleeps wait; None while there are none."""

    @property
    def auto(self) -> bool:
        """Whether the clock advances by itself. It can be changed at any time, also while tasks wait in `sleep`."""
        return self._auto

    @auto.setter
    def auto(self, auto: bool) -> None:
        self._auto = auto
        if auto:
            self._start_watching()
        else:
            self._stop_watching()

    def monotonic(self) -> float:
        """Return virtual seconds since this clock was created."""
        self._quiet_iterations = 0
        return self._elapsed

    def now(self) -> datetime:
        """Return the virtual wall clock time as an aware UTC ``datetime``."""
        self._quiet_iterations = 0
        return self._wall_start + timedelta(seconds=self._elapsed)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has advanced by `seconds`."""
        self._quiet_iterations = 0
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        wake_up = loop.create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), wake_up))
        self._start_watching()
        try:
            await wake_up
        finally:
            # A cancelled sleep is removed as soon as it is the next one, and `_watch` stops with the last one.
            self._drop_finished()

    def advance(self, seconds: float) -> None:
        """Move monotonic and wall clock time forward by `seconds` in one step, and end the sleeps that are due.

        This is what a program sees when its event loop was blocked, or its process was stopped. See `suspend` for a
        suspended machine.

        Raises:
            ValueError: `seconds` is negative.
        """
        _check_not_negative(seconds)
        self._quiet_iterations = 0
        self._elapsed += seconds
        self._wake_due()

    def suspend(self, seconds: float) -> None:
        """Move only the wall clock forward, as if the machine had been suspended for `seconds`; no sleep ends.

        The monotonic clock of Linux and macOS, and with it every sleep, stands still while the machine is suspended.
        On Windows it goes on: there, a program sees what `advance` does.

        Raises:
            ValueError: `seconds` is negative.
        """
        _check_not_negative(seconds)
        self._quiet_iterations = 0
        self.shift_wall(seconds)

    def shift_wall(self, seconds: float) -> None:
        """Move the wall clock only: forward, or back if `seconds` is negative."""
        self._wall_start += timedelta(seconds=seconds)

    def __repr__(self) -> str:
        return f"VirtualClock(elapsed={self._elapsed}, sleepers={len(self._sleepers)}, auto={self.auto})"

    def _start_watching(self) -> None:
        """Watch the event loop of the sleeps, if there are any and the clock advances by itself."""
        if self._auto and self._sleepers and self._next_iteration is None:
            self._loop = loop = self._sleepers[0][2].get_loop()
            self._next_iteration = loop.call_soon(self._watch, loop)

    def _stop_watching(self) -> None:
        self._loop = None
        if self._next_iteration is not None:
            self._next_iteration.cancel()
            self._next_iteration = None

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count iterations of the event loop without use of the clock, and advance after enough of them."""
        self._next_iteration = None
        self._drop_finished()
        if not self._sleepers:
            return
        work = in_flight.work_of(loop)
        if work.holds_time:
            self._quiet_iterations = 0
            work.on_finish(self._work_finished)
            self._next_iteration = loop.call_later(_STALL_TIMEOUT, self._stop_waiting, loop, work, work.changes)
            return
        self._quiet_iterations += 1
        if self._quiet_iterations >= _QUIET_ITERATIONS:
            self._quiet_iterations = 0
            self._elapsed = self._sleepers[0][0]
            self._wake_due()
        self._next_iteration = loop.call_soon(self._watch, loop)

    def _stop_waiting(self, loop: asyncio.AbstractEventLoop, work: in_flight.Work, changes: int) -> None:
        """Continue without the requests in flight if nothing has changed since there were `changes`."""
        if work.changes == changes:
            work.forget_requests()
        self._watch(loop)

    def _work_finished(self) -> None:
        """Watch the iterations of the event loop again. Called when no work is in flight any more."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if self._next_iteration is not None:
            self._next_iteration.cancel()
        self._next_iteration = loop.call_soon(self._watch, loop)

    def _wake_due(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._elapsed:
            wake_up = heapq.heappop(self._sleepers)[2]
            if not wake_up.done():
                wake_up.set_result(None)

    def _drop_finished(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            self._stop_watching()


def _check_not_negative(seconds: float) -> None:
    if seconds < 0:
        raise ValueError(
            "seconds must not be negative: monotonic time never goes back; shift_wall() moves the wall clock back"
        )
