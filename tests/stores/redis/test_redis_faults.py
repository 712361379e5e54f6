"""Fault 30 (docs/reliability.md): the server is down, suspended, or restarts empty; a lock is lost while it is held."""

import asyncio
import contextvars
import time

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from tests.helpers.secrecy import error_texts
from tests.helpers.store_failures import BOUND, check_every_method_fails, take_lock
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async import StoreConflict, StoreError
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore, lock

pytestmark = pytest.mark.asyncio


@pytest.fixture
def client(own_redis, open_redis):
    return open_redis(own_redis)


@pytest.fixture
def open_store(client):
    return lambda **options: RedisTokenStore(client, **{"lock_timeout": 0.3, **options})


@pytest.mark.parametrize("retries", [0, 3])
async def test_server_down_every_method_raises_store_error(own_redis, open_redis, caplog, retries):
    client = open_redis(own_redis, retry=Retry(ConstantBackoff(0.01), retries))
    tokens, flows = (kind(client) for kind in (RedisTokenStore, RedisFlowStore))
    await tokens.save("a", stored(1))
    own_redis.stop()
    await check_every_method_fails(tokens, flows, caplog)
    own_redis.start()
    await tokens.save("a", stored(1))
    assert await tokens.load("a") == stored(1)


async def test_server_suspended_every_method_raises_store_error_in_time(own_redis, client, caplog):
    await RedisTokenStore(client).save("a", stored(1))
    with own_redis.suspended():
        await check_every_method_fails(
            *(kind(client, timeout=0.05) for kind in (RedisTokenStore, RedisFlowStore)), caplog
        )
    await RedisTokenStore(client).save("a", stored(2))


async def test_server_turned_into_a_replica_raises_store_error_on_writes(own_redis, client):
    store = RedisTokenStore(client)
    await store.save("a", stored(1))
    own_redis.send("REPLICAOF", "127.0.0.1", "1")
    for call in (store.save("a", stored(2)), store.delete("a"), take_lock(store)):
        with pytest.raises(StoreError, match="ReadOnlyError"):
            await call
    own_redis.send("REPLICAOF", "NO", "ONE")
    assert await store.load("a") == stored(1)


