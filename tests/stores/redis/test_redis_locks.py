"""Locks of the Redis store: renewal, loss, release and cancellation (fault 30, docs/reliability.md)."""

import asyncio
import time

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.store_failures import BOUND, take_lock
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async.stores.redis import lock

pytestmark = pytest.mark.asyncio

EPOCH = stored().epoch


async def test_wait_for_a_held_lock_is_bounded(open_own_store):
    store, other = open_own_store(), open_own_store()
    async with store.lock("a"):
        for which, reason in ((other, "another process"), (store, "another task")):
            assert reason in (await error_texts(take_lock(which)))[0]
    async with other.lock("a"):
        pass


async def test_release_of_a_lost_lock_keeps_the_next_holder_s_lock(own_redis, open_own_store):
    old, new, third = (open_own_store() for _ in range(3))
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


async def test_held_lock_is_renewed_three_times_in_its_lifetime(own_redis, open_own_store, monkeypatch):
    store, waits, is_set_within = open_own_store(lock_lifetime=30), [], lock._is_set_within

    def wait_shortly(event, seconds):
        waits.append(seconds)
        return is_set_within(event, 0.01)

    def seconds_left():
        return int(own_redis.send("PTTL", "twilio-oauth:2:{a}:lock").strip(":\r\n")) / 1000

    monkeypatch.setattr(lock, "_is_set_within", wait_shortly)
    async with store.lock("a"):
        own_redis.send("PEXPIRE", "twilio-oauth:2:{a}:lock", "9000")
        async with asyncio.timeout(BOUND):
            while not 25 < seconds_left() <= 30:
                await asyncio.sleep(0.005)
    renewed = len(waits)
    await asyncio.sleep(0.05)
    assert len(waits) == renewed
    assert set(waits) == {10}


async def test_lost_lock_is_logged_while_it_is_held(own_redis, open_own_store, caplog):
    store = open_own_store(lock_lifetime=0.06)
    async with store.lock("a"):
        own_redis.delete_lock()
        async with asyncio.timeout(BOUND):
            while "was lost while it was held" not in caplog.text:
                await asyncio.sleep(0.01)
    assert caplog.text.count("the lock on a key was lost") == 1


async def test_server_stopped_while_a_lock_is_held_release_failure_is_only_logged(own_redis, open_own_store, caplog):
    """The body of the lock has succeeded, so a release that fails must not raise."""
    store = open_own_store(lock_lifetime=0.06)
    begun = time.monotonic()
    async with store.lock("a"):
        await store.save("a", stored(1), replaces=EPOCH)
        own_redis.stop()
        async with asyncio.timeout(BOUND):
            while "could not be renewed" not in caplog.text:
                await asyncio.sleep(0.01)
    assert "could not be released" in caplog.text
    assert CANARY not in caplog.text
    assert time.monotonic() - begun < 2 * BOUND
    own_redis.start()
    async with store.lock("a"):
        await store.save("a", stored(1), replaces=EPOCH)


async def test_failed_lock_renewal_is_retried(own_redis, open_own_store, monkeypatch, caplog):
    store = open_own_store()
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
        await store.save("a", stored(1), replaces=EPOCH)
        await store.save("a", stored(1, unanswered=1), replaces=EPOCH)
    assert caplog.text.count("could not be renewed") == 2


async def test_cancelled_during_release_lock_is_released(own_redis, open_own_store):
    store = open_own_store()

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
    assert own_redis.send("EXISTS", "twilio-oauth:2:{a}:lock").strip() == ":0"


async def test_cancelled_while_acquiring_on_suspended_server_leaves_no_lock(own_redis, open_own_store):
    store = open_own_store()
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
    assert own_redis.send("EXISTS", "twilio-oauth:2:{a}:lock").strip() == ":0"
