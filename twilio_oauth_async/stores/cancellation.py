"""Wait for work to finish before raising CancelledError.

A thread cannot be cancelled, and a command that was sent cannot be withdrawn. If a cancelled task did not wait for
them, it would release a lock while they still write. So the task waits first and raises the cancellation afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from twilio_oauth_async.executor import start_blocking, wait_for_thread

T = TypeVar("T")


async def wait_until_done(*futures: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until all `futures` are done, with a result or an exception, also when cancelled.

    Returns:
        The cancellation that arrived meanwhile, which the caller must raise; None if there was none.
    """
    cancelled: asyncio.CancelledError | None = None
    for future in futures:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


async def finish(work: asyncio.Future[T]) -> T:
    """Wait until `work` is done, also when cancelled, and return its result.

    Raises:
        CancelledError: the caller was cancelled. It is raised once `work` is done; the result is still in `work`.
    """
    cancelled = await wait_until_done(work)
    if cancelled is None:
        return work.result()
    if not work.cancelled():
        work.exception()  # read it, so that asyncio does not report it as never retrieved
    raise cancelled


async def finish_in_thread(work: Callable[[], T]) -> T:
    """Run blocking `work` in a thread and wait until it is done, also when cancelled.

    The thread is not one of the loop's default executor, whose threads may all wait for a token. There is no deadline:
    a write that hangs in the kernel cannot be aborted. `work` must not wait for a lock of another task: there are few
    threads, and the holder of the lock may need one.

    Raises:
        OSError: the system has no thread for it.
        Exception: what `work` raises.
    """
    return await wait_for_thread(finish(start_blocking(work, kind="files")))
