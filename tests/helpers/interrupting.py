"""Cancel a call at a given await, and what to look for afterwards."""

import asyncio
import types


@types.coroutine
def _interrupted(coroutine, number, reached):
    """Run `coroutine` and cancel the task that awaits it at the `number`-th await that really waits."""
    resume, value, awaits = coroutine.send, None, 0
    while True:
        try:
            waits_for = resume(value)
        except StopIteration as stop:
            return stop.value
        awaits += 1
        if awaits == number:
            reached.append(True)
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        try:
            value = yield waits_for
            resume = coroutine.send
        except BaseException as error:  # noqa: BLE001 - handed on as it is
            resume, value = coroutine.throw, error


async def _as_coroutine(steps):
    return await steps


async def interrupt(coroutine, number):
    """Cancel `coroutine` at its `number`-th await; False where it has fewer, and has then run to its end."""
    reached = []
    task = asyncio.create_task(_as_coroutine(_interrupted(coroutine, number, reached)))
    await asyncio.wait([task])
    if not reached:
        task.result()
        return False
    assert task.cancelled() or task.exception() is None, "cancelled, it ended with something else"
    return True


async def others():
    """The tasks that are still there besides the test's own, once what ends by itself has ended."""
    for _ in range(20):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.005)
    return left
