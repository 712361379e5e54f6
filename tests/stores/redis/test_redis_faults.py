"""Row 30: the server is down, stands still, comes back empty, forgets; the lock is lost while it is held."""

import asyncio
import contextvars
import logging
import time

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from tests.helpers.flow_store_contract import at, flow
from tests.helpers.stored_values import CANARY, stored, told_by
from twilio_oauth_async import StoreConflict, StoreError
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore, lock

BOUND = 4.0
"""Seconds: less than a store waits by default, and enough for a busy machine."""

pytestmark = pytest.mark.asyncio


@pytest.fixture
def client(own_redis, open_redis):
    return open_redis(own_redis)


@pytest.fixture
def open_store(client):
    return lambda **options: RedisTokenStore(client, **{"lock_timeout": 0.3, **options})


async def take_lock(store):
    async with store.lock("a"):
        pytest.fail("there is nobody to give it")


def calls(tokens, flows):
    """Every method of both stores."""
    return {
        "load": lambda: tokens.load("a"),
        "save": lambda: tokens.save("a", stored(2)),
        "delete": lambda: tokens.delete("a"),
        "lock": lambda: take_lock(tokens),
        "flow load": lambda: flows.load("a"),
        "flow save": lambda: flows.save(flow()),
        "flow delete": lambda: flows.delete("a"),
        "flow claim": lambda: flows.claim("a", "me", at(60)),
        "flow list_due": flows.list_due,
    }


async def all_fail(tokens, flows, caplog):
    """Each method raises StoreError in bounded time, and nothing is told but the kind of failure."""
    caplog.set_level(logging.DEBUG)
    for name, call in calls(tokens, flows).items():
        begun = time.monotonic()
        told = await told_by(call())
        assert told, name
        assert told[1].startswith("StoreError('Redis: "), told
        assert time.monotonic() - begun < BOUND, name
        assert not [text for text in (*told, caplog.text) if CANARY in text]


@pytest.mark.parametrize("retries", [0, 3])
async def test_the_server_is_down(own_redis, open_redis, caplog, retries):
    client = open_redis(own_redis, retry=Retry(ConstantBackoff(0.01), retries))
    tokens, flows = (kind(client) for kind in (RedisTokenStore, RedisFlowStore))
    await tokens.save("a", stored(1))
    own_redis.stop()
    await all_fail(tokens, flows, caplog)
    own_redis.start()
    await tokens.save("a", stored(1))
    assert await tokens.load("a") == stored(1)


async def test_the_server_stands_still(own_redis, client, caplog):
    await RedisTokenStore(client).save("a", stored(1))
    with own_redis.standing_still():
        await all_fail(*(kind(client, timeout=0.05) for kind in (RedisTokenStore, RedisFlowStore)), caplog)
    await RedisTokenStore(client).save("a", stored(2))


async def test_a_fail_over_made_it_a_replica(own_redis, client):
    store = RedisTokenStore(client)
    await store.save("a", stored(1))
    own_redis.tell("REPLICAOF", "127.0.0.1", "1")
    for call in (store.save("a", stored(2)), store.delete("a"), take_lock(store)):
        with pytest.raises(StoreError, match="ReadOnlyError"):
            await call
    own_redis.tell("REPLICAOF", "NO", "ONE")
    assert await store.load("a") == stored(1)


