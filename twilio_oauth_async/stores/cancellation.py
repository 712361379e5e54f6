"""Work that is not left half done when the task that waits for it is cancelled.

A thread cannot be cancelled, and a command that has been sent cannot be called back. Going on without them would
give a lock away while its holder still writes. So the end is awaited first, and the cancellation raised after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def ended(*works: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait for the end of all `works`, whatever they end with; a cancellation that came meanwhile, to be raised."""
    cancelled: asyncio.CancelledError | None = None
    for work in works:
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


async def finish(work: asyncio.Future[T]) -> T:
    """Wait for the end of `work`, also when cancelled; what it brought.

    Raises:
        CancelledError: once `work` has ended; its outcome is still there in `work`.
    """
    cancelled = await ended(work)
    if cancelled is None:
        return work.result()
    if not work.cancelled():
        work.exception()  # looked at, so that asyncio does not report it as never retrieved
    raise cancelled


async def finish_in_thread(work: Callable[[], T]) -> T:
    """Run blocking `work` in a thread of the loop's pool and wait for its end, also when cancelled.

    The disk itself has no deadline: no system lets go of a write that hangs in the kernel.
    """
    return await finish(asyncio.get_running_loop().run_in_executor(None, work))
