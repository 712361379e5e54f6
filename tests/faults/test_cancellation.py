"""Faults 19 and 20 (docs/reliability.md): calls that are cancelled at each await, sessions and loops that end early."""

import asyncio
import os

import pytest

from tests.helpers.cancellation import Cancellation, at_each_await
from tests.helpers.client_requests import ALL_REQUESTS, TOKEN_BODY, device_flow
from tests.helpers.event_loop import collect, needs_event_loop_of_asyncio, settle
from tests.helpers.raw_server import RawServer, hang_up, http, silence
from tests.helpers.scripted_server import CODE_BODY, PENDING, scripted, session_for
from twilio_oauth_async import ConfigurationError, VirtualClock

MOST_TURNS = 8
"""Turns of the loop from the cancellation to the end of the task: aiohttp needs a few to close a connection."""

SUCCESS = ALL_REQUESTS["certs"][1]


async def run_flow(session):
    return await device_flow(session, prompt=lambda _: asyncio.sleep(0)).run()


async def start_and_wait(session):
    flow = device_flow(session)
    return await flow.wait(await flow.start())


CALLS = {
    **{name: (call, [success]) for name, (call, success) in ALL_REQUESTS.items()},
    "retried": (ALL_REQUESTS["certs"][0], [hang_up, http(503, b"", None), SUCCESS]),
    **{
        name: (call, [http(201, CODE_BODY), PENDING, hang_up, http(201, TOKEN_BODY)])
        for name, call in {
            "flow.run": run_flow,
            "flow.wait": start_and_wait,
            "flow.events": lambda session: collect(device_flow(session).events()),
        }.items()
    },
}


def timers():
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208


async def check_round(call, responses, cancellation):
    """Cancel `call` on a new session, and check that nothing is left of it and that the session works."""
    async with scripted(*responses, SUCCESS) as (server, session):
        before = asyncio.all_tasks()
        if not await cancellation.run(call(session)):
            return
        assert cancellation.task.cancelled(), cancellation.task
        assert "sleepers=0" in repr(session.clock)
        await asyncio.sleep(0)
        left = {repr(task.get_coro()) for task in asyncio.all_tasks() - before}
        assert not [name for name in left if "RawServer" not in name and "_accept_connection" not in name]
        # No lock, connection slot or broken connection is left.
        server.responses = [SUCCESS]
        await session.fetch_certs()


@needs_event_loop_of_asyncio
@pytest.mark.asyncio
@pytest.mark.parametrize("name", CALLS)
async def test_call_cancelled_at_each_await_ends_promptly_and_leaves_nothing(name):
    call, responses = CALLS[name]
    # What is made only once (imports, caches) is made before anything is counted.
    await check_round(call, responses, Cancellation(10**6))
    await settle()
    files, waiting = descriptors(), len(timers())
    for cancellation in at_each_await(MOST_TURNS):
        await check_round(call, responses, cancellation)
    assert cancellation.number > 3
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(timers()) <= waiting
    assert descriptors() <= files


@pytest.mark.asyncio
async def test_session_closed_during_requests_ends_them_with_library_errors():
    async with scripted(silence) as (server, session):
        tasks = [asyncio.create_task(call(session)) for call, _ in ALL_REQUESTS.values()]
        while len(server.requests) < len(tasks):
            await asyncio.sleep(0)
        await session.close()
        errors = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert {type(error).__module__ for error in errors} == {"twilio_oauth_async.errors"}
    with pytest.raises(ConfigurationError, match="not open"):
        await session.fetch_certs()


@pytest.mark.filterwarnings("error")
def test_loop_that_ends_during_a_flow_cancels_it_without_warnings():
    """`asyncio.run` cancels the tasks that are left: no coroutine is never awaited, no transport warns."""
    tasks = []

    async def main():
        server = RawServer(http(201, CODE_BODY), PENDING)
        await server.__aenter__()
        session = session_for(server, clock=VirtualClock(auto=False))
        await session.open()
        tasks.append(asyncio.create_task(device_flow(session, prompt=lambda _: None).run()))
        await settle()
        await session.close()
        await server.__aexit__()

    asyncio.run(main())
    assert tasks[0].cancelled()
