"""Fault 33: the token endpoint is down for minutes while the access tokens of many users expire."""

import asyncio

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import ServerError, TokenManagers

pytestmark = pytest.mark.asyncio

USERS = [f"user {number}" for number in range(20)]


async def test_every_sign_in_survives_and_recovers_within_one_back_off_step():
    async with emulated() as setup:
        managers = TokenManagers(setup.flow, store=setup.tokens)
        first = {user: await managers.get(user).login() for user in USERS}
        down = setup.emulator.faults.on("refresh").always().respond(503)
        setup.clock.advance(3600)

        async def outcomes():
            return await asyncio.gather(*(managers.get(user).token() for user in USERS), return_exceptions=True)

        requests = 0
        for seconds in (0, *[1] * 180):  # three minutes, in which each user asks once a second
            setup.clock.advance(seconds)
            errors = await outcomes()
            assert {type(error) for error in errors} == {ServerError}
        requests = len(setup.emulator.requests.to("refresh"))
        # 1, 2, 4, ... 64 s between two requests of a user
        assert requests == 8 * len(USERS)
        setup.emulator.faults.remove(down)
        setup.clock.advance(128)  # the next back-off step
        tokens = await outcomes()
        for user, token in zip(USERS, tokens, strict=True):
            assert token.access_token != first[user].access_token
            assert (await setup.stored(user)).token == token
        assert len(setup.emulator.requests.to("refresh")) == requests + len(USERS)


async def test_restart_in_the_middle_of_the_outage_loses_no_sign_in():
    async with emulated() as setup:
        for user in USERS:
            await TokenManagers(setup.flow, store=setup.tokens).get(user).login()
        down = setup.emulator.faults.on("refresh").always().respond(503)
        setup.clock.advance(3600)
        for _ in range(3):
            managers = TokenManagers(setup.flow, store=setup.tokens)
            for user in USERS:
                with pytest.raises(ServerError):
                    await managers.get(user).token()
        setup.emulator.faults.remove(down)
        managers = TokenManagers(setup.flow, store=setup.tokens)
        assert all([await managers.get(user).token() for user in USERS])
