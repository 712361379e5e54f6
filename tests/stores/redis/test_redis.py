"""The Redis stores pass the contracts, whatever the client decodes, and keep to what they were lent."""

import math
from datetime import timedelta

import pytest
import redis

from tests.helpers.flow_store_contract import claimed, flow
from tests.helpers.store_contract import (
    FlowStoreContract,
    SharedFlowStoreContract,
    SharedTokenStoreContract,
    TokenStoreContract,
)
from tests.helpers.stored_values import NOW, stored
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
        # A killed holder's lock ends by itself: soon, but not while a busy machine lets a living one wait.
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


async def names(client, prefix):
    return sorted(name if isinstance(name, str) else name.decode() for name in await client.keys(f"{prefix}:*"))


@pytest.mark.asyncio
async def test_all_keys_of_a_token_are_in_one_slot_of_a_cluster(client, prefix):
    from redis.cluster import key_slot

    store = RedisTokenStore(client, prefix=prefix)
    for key in ("ann", "{ann}", "}", "a" * 300, "ä"):
        async with store.lock(key):
            await store.save(key, stored())
            found = await names(client, prefix)
        assert len(found) == 3
        assert len({key_slot(name.encode()) for name in found}) == 1
        assert all(len(name) < 200 for name in found)
        await client.delete(*found)
    flows = RedisFlowStore(client, prefix=prefix)
    await flows.save(flow("}{"))
    assert len({key_slot(name.encode()) for name in await names(client, prefix)}) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("ends_in", "lives"),
    [(None, None), (3600, 3600 + 86_400), (-5, 86_400), (-(10**6), 86_400), (10**9, 10**9 + 86_400)],
)
async def test_a_token_lives_a_day_longer_than_its_refresh_token(client, prefix, ends_in, lives):
    store = RedisTokenStore(client, prefix=prefix, clock=VirtualClock(NOW, auto=False))
    ends_at = None if ends_in is None else NOW + timedelta(seconds=ends_in)
    await store.save("a", stored(refresh_token_expires_at=NOW))  # what stood there before does not matter
    await store.save("a", stored(refresh_token_expires_at=ends_at))
    left = await client.pttl(f"{prefix}:1:{{a}}:token")
    assert left == -1 if lives is None else math.isclose(left / 1000, lives, abs_tol=5)


@pytest.mark.asyncio
async def test_flows_go_when_nobody_is_left_to_finish_them(client, prefix):
    clock = VirtualClock(auto=False)
    store = RedisFlowStore(client, prefix=prefix, clock=clock)
    await store.save(flow("a"))
    for name in await names(client, prefix):
        assert math.isclose(await client.pttl(name) / 1000, 300 + 86_400, abs_tol=5)
    clock.advance(200)
    await store.claim("a", "me", clock.now())  # an earlier end never shortens the others' time
    for name in await names(client, prefix):
        assert math.isclose(await client.pttl(name) / 1000, 300 + 86_400, abs_tol=5)


@pytest.mark.asyncio
async def test_nothing_is_left_of_a_flow_that_is_done(client, prefix):
    store = RedisFlowStore(client, prefix=prefix, clock=VirtualClock(auto=False))
    await store.save(flow("a"))
    await store.delete("a")
    assert await names(client, prefix) == []


@pytest.mark.asyncio
async def test_a_damaged_token_is_set_aside(client, prefix, caplog):
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
async def test_a_damaged_flow_is_passed_over(client, prefix, caplog):
    store = RedisFlowStore(client, prefix=prefix, clock=VirtualClock(auto=False))
    for id_ in "ab":
        await store.save(flow(id_))
    await client.hset(f"{prefix}:1:{{flows}}:pending", "a", "{")
    assert [found.id for found in await store.list_due()] == ["b"]
    assert "damaged pending flows were skipped: 1" in caplog.text
    assert await store.load("a") is None
    assert await store.claim("a", "me", NOW) is False
    await store.save(claimed("a", "me", 5))
    assert await store.load("a") == claimed("a", "me", 5)


@pytest.mark.asyncio
async def test_what_is_no_text_is_damaged_too(shared_redis, open_redis, prefix):
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


class Reluctant:
    """A server on which somebody else is always faster."""

    async def eval(self, *_):
        return 0


@pytest.mark.asyncio
async def test_a_change_that_never_gets_its_turn_ends():
    with pytest.raises(StoreError, match="too many concurrent changes"):
        await RedisFlowStore(Reluctant()).save(flow())


@pytest.mark.asyncio
async def test_a_key_that_is_somebody_else_s_is_left_alone(client, prefix):
    store = RedisTokenStore(client, prefix=prefix)
    await client.set(f"{prefix}:1:{{a}}:token", "theirs")
    for call in (store.load("a"), store.save("a", stored())):
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await call
    assert await client.get(f"{prefix}:1:{{a}}:token") in {"theirs", b"theirs"}


@pytest.mark.asyncio
async def test_the_lent_client_is_neither_closed_nor_changed(shared_redis, open_redis, prefix):
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
def test_what_cannot_be(options):
    with pytest.raises(ConfigurationError):
        RedisTokenStore(redis.asyncio.Redis(), **options)


def test_a_client_that_would_block_the_loop_is_refused():
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
        RedisTokenStore(redis.Redis())
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
        RedisFlowStore(redis.Redis())


def test_what_they_say_of_themselves():
    client = redis.asyncio.Redis(password="s3cr3t")
    assert repr(RedisTokenStore(client)) == "RedisTokenStore(prefix='twilio-oauth')"
    assert repr(RedisFlowStore(client, prefix="x")) == "RedisFlowStore(prefix='x')"
