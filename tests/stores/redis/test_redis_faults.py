"""Fault 30 (docs/reliability.md): the server is down, suspended, or restarts empty; a lock is lost while it is held."""

import asyncio
import contextvars

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from tests.helpers.secrecy import error_texts
from tests.helpers.store_failures import check_every_method_fails, take_lock
from tests.helpers.stored_values import flow, stored
from twilio_oauth_async import StoreConflict, StoreError
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

pytestmark = pytest.mark.asyncio

EPOCH = stored().epoch


@pytest.mark.parametrize("retries", [0, 3])
async def test_server_down_every_method_raises_store_error(own_redis, open_redis, caplog, retries):
    client = open_redis(own_redis, retry=Retry(ConstantBackoff(0.01), retries))
    tokens, flows = (kind(client) for kind in (RedisTokenStore, RedisFlowStore))
    await tokens.save("a", stored(1), replaces=EPOCH)
    own_redis.stop()
    await check_every_method_fails(tokens, flows, caplog)
    own_redis.start()
    await tokens.save("a", stored(1), replaces=EPOCH)
    assert await tokens.load("a") == stored(1)


async def test_server_suspended_every_method_raises_store_error_in_time(own_redis, own_client, caplog):
    await RedisTokenStore(own_client).save("a", stored(1), replaces=EPOCH)
    with own_redis.suspended():
        await check_every_method_fails(
            *(kind(own_client, timeout=0.05) for kind in (RedisTokenStore, RedisFlowStore)), caplog
        )
    await RedisTokenStore(own_client).save("a", stored(2), replaces=EPOCH)


async def test_server_turned_into_a_replica_raises_store_error_on_writes(own_redis, own_client):
    store = RedisTokenStore(own_client)
    await store.save("a", stored(1), replaces=EPOCH)
    own_redis.send("REPLICAOF", "127.0.0.1", "1")
    for call in (store.save("a", stored(2), replaces=EPOCH), store.delete("a"), take_lock(store)):
        with pytest.raises(StoreError, match="ReadOnlyError"):
            await call
    own_redis.send("REPLICAOF", "NO", "ONE")
    assert await store.load("a") == stored(1)


async def test_server_out_of_memory_refuses_new_values_and_accepts_rotations_deletions_and_ends(own_redis, own_client):
    """What is only known to this process, such as a rotation, is saved; a script is never stopped half-way."""
    store, flows = RedisTokenStore(own_client), RedisFlowStore(own_client)
    for user in "ab":
        await store.save(user, stored(1), replaces=None)
        await flows.create(flow(user), owner="me", seconds=60)
    own_redis.send("CONFIG", "SET", "maxmemory", "1")
    for call in (
        store.save("c", stored(1), replaces=None),
        take_lock(store),
        flows.create(flow("c"), owner="me", seconds=60),
        flows.lease(["a"], "me", 60),
    ):
        with pytest.raises(StoreError, match=r"OutOfMemory|OOM"):
            await call
    await store.save("a", stored(2), replaces=EPOCH)
    for user in "bd":
        await store.delete(user)
    assert await flows.grant("a", "me")
    assert await flows.end("b", "denied")
    await flows.release(["a"], "me")
    assert await store.load("a") == stored(2)
    assert await store.is_deleted("b")
    assert await store.load("c") is None
    assert await flows.load("c") is None
    assert [(await flows.load(id_)).state for id_ in "ab"] == ["granted", "denied"]


async def test_short_pause_of_the_server_is_waited_for(own_redis, own_client):
    store = RedisTokenStore(own_client)
    own_redis.send("CLIENT", "PAUSE", "100", "ALL")
    async with store.lock("a"):
        await store.save("a", stored(1), replaces=EPOCH)
    assert await store.load("a") == stored(1)


async def delete_lock(server):
    server.delete_lock()


async def flush(server):
    server.send("FLUSHALL")


async def restart(server):
    server.stop()
    server.start()


LOSSES = [delete_lock, flush, restart]


@pytest.mark.parametrize("lose", LOSSES)
async def test_lost_lock_allows_only_the_save_of_a_new_rotation(own_redis, open_own_store, lose):
    store = open_own_store()
    await store.save("a", stored(5), replaces=EPOCH)
    async with store.lock("a"):
        assert await store.load("a") == stored(5)
        await lose(own_redis)
        await error_texts(store.load("b"))  # older clients fail once where the connection was closed
        # The mark before a refresh: without it no request is sent, so none is sent without the lock.
        assert "lock was lost" in (await error_texts(store.save("a", stored(5, unanswered=1), replaces=EPOCH)))[0]
        # The response to a refresh that had been sent before: the only copy of a valid refresh token.
        await store.save("a", stored(6), replaces=EPOCH)
        assert await store.load("a") == stored(6)
        assert "lock was lost" in (await error_texts(store.save("a", stored(6, unanswered=1), replaces=EPOCH)))[0]
        assert "lock was lost" in (await error_texts(store.delete("a")))[0]
    assert await store.load("a") == stored(6)
    async with store.lock("a"):
        await store.delete("a")


