"""Scenarios of two managers over one store, each with a session of its own, as two processes have."""

import asyncio

import attrs
import detangle

from tests.schedules.world import LIFETIME, SLOW
from twilio_oauth_async import LoginRequired, TokenManager

AWAITS = 12
"""The awaits of a call at which it may be cancelled."""


@attrs.frozen
class Managers:
    """Two managers of one user, who is signed in and whose token has just expired."""

    world: object
    first: TokenManager
    second: TokenManager

    @classmethod
    async def signed_in(cls, world):
        async def approve(authorization):
            await world.emulator.approve(authorization.user_code)

        flows = [await world.device_flow(prompt=approve) for _ in range(2)]
        managers = cls(world, *[TokenManager(flow, store=world.tokens, key="ada") for flow in flows])
        for manager in (managers.first, managers.second):
            world.closes(manager)
        await managers.first.login()
        await managers.second.token()
        await world.clock.sleep(LIFETIME + 1)
        return managers

    async def stored(self):
        """Return the access token that is stored; None if there is none."""
        stored = await self.world.tokens.inner.load(self.first._worker.key)
        return None if stored is None else stored.token.access_token

    async def token(self, manager):
        """Return the access token, as a caller gets it, or why there is none."""
        try:
            return (await manager.token()).access_token
        except LoginRequired as error:
            return error.reason

    async def stored_token(self, manager):
        """Return the access token, as a caller gets it. It must be stored at that moment: it is saved before use."""
        token = (await manager.token()).access_token
        stored = self.world.tokens.inner._records[self.first._worker.key]
        assert stored.token.access_token == token, "a token is used that is not stored"
        return token

    def refreshes(self):
        """Return the number of refreshes that the server has received."""
        return len(self.world.emulator.requests.to("refresh"))


async def expiry(world):
    """The token has expired: three callers of two managers ask for another one, and one of them may be cancelled."""
    managers = await Managers.signed_in(world)
    world.explore_from_here()
    cancelled = asyncio.create_task(_unless_cancelled(managers.stored_token(managers.first)))
    tokens = await asyncio.gather(
        cancelled, managers.stored_token(managers.first), managers.stored_token(managers.second)
    )
    world.explore_until_here()
    assert len(set(tokens) - {None}) == 1, "the managers use different tokens"
    assert managers.refreshes() == 1, f"{managers.refreshes()} refreshes of one token"

    await world.clock.sleep(LIFETIME + 1)
    again = await asyncio.gather(managers.token(managers.first), managers.token(managers.second))
    assert len(set(again)) == 1
    assert again[0] not in tokens
    assert world.is_valid(again[0])
    assert managers.refreshes() == 2, "one for each expiry"


async def logout(world):
    """The token has expired: both managers ask for another one while the user signs out in one of them."""
    managers = await Managers.signed_in(world)
    world.explore_from_here()
    where = detangle.choice([managers.second, managers.first])
    await asyncio.gather(
        managers.token(managers.first), _after(world, managers.token(managers.second)), _after(world, where.logout())
    )
    world.explore_until_here()
    assert await managers.stored() is None, "the token is stored after a logout"
    assert world.valid_tokens() == 0, "a token is valid after a logout"
    assert managers.refreshes() <= 1, f"{managers.refreshes()} refreshes of one token"
    await world.clock.sleep(LIFETIME)  # a manager may use the token that it holds until it expires
    for manager in (managers.first, managers.second):
        assert await managers.token(manager) in {"signed_out", "no_token"}, "a token after a logout"


async def _unless_cancelled(running):
    try:
        return await detangle.maybe_timeout(running, points=AWAITS)
    except detangle.InjectedTimeout:
        return None


async def _after(world, running):
    """Await `running` at once, or while requests of others are under way."""
    await world.clock.sleep(detangle.choice([0.0, SLOW / 2, 1.5 * SLOW]))
    return await running
