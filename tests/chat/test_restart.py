"""Pending sign-ins survive a restart of the bot, and the new process reports their results."""

import asyncio

import pytest

from tests.helpers.event_loop import settle
from twilio_oauth_async.sign_in.submissions import LAST_POLL

pytestmark = pytest.mark.asyncio

SIGNED_IN = "You are signed in. /whoami shows your name, /logout signs you out."


@pytest.mark.parametrize("when", ["before the restart", "after the restart"])
async def test_sign_ins_pending_at_a_restart_are_completed_and_reported_once(world, when):
    async with world.bot():
        codes = [await world.code("ada", "dm-ada"), await world.code("bob")]
    assert len(await world.due()) == 2
    if when == "before the restart":
        await asyncio.gather(*(world.decide("approve", code) for code in codes))
    async with world.bot():
        if when == "after the restart":
            assert await world.code("ada", "dm-ada") == codes[0]
            await asyncio.gather(*(world.decide("approve", code) for code in codes))
        assert await world.result("dm-ada") == SIGNED_IN
        assert await world.result("bob") == SIGNED_IN
        assert await world.ask("ada", "/whoami") == "You are signed in as Ada Example."
    assert world.unread("ada") == world.unread("dm-ada") == world.unread("bob") == []
    assert await world.due() == []
    # A third start reports nothing again.
    async with world.bot():
        assert await world.ask("ada", "/whoami") == "You are signed in as Ada Example."
    assert world.unread("bob") == []


async def test_sign_in_that_expired_while_the_bot_was_stopped_is_reported(world):
    async with world.bot():
        await world.code("ada")
    world.clock.advance(3600)
    async with world.bot():
        assert (await world.result("ada")).startswith("The code expired before it was approved")


async def test_sign_in_of_a_killed_bot_is_resumed_when_its_lease_expires(world):
    async with world.bot():
        code = await world.code("ada")
    await world.flow_of_killed_bot()
    async with world.bot():
        await world.decide("approve", code)
        for _ in range(9):  # 54 seconds more
            await settle()
            assert world.emulator.requests.to("poll") == []
            world.clock.advance(6)
        assert await world.result("ada") == SIGNED_IN


async def test_login_after_a_kill_shows_the_same_code_and_one_result_is_sent(world):
    async with world.bot():
        code = await world.code("ada")
    await world.flow_of_killed_bot()
    world.clock.advance(1)
    async with world.bot():
        assert await world.code("ada") == code, "the killed bot still has the lease"
        world.clock.advance(61)
        assert await world.code("ada") == code
        async with asyncio.timeout(20):
            while await world.due():
                world.clock.advance(1)
                await asyncio.sleep(0.005)
        await world.decide("approve", code)
        assert await world.result("ada") == SIGNED_IN
        assert await world.ask("ada", "/cancel") == "There is no pending sign-in."
    assert world.unread("ada") == []
    assert len(world.emulator.requests.to("device_code")) == 1


async def test_expiry_of_an_older_code_is_not_reported_while_a_newer_one_is_pending(world):
    async with world.bot():
        older = await world.code("ada")
    flow = await world.flow_of_killed_bot()
    world.clock.advance(250)
    assert await world.flows.lease([flow.id], "killed", 60) == {flow.id}
    async with world.bot():
        world.clock.advance(50)  # the older one expires, before its lease
        asking = asyncio.create_task(world.code("ada"))
        await settle()
        assert not asking.done()  # the last poll of the older one may be under way
        world.clock.advance(LAST_POLL)
        code = await asking
        assert code != older
        assert (await world.flows.load(flow.id)).state == "expired"
        world.clock.advance(30)
        await world.decide("approve", code)
        assert await world.result("ada") == SIGNED_IN
    assert world.unread("ada") == []