async def test_the_server_s_memory_is_full(own_redis, client):
    store = RedisTokenStore(client)
    await store.save("a", stored(1))
    own_redis.tell("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreError, match=r"OutOfMemory|OOM"):
        await store.save("a", stored(2))
    own_redis.tell("CONFIG", "SET", "maxmemory", "0")
    assert await store.load("a") == stored(1)


async def test_a_short_pause_is_waited_for(own_redis, client):
    store = RedisTokenStore(client)
    own_redis.tell("CLIENT", "PAUSE", "100", "ALL")
    async with store.lock("a"):
        await store.save("a", stored(1))
    assert await store.load("a") == stored(1)


async def test_the_wait_for_somebody_else_s_lock_is_bounded(open_store):
    store, other = open_store(), open_store()
    async with store.lock("a"):
        for which, reason in ((other, "another process"), (store, "another task")):
            told = await told_by(take_lock(which))
            assert reason in told[0]
    async with other.lock("a"):
        pass


async def expire(server):
    server.tell("DEL", "twilio-oauth:1:{a}:lock")


async def flush(server):
    server.tell("FLUSHALL")


async def restart(server):
    server.stop()
    server.start()


LOSSES = [expire, flush, restart]


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_lost_lock_lets_only_a_new_rotation_through(own_redis, open_store, lose):
    store = open_store()
    await store.save("a", stored(5))
    async with store.lock("a"):
        assert await store.load("a") == stored(5)
        await lose(own_redis)
        await told_by(store.load("b"))  # older clients fail once with a connection that has gone
        # The mark before a refresh: without it no request is sent, so none is sent without the lock.
        assert "lock was lost" in (await told_by(store.save("a", stored(5, unanswered=1))))[0]
        # The answer of a refresh that had been sent before: the only copy of a living refresh token.
        await store.save("a", stored(6))
        assert await store.load("a") == stored(6)
        assert "lock was lost" in (await told_by(store.save("a", stored(6, unanswered=1))))[0]
        assert "lock was lost" in (await told_by(store.delete("a")))[0]
    assert await store.load("a") == stored(6)
    async with store.lock("a"):
        await store.delete("a")


@pytest.mark.parametrize("lose", LOSSES)
async def test_of_the_old_holder_and_the_new_one_the_newest_rotation_wins(own_redis, open_store, lose):
    old, new = open_store(), open_store()
    await old.save("a", stored(5))

    async with old.lock("a"):
        await old.load("a")
        await lose(own_redis)
        await told_by(old.load("b"))
        context = contextvars.copy_context()

        async def take_over():
            async with new.lock("a"):
                await new.save("a", stored(5, unanswered=1))
                with pytest.raises(StoreError, match="lock was lost"):
                    await old_one(old.save("a", stored(5)))
                await old_one(old.save("a", stored(6, scope="of the old holder")))
                with pytest.raises(StoreConflict):
                    await new.save("a", stored(5, unanswered=2))
                await new.save("a", stored(6, scope="of the new holder"))
                with pytest.raises(StoreError, match="lock was lost"):
                    await old_one(old.save("a", stored(6, scope="of the old holder")))
                with pytest.raises(StoreError, match="lock was lost"):
                    await old_one(old.delete("a"))
                await old_one(old.save("a", stored(7)))

        async def old_one(call):
            """In the context of the task that believes to hold the lock."""
            await asyncio.create_task(call, context=context)

        await asyncio.create_task(take_over(), context=contextvars.Context())
    assert await new.load("a") == stored(7)


async def test_who_has_lost_a_lock_does_not_give_the_next_holder_s_away(own_redis, open_store):
    old, new, third = (open_store() for _ in range(3))
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold():
        async with new.lock("a"):
            entered.set()
            await leave.wait()

    async with old.lock("a"):
        await expire(own_redis)
        holding = asyncio.create_task(hold())
        await entered.wait()
    assert "another process" in (await told_by(take_lock(third)))[0]
    leave.set()
    await holding
    async with third.lock("a"):
        pass


async def test_of_two_holders_who_lost_it_the_later_one_has_the_newer_rotation(own_redis, open_store):
    stores, contexts = [open_store(), open_store()], [contextvars.Context(), contextvars.Context()]
    await stores[0].save("a", stored(5))
    holds = [store.lock("a") for store in stores]

    def inside(number, call):
        return asyncio.create_task(call, context=contexts[number])

    for number in (0, 1):
        await inside(number, holds[number].__aenter__())
        await inside(number, stores[number].load("a"))
        await expire(own_redis)
    await inside(0, stores[0].save("a", stored(6, scope="first")))
    await inside(1, stores[1].save("a", stored(6, scope="second")))
    with pytest.raises(StoreError, match="lock was lost"):
        await inside(0, stores[0].save("a", stored(6, scope="first")))
    assert await stores[0].load("a") == stored(6, scope="second")
    for number in (0, 1):
        await inside(number, holds[number].__aexit__(None, None, None))


async def test_a_lock_is_renewed_three_times_in_its_lifetime_while_it_is_held(own_redis, open_store, monkeypatch):
    store, waits, comes = open_store(lock_lifetime=30), [], lock._is_set_within

    def sooner(event, seconds):
        waits.append(seconds)
        return comes(event, 0.01)

    def seconds_left():
        return int(own_redis.tell("PTTL", "twilio-oauth:1:{a}:lock").strip(":\r\n")) / 1000

    monkeypatch.setattr(lock, "_is_set_within", sooner)
    async with store.lock("a"):
        own_redis.tell("PEXPIRE", "twilio-oauth:1:{a}:lock", "9000")
        async with asyncio.timeout(BOUND):
            while not 25 < seconds_left() <= 30:
                await asyncio.sleep(0.005)
    renewed = len(waits)
    await asyncio.sleep(0.05)
    assert len(waits) == renewed
    assert set(waits) == {10}


async def test_a_loss_is_noticed_and_told_while_it_is_held(own_redis, open_store, caplog):
    store = open_store(lock_lifetime=0.06)
    async with store.lock("a"):
        await expire(own_redis)
        async with asyncio.timeout(BOUND):
            while "was lost while it was held" not in caplog.text:
                await asyncio.sleep(0.01)
    assert caplog.text.count("the lock on a key was lost") == 1


async def test_the_server_goes_and_comes_while_a_lock_is_held(own_redis, open_store, caplog):
    """What was done under it is not taken for a failure because it cannot be given back."""
    store = open_store(lock_lifetime=0.06)
    begun = time.monotonic()
    async with store.lock("a"):
        await store.save("a", stored(1))
        own_redis.stop()
        async with asyncio.timeout(BOUND):
            while "could not be renewed" not in caplog.text:
                await asyncio.sleep(0.01)
    assert "could not be released" in caplog.text
    assert CANARY not in caplog.text
    assert time.monotonic() - begun < 2 * BOUND
    own_redis.start()
    async with store.lock("a"):
        await store.save("a", stored(1))


async def test_a_renewal_that_failed_is_tried_again(own_redis, open_store, monkeypatch, caplog):
    store = open_store()
    comes = lock._is_set_within
    monkeypatch.setattr(lock, "_is_set_within", lambda event, _: comes(event, 0.01))
    async with store.lock("a"):
        for times in (1, 2):
            own_redis.tell("REPLICAOF", "127.0.0.1", "1")
            async with asyncio.timeout(BOUND):
                while caplog.text.count("could not be renewed") < times:
                    await asyncio.sleep(0.01)
            own_redis.tell("REPLICAOF", "NO", "ONE")
            await asyncio.sleep(0.1)
        await store.save("a", stored(1))
        await store.save("a", stored(1, unanswered=1))
    assert caplog.text.count("could not be renewed") == 2


async def test_cancelled_while_the_lock_is_given_back(own_redis, open_store):
    store = open_store()

    async def hold(entered, leave):
        async with store.lock("a"):
            entered.set()
            await leave.wait()

    entered, leave = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(hold(entered, leave))
    await entered.wait()
    with own_redis.standing_still():
        leave.set()
        await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.sleep(0.03)
        assert not task.done()
    await asyncio.wait([task])
    assert task.cancelled()
    assert own_redis.tell("EXISTS", "twilio-oauth:1:{a}:lock").strip() == ":0"


async def test_waiters_that_are_cancelled_while_the_server_stands_still_leave_no_lock(own_redis, open_store):
    store = open_store()
    await store.load("a")  # the connection is there

    async def hold():
        async with store.lock("a"):
            await asyncio.Event().wait()

    with own_redis.standing_still():
        task = asyncio.create_task(hold())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()  # what has been sent will be acted on: its outcome is awaited
    await asyncio.wait([task])
    assert task.cancelled()
    assert own_redis.tell("EXISTS", "twilio-oauth:1:{a}:lock").strip() == ":0"


async def test_a_hundred_calls_at_once_do_not_exhaust_the_pool(own_redis, open_redis):
    store = RedisTokenStore(open_redis(own_redis, max_connections=40))
    await store.save("a", stored(1))
    assert await asyncio.gather(*(store.load("a") for _ in range(100))) == [stored(1)] * 100
