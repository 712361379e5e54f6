"""Work in flight in an event loop. A `VirtualClock` does not advance while there is some.

Work in flight is what tasks of the loop wait for although no clock is involved: a job in a thread, a command to a
database, a request. Each is counted while it is awaited, with ``with in_flight.call():`` or
``with in_flight.request():``. In a process without a `VirtualClock`, nothing is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakMethod

T = TypeVar("T")


class Work:
    """The work in flight in one event loop."""

    __slots__ = ("_on_finish", "calls", "changes", "generation", "requests", "server_waits")

    def __init__(self) -> None:
        """Create the counts of an event loop without work."""
        self.calls: int = 0
        self.requests: int = 0
        self.server_waits: int = 0
        self.changes: int = 0
        """How often anything began or ended."""
        self.generation: int = 0
        """How often `forget_requests` was called. What began before is not counted any more."""
        self._on_finish: set[WeakMethod[Callable[[], None]]] = set()

    @property
    def holds_time(self) -> bool:
        """Whether a virtual clock must not advance.

        A request for which the server waits on the clock must not stop that clock.
        """
        return self.calls > 0 or self.requests > self.server_waits

    def on_finish(self, method: Callable[[], None]) -> None:
        """Call a bound method once, when nothing is in flight any more; its object is not kept alive."""
        self._on_finish.add(WeakMethod(method))

    def forget_requests(self) -> None:
        """Do not count the requests that are in flight now: it is not known what they wait for."""
        self.generation += 1
        self.requests = self.server_waits = 0

    def changed(self) -> None:
        """Record a change, and call the methods given to `on_finish` if nothing is in flight any more."""
        self.changes += 1
        if self._on_finish and not self.holds_time:
            methods, self._on_finish = self._on_finish, set()
            for weak in methods:
                method = weak()
                if method is not None:
                    method()


# The values must not refer to their event loop, or it would be kept alive.
_work_of: WeakKeyDictionary[asyncio.AbstractEventLoop, Work] = WeakKeyDictionary()


def work_of(loop: asyncio.AbstractEventLoop) -> Work:
    """Return the work in flight in `loop`."""
    work = _work_of.get(loop)
    if work is None:
        work = _work_of[loop] = Work()
    return work


class _Call:
    __slots__ = ("_work",)

    def __enter__(self) -> None:
        self._work = work = work_of(asyncio.get_running_loop())
        work.calls += 1
        work.changes += 1

    def __exit__(self, *_: object) -> None:
        self._work.calls -= 1
        self._work.changed()


class _Request:
    __slots__ = ("_generation", "_work")

    def __enter__(self) -> None:
        self._work = work = work_of(asyncio.get_running_loop())
        self._generation = work.generation
        work.requests += 1
        work.changes += 1

    def __exit__(self, *_: object) -> None:
        work = self._work
        if self._generation == work.generation:
            work.requests -= 1
            if not work.requests:
                # A server that still waits, waits for a client that has gone, or for one that is not counted.
                work.forget_requests()
        work.changed()


class _ServerWait:
    __slots__ = ("_generation", "_work")

    def __enter__(self) -> None:
        self._work = work = work_of(asyncio.get_running_loop())
        self._generation = work.generation
        work.server_waits += 1
        work.changed()

    def __exit__(self, *_: object) -> None:
        work = self._work
        if self._generation == work.generation:
            work.server_waits -= 1
        work.changes += 1


_is_counting = False
_NOT_COUNTED = contextlib.nullcontext()


def start_counting() -> None:
    """Count the work that begins from now on, in all event loops of the process: there is a virtual clock."""
    global _is_counting  # noqa: PLW0603 - a flag, because each request and each call of a store reads it
    _is_counting = True


def call() -> AbstractContextManager[None]:
    """Count a call that ends by itself, such as a job in a thread or a command to a database."""
    return _Call() if _is_counting else _NOT_COUNTED


def request() -> AbstractContextManager[None]:
    """Count a request whose server may be in the same event loop, and may wait on the same clock."""
    return _Request() if _is_counting else _NOT_COUNTED


def counted(sending: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
    """Return a coroutine that awaits `sending` inside `request`; `sending` itself if nothing is counted."""
    return _counted(sending) if _is_counting else sending


async def _counted(sending: Coroutine[Any, Any, T]) -> T:
    with request():
        return await sending


def server_wait() -> AbstractContextManager[None]:
    """For a server: while it waits, the request that it processes does not stop a virtual clock."""
    return _ServerWait() if _is_counting else _NOT_COUNTED
