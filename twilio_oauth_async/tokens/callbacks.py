"""Runs functions that the caller has given, so that nothing that they do affects the object that calls them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from twilio_oauth_async.clock import Clock

CLOSE_TIMEOUT = 5.0
"""Seconds that `Callbacks.close` waits before it cancels the coroutines that are still running."""

_log = logging.getLogger(__name__)


class Callbacks:
    """Calls functions and coroutine functions, and owns the tasks of the latter."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

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
            task = asyncio.ensure_future(_await(name, result))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for the coroutines that are running, for a limited time, and cancel the rest.

        A callback may close the object that called it: its own task is not waited for.
        """
        loop = asyncio.get_running_loop()
        own = {task for task in self._tasks if task is not asyncio.current_task() and task.get_loop() is loop}
        if not own:
            return
        timer = asyncio.ensure_future(self._clock.sleep(CLOSE_TIMEOUT))
        try:
            while not timer.done() and not all(task.done() for task in own):
                await asyncio.wait({timer, *(task for task in own if not task.done())}, return_when="FIRST_COMPLETED")
        finally:
            for task in (timer, *own):
                task.cancel()
            await asyncio.gather(timer, *own, return_exceptions=True)


async def _await(name: str, result: Any) -> None:
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
