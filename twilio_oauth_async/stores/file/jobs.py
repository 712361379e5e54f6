"""Blocking work for one thread: it is queued, limited in time, and its results go back to the caller's event loop.

A thread of its own, not one of the event loop's executor or of `executor`: it serves several event loops, keeps a
database open between its jobs, and cannot be taken by callers that wait for a token. The thread is a daemon, so that a
disk that hangs cannot keep the process from ending.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.executor import wait_for_thread

CALL_TIMEOUT = 15.0
"""Seconds until a call fails whose work has not been finished."""

IDLE_TIMEOUT = 60.0
"""Seconds without work after which a thread ends. A file that it kept open is closed then."""

STOP_TIMEOUT = 5.0
"""Seconds that a fork, or the end of the process, waits for each thread to close its files."""

T = TypeVar("T")
Outcome = tuple["Job[Any]", object, BaseException | None]


class Job(Generic[T]):
    """One piece of work and the future that gets its result."""

    def __init__(self, work: Callable[..., T], timeout: float, options: object) -> None:
        """Create a job of the running event loop.

        Args:
            work: what to do; its arguments depend on the thread.
            timeout: seconds until the caller stops waiting.
            options: tell the thread how to run it.
        """
        self.work = work
        self.options = options
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()
        now = time.monotonic()
        self.deadline: float = now + timeout
        self.may_wait_until: float = now + timeout * 2 / 3
        """Until when the thread may put it back: earlier than the deadline, so that the caller learns the reason."""
        self.is_cancelled = False
        """Whether the caller was cancelled while the job was running; it need not be run again."""
        self._to_start = [None]  # list.pop is atomic: either the thread starts the job or the caller withdraws it

    def start(self) -> bool:
        """Return whether the thread may run the job now; False if the caller has withdrawn it."""
        with contextlib.suppress(IndexError):
            self._to_start.pop()
            return True
        return False

    def put_back(self) -> None:
        """Undo `start`: the work has had no effect and is run again later."""
        self._to_start.append(None)

    def withdraw(self) -> bool:
        """Return whether the job is never run; False if it is running."""
        return self.start()


class JobQueue:
    """The jobs of one thread, which is started for the first job and ends when there is nothing to do."""

    def __init__(self, name: str, serve: Callable[[JobQueue], None]) -> None:
        """Create a queue without a thread.

        Args:
            name: of the thread.
            serve: runs in the thread. It takes jobs until `may_end` is true.
        """
        self._name = name
        self._serve = serve
        self._forked_while_busy = False
        self._reset()
        _queues.add(self)

    def _reset(self) -> None:
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    async def run(
        self, work: Callable[..., T], options: object = None, *, timeout: float | None = None, must_run: bool = False
    ) -> T:
        """Run `work` in the thread and return its result.

        A caller that is cancelled gets the CancelledError before the work has started or after it has finished.

        Args:
            work: what to do.
            options: as for `Job`.
            timeout: seconds; None: `CALL_TIMEOUT`.
            must_run: run the work even if the caller is cancelled, or stops waiting, before it has started.

        Raises:
            StoreError: the work was not finished in time; it may have an effect all the same.
        """
        if self._forked_while_busy:
            raise StoreError("the process was forked while the store was in use: create a new store in the child")
        timeout = CALL_TIMEOUT if timeout is None else timeout
        job = Job(work, timeout, options)
        self._jobs.put(job)
        if self._thread is None:
            self._start()
        cancelled = await wait_for_thread(_wait(job, must_run=must_run))
        if job.future.done():
            if cancelled is None:
                return job.future.result()
            job.future.exception()  # read it, so that asyncio does not report it as never retrieved
        else:
            if not must_run:
                job.withdraw()
            job.future.cancel()
        if cancelled is not None:
            raise cancelled
        raise StoreError(f"the file system did not respond within {timeout:g} s")

    def take(self, timeout: float) -> list[Job[Any]]:
        """Return all jobs that wait, for the thread; none if none came for `timeout` seconds, or it has to stop."""
        jobs: list[Job[Any]] = []
        with contextlib.suppress(queue.Empty):
            job = self._jobs.get(timeout=timeout) if timeout > 0 else self._jobs.get_nowait()
            while True:
                if job is not None:
                    jobs.append(job)
                job = self._jobs.get_nowait()
        return jobs

    @property
    def is_stopping(self) -> bool:
        """Whether the thread has to close its files and end soon."""
        return self._is_stopping

    def put_back(self, jobs: Iterable[Job[Any]]) -> None:
        """Queue `jobs`, which have not been started, again."""
        for job in jobs:
            self._jobs.put(job)

    def may_end(self) -> bool:
        """Return whether no job waits, so that the thread, which calls this, ends now."""
        with self._lock:
            # In this order: a caller that queues a job after the look at the queue sees that there is no thread.
            thread, self._thread = self._thread, None
            if self._is_stopping or self._jobs.empty():
                return True
            self._thread = thread
            return False

    def finish(self, outcomes: Iterable[Outcome]) -> None:
        """Give the results and exceptions to the callers, each in its own event loop."""
        of_loop: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
        for outcome in outcomes:
            of_loop.setdefault(outcome[0].loop, []).append(outcome)
        for loop, its_outcomes in of_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed: its callers do not wait any more
                loop.call_soon_threadsafe(functools.partial(_settle, its_outcomes))

    def stop(self) -> threading.Thread | None:
        """Make the thread close its files and end after the jobs that it is running; do not wait for it."""
        self._is_stopping = True
        thread = self._thread
        if thread is not None:
            self._jobs.put(None)
        return thread

    def resume(self) -> None:
        """Allow threads again after `stop`, and start one if jobs wait."""
        self._is_stopping = False
        if self._thread is None and not self._jobs.empty():
            self._start()

    def forget_parent(self, *, was_busy: bool) -> None:
        """Begin again in a forked child, where no thread and no caller of the parent exists."""
        self._forked_while_busy = self._forked_while_busy or was_busy
        self._reset()

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None or self._is_stopping:
                return
            thread = threading.Thread(target=self._serve, args=(self,), name=self._name, daemon=True)
            with contextlib.suppress(RuntimeError):  # the system has no more threads: the next call tries again
                thread.start()
                self._thread = thread


def run_each(jobs: JobQueue) -> None:
    """Run one job after the other, without arguments: a `serve` for work that keeps nothing open."""
    while True:
        taken = jobs.take(IDLE_TIMEOUT)
        for number, job in enumerate(taken):
            if jobs.is_stopping:  # the process is about to fork or to end, and waits for this thread
                jobs.put_back(taken[number:])
                break
            if job.start():
                jobs.finish([attempt(job)])
        # The end of a list of jobs may have been the signal to stop.
        if (not taken or jobs.is_stopping) and jobs.may_end():
            return


def attempt(job: Job[Any], *arguments: object) -> Outcome:
    """Run `job` and return its result or exception."""
    try:
        return job, job.work(*arguments), None
    except Exception as error:  # noqa: BLE001 - passed to the caller as it is
        return job, None, error


async def _wait(job: Job[Any], *, must_run: bool) -> asyncio.CancelledError | None:
    """Wait until `job` is done or its deadline has passed; return the cancellation that came once it had started.

    Raises:
        CancelledError: the caller was cancelled, and the job is never run.
    """
    cancelled: asyncio.CancelledError | None = None
    while not job.future.done() and (left := job.deadline - time.monotonic()) > 0:
        try:
            await asyncio.wait([job.future], timeout=left)
        except asyncio.CancelledError as error:
            if not must_run and not job.future.done() and job.withdraw():
                job.future.cancel()
                raise
            cancelled = error
            job.is_cancelled = True
    return cancelled


def _settle(outcomes: Iterable[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue  # its caller does not wait any more
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)


class _AllQueues:
    """Stops the threads at the end of the process, and around each fork.

    SQLite keeps its locks per process and knows nothing of forks. In a child that inherits an open database, SQLite
    acts as if it had the locks of the parent, even for a connection that the child opens itself. So no database is open
    during a fork.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._queues: weakref.WeakSet[JobQueue] = weakref.WeakSet()
        self._busy: list[JobQueue] = []

    def add(self, new: JobQueue) -> None:
        with self._lock:
            self._queues.add(new)

    def stop(self) -> list[JobQueue]:
        """Stop all threads and return the queues whose threads have not ended in time."""
        with self._lock:
            threads = [(one, one.stop()) for one in self._queues]
        deadline = time.monotonic() + STOP_TIMEOUT
        for _, thread in threads:
            if thread is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        return [one for one, thread in threads if thread is not None and thread.is_alive()]

    def before_fork(self) -> None:
        self._lock.acquire()
        self._busy = self.stop()

    def after_fork_in_parent(self) -> None:
        for one in self._queues:
            one.resume()
        self._busy = []
        self._lock.release()

    def after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        for one in self._queues:
            one.forget_parent(was_busy=one in self._busy)
        self._busy = []


_queues = _AllQueues()
atexit.register(_queues.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_queues.before_fork,
        after_in_parent=_queues.after_fork_in_parent,
        after_in_child=_queues.after_fork_in_child,
    )