async def test_server_out_of_memory_raises_store_error_and_keeps_the_token(own_redis, client):
    store = RedisTokenStore(client)
    await store.save("a", stored(1))
    own_redis.send("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreError, match=r"OutOfMemory|OOM"):
        await store.save("a", stored(2))
    own_redis.send("CONFIG", "SET", "maxmemory", "0")
    assert await store.load("a") == stored(1)


async def test_short_pause_of_the_server_is_waited_for(own_redis, client):
    store = RedisTokenStore(client)
    own_redis.send("CLIENT", "PAUSE", "100", "ALL")
    async with store.lock("a"):
        await store.save("a", stored(1))
    assert await store.load("a") == stored(1)


async def test_wait_for_a_held_lock_is_bounded(open_store):
    store, other = open_store(), open_store()
    async with store.lock("a"):
        for which, reason in ((other, "another process"), (store, "another task")):
            assert reason in (await error_texts(take_lock(which)))[0]
    async with other.lock("a"):
        pass


async def delete_lock(server):
    server.delete_lock()


async def flush(server):
    server.send("FLUSHALL")


async def restart(server):
    server.stop()
    server.start()


LOSSES = [delete_lock, flush, restart]


@pytest.mark.parametrize("lose", LOSSES)
async def test_lost_lock_allows_only_the_save_of_a_new_rotation(own_redis, open_store, lose):
    store = open_store()
    await store.save("a", stored(5))
    async with store.lock("a"):
        assert await store.load("a") == stored(5)
        await lose(own_redis)
        await error_texts(store.load("b"))  # older clients fail once where the connection was closed
        # The mark before a refresh: without it no request is sent, so none is sent without the lock.
        assert "lock was lost" in (await error_texts(store.save("a", stored(5, unanswered=1))))[0]
        # The response to a refresh that had been sent before: the only copy of a valid refresh token.
        await store.save("a", stored(6))
        assert await store.load("a") == stored(6)
        assert "lock was lost" in (await error_texts(store.save("a", stored(6, unanswered=1))))[0]
        assert "lock was lost" in (await error_texts(store.delete("a")))[0]
    assert await store.load("a") == stored(6)
    async with store.lock("a"):
        await store.delete("a")


@pytest.mark.parametrize("lose", LOSSES)
async def test_lost_lock_newest_rotation_of_both_holders_is_kept(own_redis, open_store, lose):
    old, new = open_store(), open_store()
    await old.save("a", stored(5))

    async with old.lock("a"):
        await old.load("a")
        await lose(own_redis)
        await error_texts(old.load("b"))
        context = contextvars.copy_context()

        async def take_over():
            async with new.lock("a"):
                await new.save("a", stored(5, unanswered=1))
                with pytest.raises(StoreError, match="lock was lost"):
                    await as_old_holder(old.save("a", stored(5)))
                await as_old_holder(old.save("a", stored(6, scope="of the old holder")))
                with pytest.raises(StoreConflict):
                    await new.save("a", stored(5, unanswered=2))
                await new.save("a", stored(6, scope="of the new holder"))
                with pytest.raises(StoreError, match="lock was lost"):
                    await as_old_holder(old.save("a", stored(6, scope="of the old holder")))
                with pytest.raises(StoreError, match="lock was lost"):
                    await as_old_holder(old.delete("a"))
                await as_old_holder(old.save("a", stored(7)))

        async def as_old_holder(call):
            """Run in the context of the task whose lock was lost."""
            await asyncio.create_task(call, context=context)

        await asyncio.create_task(take_over(), context=contextvars.Context())
    assert await new.load("a") == stored(7)


async def test_release_of_a_lost_lock_keeps_the_next_holder_s_lock(own_redis, open_store):
    old, new, third = (open_store() for _ in range(3))
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold():
        async with new.lock("a"):
            entered.set()
            await leave.wait()

    async with old.lock("a"):
        own_redis.delete_lock()
        holding = asyncio.create_task(hold())
        await entered.wait()
    assert "another process" in (await error_texts(take_lock(third)))[0]
    leave.set()
    await holding
    async with third.lock("a"):
        pass


async def test_two_holders_lost_the_lock_newest_rotation_of_the_later_one_is_kept(own_redis, open_store):
    stores, contexts = [open_store(), open_store()], [contextvars.Context(), contextvars.Context()]
    await stores[0].save("a", stored(5))
    holds = [store.lock("a") for store in stores]

    def inside(number, call):
        return asyncio.create_task(call, context=contexts[number])

    for number in (0, 1):
        await inside(number, holds[number].__aenter__())
        await inside(number, stores[number].load("a"))
        own_redis.delete_lock()
    await inside(0, stores[0].save("a", stored(6, scope="first")))
    await inside(1, stores[1].save("a", stored(6, scope="second")))
    with pytest.raises(StoreError, match="lock was lost"):
        await inside(0, stores[0].save("a", stored(6, scope="first")))
    assert await stores[0].load("a") == stored(6, scope="second")
    for number in (0, 1):
        await inside(number, holds[number].__aexit__(None, None, None))


async def test_held_lock_is_renewed_three_times_in_its_lifetime(own_redis, open_store, monkeypatch):
    store, waits, is_set_within = open_store(lock_lifetime=30), [], lock._is_set_within

    def wait_shortly(event, seconds):
        waits.append(seconds)
        return is_set_within(event, 0.01)

    def seconds_left():
        return int(own_redis.send("PTTL", "twilio-oauth:1:{a}:lock").strip(":\r\n")) / 1000

    monkeypatch.setattr(lock, "_is_set_within", wait_shortly)
    async with store.lock("a"):
        own_redis.send("PEXPIRE", "twilio-oauth:1:{a}:lock", "9000")
        async with asyncio.timeout(BOUND):
            while not 25 < seconds_left() <= 30:
                await asyncio.sleep(0.005)
    renewed = len(waits)
    await asyncio.sleep(0.05)
    assert len(waits) == renewed
    assert set(waits) == {10}


async def test_lost_lock_is_logged_while_it_is_held(own_redis, open_store, caplog):
    store = open_store(lock_lifetime=0.06)
    async with store.lock("a"):
        own_redis.delete_lock()
        async with asyncio.timeout(BOUND):
            while "was lost while it was held" not in caplog.text:
                await asyncio.sleep(0.01)
    assert caplog.text.count("the lock on a key was lost") == 1


async def test_server_stopped_while_a_lock_is_held_release_failure_is_only_logged(own_redis, open_store, caplog):
    """The body of the lock has succeeded, so a release that fails must not raise."""
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


async def test_failed_lock_renewal_is_retried(own_redis, open_store, monkeypatch, caplog):
    store = open_store()
    is_set_within = lock._is_set_within
    monkeypatch.setattr(lock, "_is_set_within", lambda event, _: is_set_within(event, 0.01))
    async with store.lock("a"):
        for times in (1, 2):
            own_redis.send("REPLICAOF", "127.0.0.1", "1")
            async with asyncio.timeout(BOUND):
                while caplog.text.count("could not be renewed") < times:
                    await asyncio.sleep(0.01)
            own_redis.send("REPLICAOF", "NO", "ONE")
            await asyncio.sleep(0.1)
        await store.save("a", stored(1))
        await store.save("a", stored(1, unanswered=1))
    assert caplog.text.count("could not be renewed") == 2


async def test_cancelled_during_release_lock_is_released(own_redis, open_store):
    store = open_store()

    async def hold(entered, leave):
        async with store.lock("a"):
            entered.set()
            await leave.wait()

    entered, leave = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(hold(entered, leave))
    await entered.wait()
    with own_redis.suspended():
        leave.set()
        await asyncio.sleep(0.03)
        task.cancel()
        await asyncio.sleep(0.03)
        assert not task.done()
    await asyncio.wait([task])
    assert task.cancelled()
    assert own_redis.send("EXISTS", "twilio-oauth:1:{a}:lock").strip() == ":0"


async def test_cancelled_while_acquiring_on_suspended_server_leaves_no_lock(own_redis, open_store):
    store = open_store()
    await store.load("a")  # the connection is there

    async def hold():
        async with store.lock("a"):
            await asyncio.Event().wait()

    with own_redis.suspended():
        task = asyncio.create_task(hold())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()  # the command was sent and will be executed: its result is awaited
    await asyncio.wait([task])
    assert task.cancelled()
    assert own_redis.send("EXISTS", "twilio-oauth:1:{a}:lock").strip() == ":0"


async def test_hundred_concurrent_calls_do_not_exhaust_the_connection_pool(own_redis, open_redis):
    store = RedisTokenStore(open_redis(own_redis, max_connections=40))
    await store.save("a", stored(1))
    assert await asyncio.gather(*(store.load("a") for _ in range(100))) == [stored(1)] * 100
