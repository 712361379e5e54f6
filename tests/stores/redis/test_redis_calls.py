"""Options, the queue of calls, the warning about a `maxmemory-policy`, and the client of the caller."""

import asyncio
import logging
import math

import pytest
import redis

from tests.helpers.store_failures import BOUND, take_lock
from tests.helpers.stored_values import stored
from twilio_oauth_async import ConfigurationError, StoreError
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore, call_queue, lock

KINDS = [RedisTokenStore, RedisFlowStore]


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


@pytest.mark.parametrize("kind", KINDS)
def test_synchronous_client_raises_configuration_error(kind):
    with pytest.raises(ConfigurationError, match=r"redis\.asyncio"):
        kind(redis.Redis())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("no_client", [None, "redis://localhost", object()], ids=["none", "url", "object"])
def test_object_that_is_no_client_raises_configuration_error(kind, no_client):
    with pytest.raises(ConfigurationError, match=r"from redis\.asyncio, for example Redis\.from_url"):
        kind(no_client)


def test_repr_shows_the_prefix_and_no_password():
    client = redis.asyncio.Redis(password="s3cr3t")
    assert repr(RedisTokenStore(client)) == "RedisTokenStore(prefix='twilio-oauth')"
    assert repr(RedisFlowStore(client, prefix="x")) == "RedisFlowStore(prefix='x')"


@pytest.mark.asyncio
async def test_client_of_the_caller_is_neither_closed_nor_changed(shared_redis, open_redis, prefix):
    client = open_redis(shared_redis)
    before = {name: repr(value) for name, value in vars(client).items()}
    pool = {name: repr(value) for name, value in client.connection_pool.connection_kwargs.items()}
    for kind in KINDS:
        store = kind(client, prefix=prefix)
        assert await store.load("a") is None
        del store
    assert {name: repr(value) for name, value in vars(client).items()} == before
    assert {name: repr(value) for name, value in client.connection_pool.connection_kwargs.items()} == pool
    assert await client.ping()


@pytest.mark.asyncio
async def test_six_thousand_loads_at_once_on_a_healthy_server_succeed(shared_redis, open_redis, prefix):
    client = open_redis(shared_redis)
    store = RedisTokenStore(client, prefix=prefix)
    await store.save("a", stored(1), replaces=None)
    assert await asyncio.gather(*(store.load("a") for _ in range(6000))) == [stored(1)] * 6000
    assert len(client.connection_pool._available_connections) <= 32


@pytest.mark.asyncio
async def test_hundred_concurrent_calls_and_locks_do_not_exhaust_the_connection_pool(shared_redis, open_redis, prefix):
    store = RedisTokenStore(open_redis(shared_redis, max_connections=40), prefix=prefix)
    await store.save("a", stored(1), replaces=None)

    async def hold(number):
        async with store.lock(f"{number}"):
            return await store.load("a")

    results = await asyncio.gather(*(store.load("a") for _ in range(100)), *map(hold, range(100)))
    assert results == [stored(1)] * 200


class SlowClient:
    """A client whose responses take 0.2 s of the loop's time, 32 at a time, and no real time."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.calls = 0
        self.skipped = 0.0
        real_time = self.loop.time
        self.loop.time = lambda: real_time() + self.skipped

    async def eval(self, *_):
        await asyncio.sleep(0)
        self.calls += 1
        if self.calls % 32 == 0:
            self.skipped += 0.2


@pytest.mark.asyncio
async def test_wait_for_a_place_does_not_count_towards_the_timeout():
    client = SlowClient()
    store = RedisTokenStore(client, timeout=4.0)
    assert await asyncio.gather(*(store.load("a") for _ in range(32 * 30))) == [None] * 32 * 30
    assert client.skipped == pytest.approx(6.0)


class Gate:
    """A client whose responses wait until `open` is called; it counts the calls under way."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.running = self.most = self.begun = 0

    async def eval(self, script, *_):
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.gate.wait()
        finally:
            self.running -= 1
        return 1 if script in {lock.ACQUIRE, lock.RENEW, lock.RELEASE} else None


@pytest.mark.asyncio
async def test_calls_that_wait_fail_soon_after_the_server_has_stopped_to_respond(shared_redis):
    client = Gate()
    store = RedisTokenStore(client, timeout=0.1)
    begun = asyncio.get_running_loop().time()
    results = await asyncio.gather(*(store.load("a") for _ in range(500)), return_exceptions=True)
    assert {type(result) for result in results} == {StoreError}
    assert {str(result).split(",")[0] for result in results} == {
        "Redis: no response within 0.1 s",
        "Redis: too many calls wait",
    }
    assert asyncio.get_running_loop().time() - begun < BOUND
    assert client.most == 32
    assert client.begun < 200
    client.gate.set()
    assert await store.load("a") is None


