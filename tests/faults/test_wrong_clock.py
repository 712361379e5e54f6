"""Fault 45 (docs/reliability.md): the local clock is wrong, and the response has absolute dates."""

from datetime import timedelta

import pytest

from tests.helpers.wrong_clock import emulated_with_wrong_clock

pytestmark = pytest.mark.asyncio

WRONG_BY = [-20 * 365 * 86_400, -86_400, -2 * 3600, 90, 2 * 3600, 86_400, 20 * 365 * 86_400]


@pytest.mark.parametrize("seconds", WRONG_BY)
@pytest.mark.parametrize("dates", ["rfc2822", "iso8601"])
async def test_lifetime_of_a_token_is_counted_from_the_date_of_the_response(seconds, dates):
    async with emulated_with_wrong_clock(seconds, dates=dates, access_token_lifetime=600.0) as world:
        token, now = await world.flow.run(), world.session.clock.now()
        assert token.access_token_expires_at - now == pytest.approx(timedelta(seconds=600), abs=timedelta(seconds=1))
        refresh_lifetime = timedelta(seconds=world.emulator.policy.refresh_token_lifetime)
        assert token.refresh_token_expires_at - now == pytest.approx(refresh_lifetime, abs=timedelta(seconds=1))


@pytest.mark.parametrize("seconds", WRONG_BY)
async def test_token_is_refreshed_when_it_expires_at_the_server_and_not_before(seconds):
    async with emulated_with_wrong_clock(seconds, access_token_lifetime=600.0) as world:
        manager = world.manager(leeway=5.0)
        first = await manager.login()
        world.clock.advance(590)
        assert (await manager.token()).access_token == first.access_token
        world.clock.advance(10)
        assert (await manager.token()).access_token != first.access_token


async def test_clocks_that_agree_change_no_date():
    async with emulated_with_wrong_clock(0) as world:
        token, now = await world.flow.run(), world.clock.now()
        assert world.session.clock_skew == 0
        assert token.access_token_expires_at == now.replace(microsecond=0) + timedelta(hours=1)
