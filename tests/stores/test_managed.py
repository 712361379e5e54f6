"""Fault 30 (docs/reliability.md): a `TokenManager` on a Redis that fails sends no refresh without lock and mark."""

import asyncio

import pytest

from tests.helpers.scripted_manager import ScriptedManager
from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError, VirtualClock
from twilio_oauth_async.stores.redis import RedisTokenStore

pytestmark = pytest.mark.asyncio


@pytest.fixture
def setup(own_redis, open_redis):
    """A manager whose stored token has expired."""
    clock = VirtualClock(stored().token.access_token_expires_at, auto=False)
    return ScriptedManager(store=RedisTokenStore(open_redis(own_redis)), key="a", clock=clock)


async def start_refresh(setup):
    """Start a call of ``token()`` and return it once its request is sent; ``grant.gate`` holds the response back."""
    setup.grant.gate = asyncio.Event()
    call = asyncio.create_task(setup.manager.token())
    while not setup.grant.refreshed and not call.done():
        await asyncio.sleep(0.001)
    assert not call.done(), call
    return call


async def test_token_while_redis_is_down_sends_no_refresh(setup, own_redis):
    await setup.store.save("a", stored(1), replaces=None)
    own_redis.stop()
    with pytest.raises(StoreError):
        await setup.manager.token()
    assert setup.grant.refreshed == []


async def test_lock_lost_before_the_mark_sends_no_refresh(setup, own_redis):
    await setup.store.save("a", stored(1), replaces=None)
    setup.store.after("load", lambda _: own_redis.delete_lock())
    with pytest.raises(StoreError, match="lock was lost"):
        await setup.manager.token()
    assert setup.grant.refreshed == []
    assert await setup.stored() == stored(1)


async def test_lock_lost_during_request_new_token_is_saved(setup, own_redis):
    await setup.store.save("a", stored(1), replaces=None)
    call = await start_refresh(setup)
    assert (await setup.stored()).unanswered == 1
    own_redis.delete_lock()
    setup.grant.gate.set()
    token = await call
    assert (await setup.stored()).token == token
    assert len(setup.grant.refreshed) == 1


async def test_redis_stopped_during_request_new_token_is_kept_and_saved_later(setup, own_redis):
    await setup.store.save("a", stored(1), replaces=None)
    call = await start_refresh(setup)
    own_redis.stop()
    setup.grant.gate.set()
    with pytest.raises(StoreError, match=r"could not be saved|Redis"):
        await call
    token = await setup.manager.token()  # the error is raised once; the token is in use
    own_redis.start()
    await setup.manager.close()  # saves at once
    assert await setup.manager.token() == token
    assert (await setup.stored()).token == token
    assert len(setup.grant.refreshed) == 1