@pytest.mark.asyncio
async def test_wait_for_a_place_is_bounded_also_while_the_server_responds(monkeypatch):
    monkeypatch.setattr(call_queue, "QUEUE_TIMEOUT", 0.1)
    client = Gate()
    store = RedisTokenStore(client, timeout=BOUND)

    async def respond_slowly():
        while True:
            await asyncio.sleep(0.02)
            client.gate.set()
            await asyncio.sleep(0)
            client.gate.clear()

    responding = asyncio.create_task(respond_slowly())
    results = await asyncio.gather(*(store.load("a") for _ in range(1000)), return_exceptions=True)
    responding.cancel()
    errors = [str(result) for result in results if result is not None]
    assert 0 < len(errors) < 1000
    assert {error.split(",")[0] for error in errors} == {"Redis: too many calls wait"}


@pytest.mark.asyncio
async def test_held_lock_is_renewed_and_released_while_all_places_are_taken(monkeypatch):
    client = Gate()
    client.gate.set()
    store = RedisTokenStore(client, timeout=BOUND)
    renewals, release, is_set_within = 0, asyncio.Event(), lock._is_set_within
    monkeypatch.setattr(lock, "_is_set_within", lambda event, _: is_set_within(event, 0.005))

    class Counting(Gate):
        async def eval(self, script, *arguments):
            nonlocal renewals
            if script in {lock.RENEW, lock.RELEASE}:
                renewals += script == lock.RENEW
                return 1
            return await client.eval(script, *arguments)

    store._scripts._redis = Counting()
    async with asyncio.timeout(BOUND):
        async with store.lock("a"):
            client.gate.clear()
            calls = [asyncio.create_task(store.load("b")) for _ in range(100)]
            await asyncio.sleep(0.01)
            before = renewals
            while renewals < before + 3:
                await asyncio.sleep(0.005)
    assert not release.is_set()
    client.gate.set()
    assert await asyncio.gather(*calls) == [None] * 100


@pytest.mark.asyncio
async def test_call_cancelled_in_the_queue_leaves_its_place_to_the_next(monkeypatch):
    client = Gate()
    store = RedisTokenStore(client, timeout=BOUND)
    calls = [asyncio.create_task(store.load("a")) for _ in range(40)]
    await asyncio.sleep(0.01)
    for call in calls[20:]:
        call.cancel()
    assert len(await asyncio.gather(*calls[20:], return_exceptions=True)) == 20
    client.gate.set()
    assert await asyncio.gather(*calls[:20]) == [None] * 20
    client.gate.clear()
    again = [asyncio.create_task(store.load("a")) for _ in range(33)]
    await asyncio.sleep(0.01)
    assert client.running == 32
    client.gate.set()
    await asyncio.gather(*again)


@pytest.mark.asyncio
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "volatile-lru", "allkeys-random"])
@pytest.mark.parametrize("kind", KINDS)
async def test_policy_that_evicts_is_warned_about_once_per_store(own_redis, open_redis, caplog, policy, kind):
    own_redis.send("CONFIG", "SET", "maxmemory-policy", policy)
    client = open_redis(own_redis)
    store = kind(client)
    await asyncio.gather(*(store.load("a") for _ in range(5)))
    await store.load("a")
    assert caplog.text.count(f"its maxmemory-policy is {policy}") == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    await kind(client).load("a")
    assert caplog.text.count(f"its maxmemory-policy is {policy}") == 2


@pytest.mark.asyncio
async def test_policy_that_does_not_evict_is_not_logged(shared_redis, open_redis, prefix, caplog):
    await RedisTokenStore(open_redis(shared_redis), prefix=prefix).load("a")
    assert caplog.text == ""


@pytest.mark.asyncio
async def test_policy_that_may_not_be_read_is_not_logged(own_redis, open_redis, caplog):
    own_redis.send("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    own_redis.send("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-@dangerous", "-@admin")
    store = RedisTokenStore(open_redis(own_redis, username="app", password="pw"))
    await store.save("a", stored(1), replaces=None)
    assert await store.load("a") == stored(1)
    async with store.lock("a"):
        await store.delete("a")
    assert [user async for user in store.users()] == []
    assert caplog.text == ""


@pytest.mark.asyncio
async def test_policy_is_read_after_the_first_call_that_succeeds(own_redis, open_redis, caplog):
    own_redis.send("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    store = RedisTokenStore(open_redis(own_redis), lock_timeout=0.1)
    own_redis.stop()
    with pytest.raises(StoreError):
        await take_lock(store)
    own_redis.start()
    own_redis.send("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await store.load("a")
    assert "maxmemory-policy" in caplog.text
