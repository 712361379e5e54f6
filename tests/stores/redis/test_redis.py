"""The Redis stores pass the contracts with every kind of client, and do not change the client."""

import math
from datetime import timedelta

import pytest
import redis

from tests.helpers.store_contract import (
    FlowStoreContract,
    SharedFlowStoreContract,
    SharedTokenStoreContract,
    TokenStoreContract,
)
from tests.helpers.stored_values import NOW, flow, leased, stored
from twilio_oauth_async import ConfigurationError, StoreError, VirtualClock
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

RECIPE = """
import redis.asyncio
from twilio_oauth_async.stores.redis import {kind}
def open_store(): return {kind}(redis.asyncio.Redis.from_url({url!r}), prefix={prefix!r}{more})
"""


@pytest.fixture(params=[(2, False), (3, True)], ids=["bytes", "decoded"])
def client(request, shared_redis, open_redis):
    protocol, decoded = request.param
    return open_redis(shared_redis, protocol=protocol, decode_responses=decoded)


class TestRedisTokenStore(TokenStoreContract):
    @pytest.fixture
    def open_store(self, client, prefix):
        return lambda: RedisTokenStore(client, prefix=prefix)


class TestSharedRedisTokenStore(SharedTokenStoreContract):
    @pytest.fixture
    def open_store(self, shared_redis, open_redis, prefix):
        client = open_redis(shared_redis)
        return lambda: RedisTokenStore(client, prefix=prefix)

    @pytest.fixture
    def recipe(self, shared_redis, prefix):
        # The lock of a killed holder expires by itself: soon, but not while a busy machine delays a running holder.
        return RECIPE.format(kind="RedisTokenStore", url=shared_redis.url, prefix=prefix, more=", lock_lifetime=2")


class TestRedisFlowStore(FlowStoreContract):
    @pytest.fixture
    def open_store(self, client, prefix, clock):
        return lambda: RedisFlowStore(client, prefix=prefix, clock=clock)


class TestSharedRedisFlowStore(SharedFlowStoreContract):
    @pytest.fixture
    def open_store(self, shared_redis, open_redis, prefix):
        client = open_redis(shared_redis)
        return lambda: RedisFlowStore(client, prefix=prefix)

    @pytest.fixture
    def recipe(self, shared_redis, prefix):
        return RECIPE.format(kind="RedisFlowStore", url=shared_redis.url, prefix=prefix, more="")


async def key_names(client, prefix):
    return sorted(name if isinstance(name, str) else name.decode() for name in await client.keys(f"{prefix}:*"))


@pytest.mark.asyncio
async def test_keys_of_one_token_are_in_one_cluster_slot(client, prefix):
    from redis.cluster import key_slot

    store = RedisTokenStore(client, prefix=prefix)
    for key in ("ann", "{ann}", "}", "a" * 300, "ä"):
        async with store.lock(key):
            await store.save(key, stored())
            found = await key_names(client, prefix)
        assert len(found) == 3
        assert len({key_slot(name.encode()) for name in found}) == 1
        assert all(len(name) < 200 for name in found)
        await client.delete(*found)
    flows = RedisFlowStore(client, prefix=prefix)
    await flows.save(flow("}{"))
    assert len({key_slot(name.encode()) for name in await key_names(client, prefix)}) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("expires_in", "kept_for"),
    [(None, None), (3600, 3600 + 86_400), (-5, 86_400), (-(10**6), 86_400), (10**9, 10**9 + 86_400)],
)
async def test_token_is_kept_a_day_longer_than_its_refresh_token(client, prefix, expires_in, kept_for):
    store = RedisTokenStore(client, prefix=prefix, clock=VirtualClock(NOW, auto=False))
    expires_at = None if expires_in is None else NOW + timedelta(seconds=expires_in)
    await store.save("a", stored(refresh_token_expires_at=NOW))  # the expiry of an earlier save does not matter
    await store.save("a", stored(refresh_token_expires_at=expires_at))
    left = await client.pttl(f"{prefix}:1:{{a}}:token")
    assert left == -1 if kept_for is None else math.isclose(left / 1000, kept_for, abs_tol=5)


@pytest.mark.asyncio
async def test_flow_is_kept_a_day_longer_than_its_code(client, prefix):
    clock = VirtualClock(auto=False)
    store = RedisFlowStore(client, prefix=prefix, clock=clock)
    await store.save(flow("a"))
    for name in await key_names(client, prefix):
        assert math.isclose(await client.pttl(name) / 1000, 300 + 86_400, abs_tol=5)
    clock.advance(200)
    await store.claim("a", "me", clock.now())  # an earlier end of one flow never shortens the time of the others
    for name in await key_names(client, prefix):
        assert math.isclose(await client.pttl(name) / 1000, 300 + 86_400, abs_tol=5)