async def test_lost_lock_allows_the_save_of_a_new_sign_in(own_redis, open_own_store):
    store = open_own_store()
    await store.save("a", stored(5), replaces=EPOCH)
    async with store.lock("a"):
        await store.load("a")
        own_redis.delete_lock()
        new = stored(1, code="next", signed_in=1)
        with pytest.raises(StoreConflict, match="another sign-in"):
            await store.save("a", new, replaces=None)
        await store.save("a", new, replaces=EPOCH)
        marked = stored(1, 1, code="next", signed_in=1)
        assert "lock was lost" in (await error_texts(store.save("a", marked, replaces=new.epoch)))[0]
    assert await store.load("a") == new


async def test_lock_lost_and_token_deleted_meanwhile_rotation_is_not_saved(own_redis, open_own_store):
    store, other = open_own_store(), open_own_store()
    await store.save("a", stored(5), replaces=EPOCH)
    async with store.lock("a"):
        await store.load("a")
        own_redis.delete_lock()
        await asyncio.create_task(other.delete("a"), context=contextvars.Context())
        with pytest.raises(StoreConflict, match="deleted"):
            await store.save("a", stored(6), replaces=EPOCH)
        await store.delete("a")
    assert await store.is_deleted("a")


@pytest.mark.parametrize("lose", LOSSES)
async def test_lost_lock_newest_rotation_of_both_holders_is_kept(own_redis, open_own_store, lose):
    old, new = open_own_store(), open_own_store()
    await old.save("a", stored(5), replaces=EPOCH)

    async with old.lock("a"):
        await old.load("a")
        await lose(own_redis)
        await error_texts(old.load("b"))
        context = contextvars.copy_context()

        async def take_over():
            async with new.lock("a"):
                await new.save("a", stored(5, unanswered=1), replaces=EPOCH)
                with pytest.raises(StoreError, match="lock was lost"):
                    await as_old_holder(old.save("a", stored(5), replaces=EPOCH))
                await as_old_holder(old.save("a", stored(6, scope="of the old holder"), replaces=EPOCH))
                with pytest.raises(StoreConflict):
                    await new.save("a", stored(5, unanswered=2), replaces=EPOCH)
                await new.save("a", stored(6, scope="of the new holder"), replaces=EPOCH)
                with pytest.raises(StoreError, match="lock was lost"):
                    await as_old_holder(old.save("a", stored(6, scope="of the old holder"), replaces=EPOCH))
                with pytest.raises(StoreError, match="lock was lost"):
                    await as_old_holder(old.delete("a"))
                await as_old_holder(old.save("a", stored(7), replaces=EPOCH))

        async def as_old_holder(call):
            """Run in the context of the task whose lock was lost."""
            await asyncio.create_task(call, context=context)

        await asyncio.create_task(take_over(), context=contextvars.Context())
    assert await new.load("a") == stored(7)


async def test_two_holders_lost_the_lock_newest_rotation_of_the_later_one_is_kept(own_redis, open_own_store):
    stores, contexts = [open_own_store(), open_own_store()], [contextvars.Context(), contextvars.Context()]
    await stores[0].save("a", stored(5), replaces=EPOCH)
    holds = [store.lock("a") for store in stores]

    def inside(number, call):
        return asyncio.create_task(call, context=contexts[number])

    for number in (0, 1):
        await inside(number, holds[number].__aenter__())
        await inside(number, stores[number].load("a"))
        own_redis.delete_lock()
    await inside(0, stores[0].save("a", stored(6, scope="first"), replaces=EPOCH))
    await inside(1, stores[1].save("a", stored(6, scope="second"), replaces=EPOCH))
    with pytest.raises(StoreError, match="lock was lost"):
        await inside(0, stores[0].save("a", stored(6, scope="first"), replaces=EPOCH))
    assert await stores[0].load("a") == stored(6, scope="second")
    await inside(1, stores[1].save("a", stored(7, scope="second"), replaces=EPOCH))
    with pytest.raises(StoreError, match="lock was lost"):
        await inside(0, stores[0].save("a", stored(7, scope="first"), replaces=EPOCH))
    assert await stores[0].load("a") == stored(7, scope="second")
    for number in (0, 1):
        await inside(number, holds[number].__aexit__(None, None, None))
