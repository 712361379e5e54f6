"""Threads for the blocking work of the package: a few per event loop, which end with it.

The default executor of the event loop (``asyncio.to_thread``, ``loop.run_in_executor(None, ...)``) belongs to the
application. If all its threads wait for a token, work that is needed for the token would never get one of them.

Files and host names have threads of their own: a look-up may take as long as the resolver waits for name servers, and
must not delay a save. Work must not wait for other work of the same kind, such as the release of a lock: it may be
queued behind it. Try again after a sleep in the event loop instead.

The threads are daemons, so that a hanging disk or name server cannot keep the process from ending.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import functools
import os
import queue
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar, TypeVarTuple

from twilio_oauth_async import in_flight

THREADS = 4
"""Threads of one event loop for one kind of work. More work is queued."""

IDLE_TIMEOUT = 5.0
"""Seconds without work after which a thread ends, even if its event loop has not been closed."""

STOP_TIMEOUT = 5.0
"""Seconds that the end of the process waits for work with files that has begun."""

Kind: TypeAlias = Literal["files", "names"]
"""Which threads do the work: those for files, or those that resolve host names."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def run_blocking(function: Callable[[*Ts], T], *args: *Ts, kind: Kind) -> T:
    """Run ``function(*args)`` in a thread of the running event loop and return its result.

    A caller that is cancelled gets the CancelledError at once. Work that has begun continues; other work is not run.

    Raises:
        OSError: the system has no thread for it.
        Exception: what `function` raises.
    """
    return await wait_for_thread(start_blocking(function, *args, kind=kind))


def start_blocking(function: Callable[[*Ts], T], *args: *Ts, kind: Kind) -> asyncio.Future[T]:
    """Start ``function(*args)`` in a thread of the running event loop and return the future of its result.

    Work whose future is cancelled before it begins is not run. Wait for the future with `wait_for_thread`.

    Raises:
        OSError: the system has no thread for it.
    """
    loop = asyncio.get_running_loop()
    work = _Work(loop, functools.partial(function, *args))
    _all.pool(loop, kind).submit(work)
    return work.future


async def wait_for_thread(waiting: Awaitable[T]) -> T:
    """Return the result of `waiting`, which waits for a thread of the package.

    Every such wait of the package is inside this function, also those for threads that are not from this module.
    """
    try:
        with in_flight.call():
            return await waiting
    finally:
        del waiting  # the traceback of its exception refers to this frame; both would keep the event loop alive


class _Work(Generic[T]):
    def __init__(self, loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> None:
        self.loop = loop
        self.function = function
        self.future: asyncio.Future[T] = loop.create_future()

    def settle(self, result: T | None, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: the caller does not wait any more
            self.loop.call_soon_threadsafe(_settle, self.future, result, error)


def _attempt(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """Return the result and the exception of `function`."""
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001 - passed to the caller as it is
        return None, error


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return  # the caller does not wait any more
    if error is None:
        future.set_result(result)
        return
    try:
        future.set_exception(error)
    except TypeError as refused:  # a StopIteration: without an outcome, the caller would wait for ever
        future.set_exception(refused)


class _Pool:
    """The threads of one event loop for one kind of work. It has no reference to the loop, which may be collected."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._works: queue.SimpleQueue[_Work[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        """Number of works that are queued or running. There are as many threads, up to `THREADS`."""
        self._threads: set[threading.Thread] = set()
        self._is_ended = False

    def submit(self, work: _Work[Any]) -> None:
        """Queue `work`, and start a thread for it if all are busy.

        Raises:
            OSError: there is no thread, and none can be started.
        """
        with self._lock:
            if self._unfinished >= len(self._threads) < THREADS:
                self._start_thread()
            self._unfinished += 1
            self._works.put(work)

    def end(self) -> None:
        """Let the threads end when they have nothing to do. Takes no lock: the garbage collector may call it."""
        self._is_ended = True
        self._works.put(None)  # wakes a thread that is idle; each thread that ends wakes the next one

    def join(self, deadline: float) -> None:
        """Wait until the threads have ended, or until this monotonic time."""
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"twilio-oauth-async {self._kind}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if self._threads:
                return  # the work waits for one of them
        else:
            self._threads.add(thread)
            return
        raise OSError(errno.EAGAIN, "the system has no thread for blocking work")

    def _serve(self) -> None:
        while True:
            try:
                work = self._works.get(timeout=0 if self._is_ended else IDLE_TIMEOUT)
            except queue.Empty:
                if not self._may_end():
                    continue
                if self._is_ended:
                    self._works.put(None)
                return
            if work is None:
                continue
            outcome = None if work.future.cancelled() else _attempt(work.function)
            with self._lock:
                self._unfinished -= 1
            if outcome is not None:
                work.settle(*outcome)
            # The traceback of an exception refers to this frame. Neither that nor an idle thread may keep the event
            # loop alive.
            del work, outcome

    def _may_end(self) -> bool:
        with self._lock:
            is_needed = self._unfinished >= len(self._threads)
            if not is_needed:
                self._threads.discard(threading.current_thread())
            return not is_needed


class _AllPools:
    """The pools of all event loops. Those of a loop that was closed or collected are ended."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again, also in a forked child: it has none of the threads of its parent."""
        self._lock = threading.Lock()
        self._of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Kind, _Pool]]
        self._of_loop = weakref.WeakKeyDictionary()

    def pool(self, loop: asyncio.AbstractEventLoop, kind: Kind) -> _Pool:
        pools = self._of_loop.get(loop)
        found = None if pools is None else pools.get(kind)
        return self._create(loop, kind) if found is None else found

    def end(self) -> None:
        """End all pools, and wait for work with files: the process ends, and would leave it half done."""
        with self._lock:
            every = [(kind, pool) for pools in self._of_loop.values() for kind, pool in pools.items()]
        for _, pool in every:
            pool.end()
        deadline = time.monotonic() + STOP_TIMEOUT
        for kind, pool in every:
            if kind == "files":
                pool.join(deadline)

    def _create(self, loop: asyncio.AbstractEventLoop, kind: Kind) -> _Pool:
        pool = _Pool(kind)
        with self._lock:
            for other, pools in list(self._of_loop.items()):
                if other.is_closed():
                    del self._of_loop[other]
                    for ended in pools.values():
                        ended.end()
            self._of_loop.setdefault(loop, {})[kind] = pool
        # A closed loop is usually collected at once.
        weakref.finalize(loop, pool.end).atexit = False
        return pool


_all = _AllPools()
atexit.register(_all.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_all.reset)