@pytest.mark.asyncio
async def test_deleted_flow_leaves_no_key(client, prefix):
    store = RedisFlowStore(client, prefix=prefix, clock=VirtualClock(auto=False))
    await store.save(flow("a"))
    await store.delete("a")
    assert await key_names(client, prefix) == []


@pytest.mark.asyncio
async def test_damaged_token_is_set_aside_and_logged(client, prefix, caplog):
    store = RedisTokenStore(client, prefix=prefix)
    for damaged in ("", "{", '{"token":1}', "null"):
        await store.save("a", stored(9))
        await client.hset(f"{prefix}:1:{{a}}:token", "stored", damaged)
        assert await store.load("a") is None
        assert f"{prefix}:1:{{a}}:set-aside" in caplog.text
        assert await client.hget(f"{prefix}:1:{{a}}:set-aside", "stored") in {damaged, damaged.encode()}
        assert await client.pttl(f"{prefix}:1:{{a}}:set-aside") > 0
        await store.save("a", stored(1))
        assert await store.load("a") == stored(1)
        await store.delete("a")


@pytest.mark.asyncio
async def test_damaged_flow_is_skipped_and_logged(client, prefix, caplog):
    store = RedisFlowStore(client, prefix=prefix, clock=VirtualClock(auto=False))
    for id_ in "ab":
        await store.save(flow(id_))
    await client.hset(f"{prefix}:1:{{flows}}:pending", "a", "{")
    assert [found.id for found in await store.list_due()] == ["b"]
    assert "damaged pending flows were skipped: 1" in caplog.text
    assert await store.load("a") is None
    assert await store.claim("a", "me", NOW) is False
    await store.save(leased("a", "me", 5))
    assert await store.load("a") == leased("a", "me", 5)


@pytest.mark.asyncio
async def test_value_that_is_not_utf8_counts_as_damaged(shared_redis, open_redis, prefix):
    client = open_redis(shared_redis)
    tokens = RedisTokenStore(client, prefix=prefix)
    flows = RedisFlowStore(client, prefix=prefix, clock=VirtualClock(auto=False))
    await client.hset(f"{prefix}:1:{{a}}:token", "stored", b"\xff")
    assert await tokens.load("a") is None
    assert await client.hget(f"{prefix}:1:{{a}}:set-aside", "stored") == b"\xff"
    await client.hset(f"{prefix}:1:{{flows}}:pending", "a", b"\xff")
    assert await flows.load("a") is None
    await flows.save(flow())
    assert await flows.load("a") == flow()


class AlwaysConflicting:
    """A client on whose server another process always changes the flow first."""

    async def eval(self, *_):
        return 0


@pytest.mark.asyncio
async def test_save_that_always_conflicts_raises_store_error():
    with pytest.raises(StoreError, match="too many concurrent changes"):
        await RedisFlowStore(AlwaysConflicting()).save(flow())


@pytest.mark.asyncio
async def test_key_of_another_program_is_not_overwritten(client, prefix):
    store = RedisTokenStore(client, prefix=prefix)
    await client.set(f"{prefix}:1:{{a}}:token", "theirs")
    for call in (store.load("a"), store.save("a", stored())):
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await call
    assert await client.get(f"{prefix}:1:{{a}}:token") in {"theirs", b"theirs"}


@pytest.mark.asyncio
async def test_client_of_the_caller_is_neither_closed_nor_changed(shared_redis, open_redis, prefix):
    client = open_redis(shared_redis)
    before = {name: repr(value) for name, value in vars(client).items()}
    pool = {name: repr(value) for name, value in client.connection_pool.connection_kwargs.items()}
    for kind in (RedisTokenStore, RedisFlowStore):
        store = kind(client, prefix=prefix)
        assert await store.load("a") is None
        del store
    assert {name: repr(value) for name, value in vars(client).items()} == before
    assert {name: repr(value) for name, value in client.connection_pool.connection_kwargs.items()} == pool
    assert await client.ping()


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": ""},
        {"prefix": "a{b"},
        {"prefix": "a\n"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": math.nan},
        {"lock_timeout": 0},
        {"lock_lifetime": 0},
    ],
    ids=str,
)
def test_invalid_options_raise_configuration_error(options):
    with pytest.raises(ConfigurationError):
        RedisTokenStore(redis.asyncio.Redis(), **options)


def test_synchronous_client_raises_configuration_error():
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
        RedisTokenStore(redis.Redis())
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
        RedisFlowStore(redis.Redis())


def test_repr_shows_the_prefix_and_no_password():
    client = redis.asyncio.Redis(password="s3cr3t")
    assert repr(RedisTokenStore(client)) == "RedisTokenStore(prefix='twilio-oauth')"
    assert repr(RedisFlowStore(client, prefix="x")) == "RedisFlowStore(prefix='x')"
