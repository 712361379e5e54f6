"""Row 22 and row 30 on a real Redis: eight processes, and a server that is gone in the middle of a refresh."""

import contextlib

import pytest

from tests.fire.test_many_processes import expire_again_and_again
from tests.helpers.fire_processes import Fire
from tests.helpers.managed import ScriptedGrant
from twilio_oauth_async import StoreError, TokenManager, VirtualClock


@contextlib.asynccontextmanager
async def redis_store(server):
    from redis.asyncio import Redis

    from twilio_oauth_async.stores.redis import RedisTokenStore

    client = Redis.from_url(server.url)
    try:
        yield RedisTokenStore(client)
    finally:
        await client.aclose()


@pytest.mark.asyncio
async def test_eight_processes_on_one_redis(redis_server):
    async with redis_store(redis_server) as store, Fire({"redis": redis_server.url}, store) as fire:
        await expire_again_and_again(fire)


async def near_the_end(store, during):
    """A manager that is about to refresh; `during` happens between the request and the save."""
    clock = VirtualClock(auto=False)
    grant = ScriptedGrant(clock)
    manager = TokenManager(grant, store=store, key="me", clock=clock)
    await manager.login()
    refresh = grant.refresh

    async def disturbed(token):
        new = await refresh(token)
        if len(grant.refreshed) == 1:
            during()
        return new

    grant.refresh = disturbed
    clock.advance(3600)
    return manager, grant, clock


@pytest.mark.asyncio
async def test_stopped_in_the_middle_of_a_refresh(redis_server):
    async with redis_store(redis_server) as store:
        manager, grant, clock = await near_the_end(store, redis_server.stop)
        with pytest.raises(StoreError):
            await manager.token()
        # Usable in memory; and no refresh follows as long as it cannot be saved.
        assert await manager.access_token() == "acc-canary-2"
        clock.advance(3600)
        with pytest.raises(StoreError):
            await manager.token()
        assert len(grant.refreshed) == 1
        redis_server.start()
        clock.advance(1)
        assert await manager.access_token() == "acc-canary-3"
        assert (await store.load("me")).token.access_token == "acc-canary-3"


@pytest.mark.asyncio
async def test_flushed_in_the_middle_of_a_refresh(redis_server):
    async with redis_store(redis_server) as store:
        manager, grant, _ = await near_the_end(store, lambda: redis_server.tell("FLUSHALL"))
        # The lock is gone with everything else: the newest rotation is what counts, and nothing was lost.
        with contextlib.suppress(StoreError):
            await manager.token()
        assert await manager.access_token() == "acc-canary-2"
        assert len(grant.refreshed) == 1


@pytest.mark.asyncio
async def test_down_before_a_refresh(redis_server):
    async with redis_store(redis_server) as store:
        manager, grant, clock = await near_the_end(store, lambda: None)
        redis_server.stop()
        with pytest.raises(StoreError):
            await manager.token()
        assert grant.refreshed == []
        redis_server.start()
        clock.advance(1)
