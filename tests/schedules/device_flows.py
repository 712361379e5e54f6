"""Scenarios of `DeviceFlow.run`: users approve, deny or do nothing, while one of the callers may be cancelled."""

import asyncio

import detangle

from tests.schedules.world import INTERVAL, SLOW
from twilio_oauth_async import AccessDeniedError, DeviceCodeExpiredError

AWAITS = 24
"""The awaits of a call at which it may be cancelled."""


async def two_flows(world):
    """Two users sign in over one session. The call of the first may be cancelled at any await."""
    users = []

    async def prompt(authorization):
        acts = detangle.choice(["approve", "deny", "nothing"])
        seconds = detangle.choice([INTERVAL + 2.0, 0.0] if users else [0.0, INTERVAL + 2.0])
        users.append(asyncio.create_task(_act(world, authorization, acts, seconds)))
        await world.clock.sleep(1.0)

    flow = await world.device_flow(prompt=prompt)
    world.explore_from_here()
    first = asyncio.create_task(_result(detangle.maybe_timeout(flow.run(), points=AWAITS)))
    results = await asyncio.gather(first, _result(flow.run()))
    world.explore_until_here()
    await world.clock.sleep(2 * SLOW)  # what was sent before the end arrives
    polls = len(world.emulator.requests.to("poll"))
    await world.clock.sleep(30)
    assert len(world.emulator.requests.to("poll")) == polls, "a poll after the end"
    acted = [await user for user in users]
    assert results[1] in acted, f"the second flow ended as {results[1]}, and the users: {acted}"
    assert results[0] in {*acted, "cancelled"}, f"the first flow ended as {results[0]}, and the users: {acted}"


async def _act(world, authorization, acts, seconds):
    """Do what a user does, and return how the flow should end."""
    await world.clock.sleep(seconds)
    if acts == "nothing":
        return "expired"
    await getattr(world.emulator, acts)(authorization.user_code)
    return "approved" if acts == "approve" else "denied"


async def _result(running):
    try:
        token = await running
    except detangle.InjectedTimeout:
        return "cancelled"
    except AccessDeniedError:
        return "denied"
    except DeviceCodeExpiredError:
        return "expired"
    assert token.access_token
    return "approved"
