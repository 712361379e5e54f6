"""Runs functions that the caller has given, so that nothing that they do affects the object that calls them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from twilio_oauth_async.clock import Clock, wait_for_all
from twilio_oauth_async.tasks import create_task

CLOSE_TIMEOUT = 5.0
"""Seconds that `Callbacks.close` waits before it cancels the coroutines that are still running."""

CANCEL_TIMEOUT = 1.0
"""Seconds that it waits afterwards for coroutines that do not end when they are cancelled."""

_log = logging.getLogger(__name__)


_callback: ContextVar[asyncio.Task[None] | None] = ContextVar("_callback", default=None)
"""The task of the callback that runs in this context, also in tasks that it has started."""


class Callbacks:
    """Calls functions and coroutine functions, and owns the tasks of the latter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: dict[asyncio.Task[None], asyncio.Future[None]] = {}
        """The coroutines that run, and a future for each that is done when it has ended, or waits for the others."""

    def call(self, name: str, function: Callable[..., Any], *arguments: object) -> None:
        """Call `function` now; await a coroutine in a task of its own. An exception is logged and goes no further.

        Args:
            name: of the callback, for the log.
            function: a function or a coroutine function.
            arguments: passed to it.
        """
        try:
            result = function(*arguments)
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            _report(name, error)
            return
        if inspect.isawaitable(result):
            task = create_task(_await(name, result))
            self._tasks[task] = asyncio.get_running_loop().create_future()
            task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Wait for the coroutines that are running, for a limited time, and cancel the rest.

        A callback may close the object that called it: its own task is not waited for, and callbacks that do so at the
        same time do not wait for each other.
        """
        loop, own = asyncio.get_running_loop(), _callback.get()
        others = {task: left for task, left in self._tasks.items() if task.get_loop() is loop and task is not own}
        awaited: dict[asyncio.Task[None], asyncio.Future[None]] = {task: task for task in others}
        if own is not None and own in self._tasks:
            _finish(self._tasks[own])
            awaited = others
        try:
            await wait_for_all(awaited.values(), self._clock, CLOSE_TIMEOUT)
        finally:
            late = {task for task, left in awaited.items() if not left.done()}
            for task in late:
                task.cancel()
            await wait_for_all(late, self._clock, CANCEL_TIMEOUT)
            if not all(task.done() for task in late):
                _log.error("a callback goes on although it was cancelled")

    def _ended(self, task: asyncio.Task[None]) -> None:
        _finish(self._tasks.pop(task))


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _await(name: str, result: Any) -> None:
    _callback.set(asyncio.current_task())
    try:
        await result
    except Exception as error:  # noqa: BLE001 - of the caller's own code
        _report(name, error)


def _report(name: str, error: Exception) -> None:
    """Log the exception of a callback, and pass it to the exception handler of the event loop."""
    _log.error("the callback %s raised %s", name, type(error).__name__)
    asyncio.get_running_loop().call_exception_handler(
        {"message": f"the callback {name} of twilio_oauth_async raised an exception", "exception": error}
    )
