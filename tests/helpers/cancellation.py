"""Cancel a call at its first await, at its second, and so on: ``for cancellation in at_each_await()``."""

import asyncio
import types


class Cancellation:
    """One round: `run` cancels a coroutine at its `number`-th await."""

    def __init__(self, number, most_turns=None):
        """`most_turns`: as for `at_each_await`."""
        self.number = number
        self.most_turns = most_turns
        self.task = None
        self._reached_or_done = asyncio.Event()
        self.reached = False
        """Whether the coroutine had that many awaits; where it had fewer, it has run to its end."""

    async def run(self, coroutine):
        """Run `coroutine` in a task, cancel it, wait for its end; return `reached`.

        A call may end with its result although it was cancelled, where the result was there first; any exception of its
        own fails the test.
        """
        self.task = asyncio.create_task(_as_coroutine(self._cancel_at_await(coroutine)))
        self.task.add_done_callback(lambda _: self._reached_or_done.set())
        await self._reached_or_done.wait()
        if self.most_turns is not None:
            await self._run_turns()
        await asyncio.wait([self.task])
        if not self.reached:
            self.task.result()
        assert self.task.cancelled() or self.task.exception() is None, "a cancelled call ended with another exception"
        return self.reached

    async def _run_turns(self):
        for _ in range(self.most_turns):
            if self.task.done():
                return
            await asyncio.sleep(0)
        assert self.task.done(), "the cancelled call does not end promptly"

    @types.coroutine
    def _cancel_at_await(self, coroutine):
        resume, value, awaits = coroutine.send, None, 0
        while True:
            try:
                waits_for = resume(value)
            except StopIteration as stop:
                return stop.value
            awaits += 1
            if awaits == self.number:
                self.reached = True
                self._reached_or_done.set()
                asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
            try:
                value = yield waits_for
                resume = coroutine.send
            except BaseException as error:  # noqa: BLE001 - passed on as it is
                resume, value = coroutine.throw, error


async def _as_coroutine(steps):
    return await steps


def at_each_await(most_turns=None):
    """Yield a `Cancellation` for each await of a call, until a round has run to the call's end.

    ::

        for cancellation in at_each_await():
            await cancellation.run(store.save("a", stored(1)))
            assert ...  # what has to hold after a cancellation at any point

    `most_turns`: turns of the event loop from the cancellation to the end of the call; more of them fail the test.
    """
    number, reached = 0, True
    while reached:
        number += 1
        cancellation = Cancellation(number, most_turns)
        yield cancellation
        assert cancellation.task is not None, "cancellation.run() was not called"
        reached = cancellation.reached
