"""Faults 22 and 30 (docs/reliability.md) on a real Redis: eight processes, and a server that stops during a refresh."""

import contextlib

import pytest

from tests.helpers.refresh_processes import refresh_processes
from tests.helpers.scripted_manager import ScriptedManager
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.redis import RedisTokenStore


@pytest.fixture
def store(own_redis, open_redis):
    return RedisTokenStore(open_redis(own_redis))


@pytest.mark.asyncio
async def test_eight_processes_on_one_redis_send_one_refresh_per_expiry(own_redis, store):
    async with refresh_processes(store, {"redis": own_redis.url}) as processes:
        await processes.check_one_refresh_per_expiry()


async def manager_with_expired_token(store, after_request=lambda: None):
    """Return a `ScriptedManager` on `store`; `after_request` runs between its first refresh request and the save."""
    setup = ScriptedManager(store=store)
    await setup.manager.login()
    refresh = setup.grant.refresh

    async def refresh_and_disturb(token):
        new = await refresh(token)
        if len(setup.grant.refreshed) == 1:
            after_request()
        return new

    setup.grant.refresh = refresh_and_disturb
    setup.clock.advance(3600)
    return setup


@pytest.mark.asyncio
async def test_redis_stopped_during_refresh_token_is_used_from_memory_and_not_refreshed_until_saved(own_redis, store):
    setup = await manager_with_expired_token(store, own_redis.stop)
    with pytest.raises(StoreError):
        await setup.manager.token()
    assert await setup.manager.access_token() == "acc-canary-2"
    setup.clock.advance(3600)
    with pytest.raises(StoreError):
        await setup.manager.token()
    assert len(setup.grant.refreshed) == 1
    own_redis.start()
    setup.clock.advance(1)
    assert await setup.manager.access_token() == "acc-canary-3"
    assert (await setup.stored()).token.access_token == "acc-canary-3"


@pytest.mark.asyncio
async def test_redis_flushed_during_refresh_newest_token_is_kept(own_redis, store):
    setup = await manager_with_expired_token(store, lambda: own_redis.send("FLUSHALL"))
    # The lock is deleted with everything else; the newest rotation is what counts.
    with contextlib.suppress(StoreError):
        await setup.manager.token()
    assert await setup.manager.access_token() == "acc-canary-2"
    assert len(setup.grant.refreshed) == 1


@pytest.mark.asyncio
async def test_redis_down_before_refresh_sends_no_request(own_redis, store):
    setup = await manager_with_expired_token(store)
    own_redis.stop()
    with pytest.raises(StoreError):
        await setup.manager.token()
    assert setup.grant.refreshed == []
