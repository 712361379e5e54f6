"""Tasks that start in a later turn of the event loop, also if the application has set another task factory.

With ``asyncio.eager_task_factory`` (Python 3.12), a task runs in the call that creates it, until it waits. The code of
this package stores a task, and says what it waits for, right after it has created the task. A task that had run by then
would not find that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def create_task(work: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
    """Return a task that runs `work`, and that has not started yet. The caller keeps a reference to it."""
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:  # asyncio's own tasks start in a later turn by themselves
        return loop.create_task(work, name=name)
    task = loop.create_task(_in_a_later_turn(work), name=name)
    # A task that is cancelled before it starts never waits for `work`. Python would warn about that.
    task.add_done_callback(lambda _: work.close())
    return task


async def _in_a_later_turn(work: Coroutine[Any, Any, T]) -> T:
    await asyncio.sleep(0)
    return await work
