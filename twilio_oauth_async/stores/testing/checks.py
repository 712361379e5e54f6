"""Checks that the suites share: what an error reveals, which tasks are left, and a cancellation at each await."""

from __future__ import annotations

import asyncio
import pickle
import traceback
import types
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator, Iterator
from typing import Any

from twilio_oauth_async.errors import TwilioOAuthError


def texts_of(error: BaseException) -> list[str]:
    """Return what `error` shows to a log, a debugger or another process; its message is first, its repr second."""
    texts = [str(error), repr(error), "".join(traceback.format_exception(error))]
    link: BaseException | None = error
    while link is not None:
        texts += [repr(link), repr(vars(link)), repr(link.args)]
        if isinstance(link, TwilioOAuthError):
            texts.append(repr(pickle.dumps(link)))
        link = link.__cause__ or link.__context__
    return texts


async def error_texts(call: Awaitable[object]) -> list[str]:
    """Return the `texts_of` the library's error that `call` raises, or [] if it raises none.

    The error must have no other exception behind it.
    """
    try:
        await call
    except TwilioOAuthError as error:
        caught = error
    else:
        return []
    assert caught.__context__ is caught.__cause__ is None, "raise the error after the except block"
    return texts_of(caught)


async def other_tasks(client_packages: Collection[str] = ()) -> set[asyncio.Task[Any]]:
    """Return the tasks that are left besides the caller's own, once those that are about to end have ended.

    Args:
        client_packages: packages whose tasks go on, because they belong to a client that is lent to the store.
    """
    left: set[asyncio.Task[Any]] = set()
    for _ in range(20):
        left = {task for task in asyncio.all_tasks() if _counts(task, client_packages)}
        if not left:
            break
        await asyncio.sleep(0.005)
    return left


def _counts(task: asyncio.Task[Any], client_packages: Collection[str]) -> bool:
    if task is asyncio.current_task():
        return False
    frame = getattr(task.get_coro(), "cr_frame", None)
    return frame is None or frame.f_globals["__name__"].partition(".")[0] not in client_packages


class Cancellation:
    """One round: `run` cancels a coroutine at its `number`-th await."""

    def __init__(self, number: int, most_turns: int | None = None) -> None:
        """`most_turns`: as for `at_each_await`."""
        self.number = number
        self.most_turns = most_turns
        self.task: asyncio.Task[Any] | None = None
        self._reached_or_done = asyncio.Event()
        self.reached: bool = False
        """Whether the coroutine had that many awaits; if it had fewer, it has run to its end."""

    async def run(self, coroutine: Coroutine[Any, Any, Any]) -> bool:
        """Run `coroutine` in a task, cancel it, wait for its end; return `reached`.

        A call may end with its result although it was cancelled, if the result was there first; any exception of its
        own fails the test.
        """
        task = self.task = asyncio.create_task(_as_coroutine(self._cancel_at_await(coroutine)))
        task.add_done_callback(lambda _: self._reached_or_done.set())
        await self._reached_or_done.wait()
        if self.most_turns is not None:
            await self._run_turns(task, self.most_turns)
        await asyncio.wait([task])
        if not self.reached:
            task.result()
        assert task.cancelled() or task.exception() is None, "a cancelled call ended with another exception"
        return self.reached

    async def _run_turns(self, task: asyncio.Task[Any], count: int) -> None:
        for _ in range(count):
            if task.done():
                return
            await asyncio.sleep(0)
        assert task.done(), "the cancelled call does not end promptly"

    @types.coroutine
    def _cancel_at_await(self, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        resume: Callable[[Any], Any] = coroutine.send
        value: Any = None
        awaits = 0
        while True:
            try:
                waits_for = resume(value)
            except StopIteration as stop:
                return stop.value
            awaits += 1
            if awaits == self.number:
                self.reached = True
                self._reached_or_done.set()
                task = asyncio.current_task()
                assert task is not None
                asyncio.get_running_loop().call_soon(task.cancel)
            try:
                value = yield waits_for
                resume = coroutine.send
            except BaseException as error:  # noqa: BLE001 - passed on as it is
                resume, value = coroutine.throw, error


async def _as_coroutine(steps: Awaitable[Any]) -> Any:
    return await steps


def at_each_await(most_turns: int | None = None) -> Iterator[Cancellation]:
    """Yield a `Cancellation` for each await of a call, until a round has run to the call's end.

    ::

        for cancellation in at_each_await():
            await cancellation.run(store.save("a", token(1), replaces=None))
            assert ...  # what must be true after a cancellation at any point

    Args:
        most_turns: turns of the event loop from the cancellation to the end of the call; more of them fail the test.
    """
    number, reached = 0, True
    while reached:
        number += 1
        cancellation = Cancellation(number, most_turns)
        yield cancellation
        assert cancellation.task is not None, "cancellation.run() was not called"
        reached = cancellation.reached
