"""A manager over real storage that fails: a refresh without the lock and the mark is never sent (row 30)."""

import asyncio

import pytest

from tests.helpers.managed import ScriptedGrant
from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError, VirtualClock
from twilio_oauth_async.stores.redis import RedisTokenStore
from twilio_oauth_async.tokens.manager import TokenManager

pytestmark = pytest.mark.asyncio


class Setup:
    """A manager whose token has ended, on a server that can be harmed."""

    def __init__(self, server, client):
        self.server = server
        self.clock = VirtualClock(stored().token.access_token_expires_at, auto=False)
        self.grant = ScriptedGrant(self.clock)
        self.store = RedisTokenStore(client)
        self.manager = TokenManager(self.grant, store=self.store, key="a", clock=self.clock)

    async def under_way(self):
        """A call of ``token()`` whose refresh has been sent and is not answered before ``grant.gate`` is set."""
        self.grant.gate = asyncio.Event()
        asking = asyncio.create_task(self.manager.token())
        while not self.grant.refreshed and not asking.done():
            await asyncio.sleep(0.001)
        assert not asking.done(), asking
        return asking

    def lose_the_lock(self):
        self.server.tell("DEL", "twilio-oauth:1:{a}:lock")


@pytest.fixture
def setup(own_redis, open_redis):
    return Setup(own_redis, open_redis(own_redis))


async def test_without_a_server_nothing_is_sent(setup):
    await setup.store.save("a", stored(1))
    setup.server.stop()
    with pytest.raises(StoreError):
        await setup.manager.token()
    assert setup.grant.refreshed == []


async def test_a_lock_lost_before_the_mark_sends_nothing(setup, monkeypatch):
    await setup.store.save("a", stored(1))
    load = setup.store.load

    async def loses_the_lock(key):
        found = await load(key)
        setup.lose_the_lock()
        return found

    monkeypatch.setattr(setup.store, "load", loses_the_lock)
    with pytest.raises(StoreError, match="lock was lost"):
        await setup.manager.token()
    assert setup.grant.refreshed == []
    assert await load("a") == stored(1)


async def test_a_lock_lost_while_the_request_is_under_way_does_not_cost_the_answer(setup):
    await setup.store.save("a", stored(1))
    asking = await setup.under_way()
    assert (await setup.store.load("a")).unanswered == 1
    setup.lose_the_lock()
    setup.grant.gate.set()
    token = await asking
    assert (await setup.store.load("a")).token == token
    assert len(setup.grant.refreshed) == 1


async def test_a_server_that_goes_while_the_request_is_under_way_does_not_cost_the_answer(setup):
    await setup.store.save("a", stored(1))
    asking = await setup.under_way()
    setup.server.stop()
    setup.grant.gate.set()
    with pytest.raises(StoreError, match=r"could not be saved|Redis"):
        await asking
    token = await setup.manager.token()  # told once; it is in use
    setup.server.start()
    setup.clock.advance(10)
    assert await setup.manager.token() == token
    assert (await setup.store.load("a")).token == token
    assert len(setup.grant.refreshed) == 1
