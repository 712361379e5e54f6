"""Rows 19 and 20: a cancellation at each await of each call comes out at once, and leaves nothing behind."""

import asyncio
import os
import types

import pytest

from tests.helpers.calls import EVERY_CALL, GOOD_CODE, GOOD_TOKEN, flow
from tests.helpers.raw_server import RawServer, hang_up, http
from tests.helpers.scripted_flow import PENDING, settle
from twilio_oauth_async import ConfigurationError, OAuthSession, VirtualClock

MOST_TURNS = 8
"""Turns of the loop from the cancellation to the end of the task: aiohttp itself takes a few to close a connection."""


@types.coroutine
def cancelled_at(coroutine, number, reached):
    """Run `coroutine` and cancel the task that awaits it at the `number`-th await that really waits."""
    resume, value, awaits = coroutine.send, None, 0
    while True:
        try:
            waits_for = resume(value)
        except StopIteration as stop:
            return stop.value
        awaits += 1
        if awaits == number:
            reached.set()
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        try:
            value = yield waits_for
            resume = coroutine.send
        except BaseException as error:  # noqa: BLE001 - handed on as it is
            resume, value = coroutine.throw, error


async def collect(events):
    return [event async for event in events]


async def answers_flow(session):
    return await flow(session, prompt=lambda _: asyncio.sleep(0)).run()


async def waits_for_flow(session):
    own = flow(session)
    return await own.wait(await own.start())


CALLS = {
    **{name: (call, [answer]) for name, (call, answer) in EVERY_CALL.items()},
    "retried": (EVERY_CALL["certs"][0], [hang_up, http(503, b"", None), EVERY_CALL["certs"][1]]),
    **{
        name: (call, [http(201, GOOD_CODE), PENDING, hang_up, http(201, GOOD_TOKEN)])
        for name, call in {
            "flow.run": answers_flow,
            "flow.wait": waits_for_flow,
            "flow.events": lambda session: collect(flow(session).events()),
        }.items()
    },
}


def timers():
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208


async def cancel_once(call, answers, number):
    """One round; False where the call has fewer awaits than `number`."""
    clock, reached = VirtualClock(), asyncio.Event()
    async with RawServer(*answers, EVERY_CALL["certs"][1]) as server:
        async with OAuthSession("AC1", "pw", base_url=server.base_url, clock=clock) as session:
            before = asyncio.all_tasks()
            task = asyncio.create_task(wrapped(cancelled_at(call(session), number, reached)))
            done = asyncio.create_task(reached.wait())
            await asyncio.wait({task, done}, return_when=asyncio.FIRST_COMPLETED)
            done.cancel()
            if not reached.is_set():
                await task
                return False
            turns = 0
            while not task.done():
                await asyncio.sleep(0)
                turns += 1
                assert turns <= MOST_TURNS, "the end is not prompt"
            assert task.cancelled(), task
            assert "sleepers=0" in repr(clock)
            await asyncio.sleep(0)
            left = {repr(task.get_coro()) for task in asyncio.all_tasks() - before - {done}}
            assert not [name for name in left if "RawServer" not in name and "_accept_connection" not in name]
            # No lock, slot or broken connection is left: the session is as good as new.
            server.answers = [EVERY_CALL["certs"][1]]
            await session.fetch_certs()
    return True


async def wrapped(steps):
    return await steps


@pytest.mark.asyncio
@pytest.mark.parametrize("name", CALLS)
async def test_cancelled_at_each_await(name):
    call, answers = CALLS[name]
    await cancel_once(call, answers, 10**6)  # what is made once (imports, caches) is there now
    await settle()
    files, waiting, number = descriptors(), len(timers()), 1
    while await cancel_once(call, answers, number):
        number += 1
    assert number > 3
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(timers()) <= waiting
    assert descriptors() <= files


@pytest.mark.asyncio
async def test_a_session_closed_in_the_middle_of_a_request():
    async def long(writer):
        await asyncio.Event().wait()

    async with RawServer(long) as server:
        session = OAuthSession("AC1", "pw", base_url=server.base_url, clock=VirtualClock())
        await session.open()
        tasks = [asyncio.create_task(call(session)) for call, _ in EVERY_CALL.values()]
        while len(server.requests) < len(tasks):
            await asyncio.sleep(0)
        await session.close()
        ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert {type(error).__module__ for error in ended} == {"twilio_oauth_async.errors"}
    with pytest.raises(ConfigurationError, match="not open"):
        await session.fetch_certs()


@pytest.mark.filterwarnings("error")
def test_a_loop_that_ends_in_the_middle_of_a_flow():
    """`asyncio.run` cancels what is left: no coroutine is forgotten, no transport complains."""
    kept = []

    async def main():
        server = RawServer(http(201, GOOD_CODE), PENDING)
        await server.__aenter__()
        session = OAuthSession("AC1", "pw", base_url=server.base_url, clock=VirtualClock(auto=False))
        await session.open()
        kept.append(asyncio.create_task(flow(session, prompt=lambda _: None).run()))
        await settle()
        await session.close()
        await server.__aexit__()

    asyncio.run(main())
    assert kept[0].cancelled()
