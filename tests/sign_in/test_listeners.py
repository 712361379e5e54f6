"""Listeners of one sign-in: the present first, nothing missed that lasts, and nobody waits for ever."""

import asyncio
from datetime import UTC, datetime

import pytest

from twilio_oauth_async import DeviceAuthorization, StoredFlow
from twilio_oauth_async.sign_in.listeners import RunningSignIn

pytestmark = pytest.mark.asyncio


@pytest.fixture
def running():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    authorization = DeviceAuthorization(
        client_sid="OQ1",
        scopes=("openid",),
        device_code="canary",
        user_code="ABCD-EFGH",
        verification_uri="https://example.com",
        interval=5,
        expires_at=moment,
        next_poll_at=moment,
    )
    return RunningSignIn(StoredFlow(id="1", user="ada", authorization=authorization))


def told(event):
    return event.sign_in.state, event.problem


async def test_a_busy_listener_gets_the_latest(running):
    events = running.events()
    assert told(await anext(events)) == ("pending", None)
    running.tell("pending", "a")
    running.tell("pending", "b")
    assert told(await anext(events)) == ("pending", "b")
    running.tell("approved")
    assert told(await anext(events)) == ("approved", None)
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_a_waiting_listener_is_woken(running):
    events = running.events()
    await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    assert not waiting.done()
    running.tell("denied", "why")
    assert told(await waiting) == ("denied", "why")


async def test_what_is_the_present_already_wakes_nobody(running):
    events = running.events()
    await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    running.tell("pending")
    await asyncio.sleep(0)
    assert not waiting.done()
    running.tell("pending", "a")
    assert told(await waiting) == ("pending", "a")


@pytest.mark.parametrize("is_busy", [False, True])
async def test_closing_lets_listeners_go(running, is_busy):
    events = running.events()
    await anext(events)
    if is_busy:
        running.close()
        waiting = asyncio.ensure_future(anext(events))
    else:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        running.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert [told(event) async for event in running.events()] == [("pending", None)], "one who comes late is told"


async def test_the_end_comes_before_the_closing(running):
    events = running.events()
    await anext(events)
    running.tell("approved")
    running.close()
    assert told(await anext(events)) == ("approved", None)
