"""The Redis stores pass the contracts, with clients that decode replies and clients that do not."""

import os

import pytest
from redis.asyncio import Redis

from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore
from twilio_oauth_async.stores.testing import (
    FlowStoreContract,
    SharedFlowStoreContract,
    SharedTokenStoreContract,
    TokenStoreContract,
)

KILL_ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "8"))  # the nox session `crash` tries more
RECIPE = """
import redis.asyncio
from twilio_oauth_async.stores.redis import {kind}
def open_store(): return {kind}(redis.asyncio.Redis.from_url({url!r}), prefix={prefix!r}{more})
"""


class ConnectionPerCall:
    """A client that works in several event loops: the connections of redis-py belong to one."""

    def __init__(self, url):
        self.url = url

    async def eval(self, *arguments):
        async with Redis.from_url(self.url) as client:
            return await client.eval(*arguments)


class TestRedisTokenStore(TokenStoreContract):
    own_clock = True
    several_loops = False  # the client's connections do not; see below

    @pytest.fixture
    def open_store(self, client, prefix, clock):
        return lambda: RedisTokenStore(client, prefix=prefix, clock=clock)

    @pytest.fixture
    def open_store_at(self, client, prefix):
        return lambda clock: RedisTokenStore(client, prefix=prefix, clock=clock)

    @pytest.fixture
    def open_broken_store(self, hanging_redis, open_redis):
        client = open_redis(hanging_redis)
        return lambda: RedisTokenStore(client, timeout=0.05, lock_timeout=0.2)


class TestSharedRedisTokenStore(SharedTokenStoreContract):
    kill_rounds = KILL_ROUNDS
    own_clock = True

    @pytest.fixture
    def open_store(self, shared_redis, open_redis, prefix):
        client = open_redis(shared_redis)
        return lambda: RedisTokenStore(client, prefix=prefix)

    @pytest.fixture
    def recipe(self, shared_redis, prefix):
        # The lock of a killed holder expires by itself: soon, but not while a busy machine delays a running holder.
        return RECIPE.format(kind="RedisTokenStore", url=shared_redis.url, prefix=prefix, more=", lock_lifetime=2")


class TestRedisFlowStore(FlowStoreContract):
    own_clock = True
    several_loops = False  # the client's connections do not; see below

    @pytest.fixture
    def open_store(self, client, prefix, clock):
        return lambda: RedisFlowStore(client, prefix=prefix, clock=clock)

    @pytest.fixture
    def open_store_at(self, client, prefix):
        return lambda clock: RedisFlowStore(client, prefix=prefix, clock=clock)

    @pytest.fixture
    def open_broken_store(self, hanging_redis, open_redis):
        client = open_redis(hanging_redis)
        return lambda: RedisFlowStore(client, timeout=0.05)


class TestSharedRedisFlowStore(SharedFlowStoreContract):
    kill_rounds = KILL_ROUNDS
    own_clock = True

    @pytest.fixture
    def open_store(self, shared_redis, open_redis, prefix):
        client = open_redis(shared_redis)
        return lambda: RedisFlowStore(client, prefix=prefix)

    @pytest.fixture
    def recipe(self, shared_redis, prefix):
        return RECIPE.format(kind="RedisFlowStore", url=shared_redis.url, prefix=prefix, more="")


@pytest.mark.asyncio
async def test_token_store_works_in_several_event_loops(shared_redis, prefix):
    store = RedisTokenStore(ConnectionPerCall(shared_redis.url), prefix=prefix)
    await TokenStoreContract().test_store_works_in_several_event_loops(lambda: store)


@pytest.mark.asyncio
async def test_flow_store_works_in_several_event_loops(shared_redis, prefix):
    store = RedisFlowStore(ConnectionPerCall(shared_redis.url), prefix=prefix)
    await FlowStoreContract().test_store_works_in_several_event_loops(lambda: store)
