"""What a subclass of a suite defines: fixtures that open the storage, and attributes that say what it cannot do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import pytest

from twilio_oauth_async.clock import Clock, VirtualClock


class StoreContract:
    """Base class of the suites. A subclass defines `open_store`; all other fixtures and attributes have defaults."""

    pytestmark: pytest.MarkDecorator = pytest.mark.asyncio

    own_clock = False
    """Whether the storage measures leases and tombstones by a clock of its own, such as ``now()`` of PostgreSQL or
    ``TIME`` of Redis. Tests cannot move it: they wait for short leases, and those about days are skipped. In return,
    the store must work for hosts whose clocks differ."""

    several_loops = True
    """Whether one store object can be used in several event loops, one after the other or in several threads."""

    client_packages: Collection[str] = ()
    """Packages whose tasks may be there after a call: those of a client that is lent to the store, such as ``nats``."""

    time_limit: float = 5.0
    """Seconds after which each call to a store from `open_broken_store` must have failed."""

    @pytest.fixture
    def open_store(self) -> Callable[[], Any]:
        """A function; each call returns another store object on one storage, which is empty when the test begins."""
        pytest.fail("define the fixture open_store: a function that opens the storage of this test", pytrace=False)

    @pytest.fixture
    def open_store_at(self) -> Callable[[Clock], Any]:
        """As `open_store`, for a store object whose host has the given clock. Default: tests that need it are skipped.

        A store with `own_clock` ignores the clock of the host where it can; then ``lambda clock: open_store()`` is
        right.
        """
        pytest.skip("no fixture open_store_at: a function that opens the storage on a host with the given clock")

    @pytest.fixture
    def open_broken_store(self) -> Callable[[], Any]:
        """A function that opens a store whose storage fails or hangs. Default: tests that need it are skipped."""
        pytest.skip("no fixture open_broken_store: a function that opens a store whose storage fails or hangs")

    @pytest.fixture
    def clock(self) -> VirtualClock:
        """The clock of the host, for stores that take one."""
        return VirtualClock(auto=False)

    @pytest.fixture
    def lease_seconds(self) -> float:
        """A length of leases: one that a test can wait for if the store has a clock of its own."""
        return 0.15 if self.own_clock else 60.0

    @pytest.fixture
    def advance(self, clock: VirtualClock) -> Callable[[float], Awaitable[None]]:
        """A coroutine function that lets this number of seconds pass for the store."""

        async def advance(seconds: float) -> None:
            if not self.own_clock:
                clock.advance(seconds)
                return
            for _ in range(4):
                await asyncio.sleep(seconds / 4 + 0.005)

        return advance

    def need_movable_clock(self) -> None:
        """Skip the test if it cannot move the clock of the store."""
        if self.own_clock:
            pytest.skip("own_clock is True: a test cannot move the clock of the storage")

    def need_own_clock(self) -> None:
        """Skip the test if the store measures time by the clock of its host."""
        if not self.own_clock:
            pytest.skip("own_clock is False: the store measures leases by the clock of its host")
