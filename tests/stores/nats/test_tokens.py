"""What the NATS stores do beyond the contracts: fences, faults of the server, encryption, and changes elsewhere."""

import asyncio
import logging
import secrets

import attrs
import pytest
from cryptography.fernet import Fernet

from tests.helpers.nats_server import NatsServer, until
from tests.helpers.scripted_manager import ScriptedGrant
from twilio_oauth_async import ConfigurationError, StoreConflict, StoreError, TokenManagers, VirtualClock
from twilio_oauth_async.stores.nats import NatsFlowStore, NatsTokenStore
from twilio_oauth_async.stores.testing.values import flow, token

pytestmark = pytest.mark.asyncio

EPOCH = token().epoch
LIFETIME = 0.3
"""Seconds. Long enough for a write, short enough to wait for."""


@pytest.fixture
def open_store(js, bucket):
    return lambda **options: NatsTokenStore(js, **{"bucket": bucket, "lock_timeout": 5.0, **options})


async def lose_lock(store, bucket, js):
    """Delete all locks, as a server does that has lost its data."""
    await js.purge_stream(f"KV_{bucket}-locks")


async def test_lock_of_a_process_that_was_killed_is_free_after_its_lifetime(open_store, monkeypatch):
    store, other = open_store(lock_lifetime=LIFETIME), open_store(lock_lifetime=LIFETIME)
    monkeypatch.setattr(type(store._locks), "_renew", lambda *_: asyncio.sleep(0))
    monkeypatch.setattr(type(store._locks), "_release", lambda *_: asyncio.sleep(0))
    async with store.lock("a"):
        pass
    monkeypatch.undo()
    async with asyncio.timeout(5), other.lock("a"):
        pass


async def test_lock_that_is_held_for_longer_than_its_lifetime_is_renewed(open_store):
    store, other = open_store(lock_lifetime=LIFETIME), open_store(lock_lifetime=LIFETIME, lock_timeout=0.1)
    async with store.lock("a"):
        for _ in range(4):
            await asyncio.sleep(0.2)
            with pytest.raises(StoreError, match="another process holds it"):
                async with other.lock("a"):
                    pass
        await store.save("a", token(1), replaces=None)
    async with other.lock("a"):
        assert await other.load("a") == token(1)


@pytest.mark.parametrize("call", ["save", "delete"])
async def test_holder_of_a_lost_lock_changes_nothing(open_store, bucket, js, call):
    store = open_store()
    await store.save("a", token(5), replaces=None)
    async with store.lock("a"):
        await store.load("a")
        await lose_lock(store, bucket, js)
        with pytest.raises(StoreError, match="lock was lost"):
            await (store.delete("a") if call == "delete" else store.save("a", token(5, 1), replaces=EPOCH))
    assert await store.load("a") == token(5)


async def test_new_generation_is_saved_also_under_a_lost_lock(open_store, bucket, js):
    store = open_store()
    await store.save("a", token(5), replaces=None)
    async with store.lock("a"):
        await store.load("a")
        await lose_lock(store, bucket, js)
        await store.save("a", token(6), replaces=EPOCH)
        with pytest.raises(StoreError, match="lock was lost"):
            await store.save("a", token(6, 1), replaces=EPOCH)
    assert await store.load("a") == token(6)


async def test_token_that_has_changed_since_the_holder_loaded_it_is_a_lost_lock(open_store):
    """The server may give the lock to another process while the holder is suspended after its own check."""
    store, other = open_store(), open_store()
    await store.save("a", token(5), replaces=None)
    async with store.lock("a"):
        await store.load("a")
        await other.save("a", token(5, 1), replaces=EPOCH)
        with pytest.raises(StoreError, match="lock was lost"):
            await store.save("a", token(5, 1), replaces=EPOCH)
        with pytest.raises(StoreConflict):
            await store.save("a", token(4), replaces=EPOCH)


async def test_lost_lock_is_logged(open_store, bucket, js, caplog):
    store = open_store(lock_lifetime=LIFETIME)
    async with store.lock("a"):
        await lose_lock(store, bucket, js)
        await until(lambda: "was lost while it was held" in caplog.text)


async def test_server_that_is_killed_and_restarted_keeps_what_was_saved(own_nats, connect, bucket):
    store = NatsTokenStore(await connect(own_nats), bucket=bucket, timeout=0.5)
    await store.save("a", token(1), replaces=None)
    own_nats.stop()
    for call in (store.load("a"), store.save("a", token(2), replaces=EPOCH), store.delete("a"), store.erase("a")):
        with pytest.raises(StoreError):
            await call
    with pytest.raises(StoreError):
        async with store.lock("a"):
            pass
    own_nats.start()
    await until(lambda: works(store))
    assert await store.load("a") == token(1)
    await store.save("a", token(2), replaces=EPOCH)


async def works(store):
    try:
        await store.load("a")
    except StoreError:
        return False
    return True


async def test_server_that_is_down_at_the_start(own_nats, connect, bucket):
    js = await connect(own_nats)
    own_nats.stop()
    store = NatsTokenStore(js, bucket=bucket, timeout=0.3)
    with pytest.raises(StoreError):
        await store.save("a", token(1), replaces=None)
    own_nats.start()
    await until(lambda: works(store))
    await store.save("a", token(1), replaces=None)


async def test_server_without_jetstream_is_a_store_error(connect, bucket):
    server = NatsServer(None).start()
    try:
        store = NatsTokenStore(await connect(server), bucket=bucket)
        with pytest.raises(StoreError):
            await store.load("a")
    finally:
        server.stop()


@pytest.mark.parametrize("part", ["", "-locks"])
async def test_bucket_that_is_deleted_by_hand_is_created_again(open_store, bucket, js, part):
    store = open_store()
    async with store.lock("a"):
        await store.save("a", token(1), replaces=None)
    await js.delete_key_value(bucket + part)
    assert await store.load("a") == (token(1) if part else None)
    assert not await store.is_deleted("a"), "data that was lost is no logout"
    async with store.lock("a"):
        await store.save("a", token(2), replaces=None if part == "" else EPOCH)
    assert await open_store().load("a") == token(2)


async def test_full_bucket_is_a_store_error_and_keeps_what_is_stored(open_store, bucket, js):
    store = open_store()
    await store.save("a", token(1), replaces=None)
    info = await js.stream_info(f"KV_{bucket}")
    info.config.max_bytes = info.state.bytes
    await js.update_stream(info.config)
    with pytest.raises(StoreError, match="no room"):
        await store.save("b", token(1), replaces=None)
    assert await store.load("a") == token(1)
    info.config.max_bytes = -1
    await js.update_stream(info.config)
    await store.save("b", token(1), replaces=None)


async def test_values_are_encrypted_and_keys_can_be_rotated(open_store, bucket, js):
    old, new = Fernet.generate_key(), Fernet.generate_key()
    await open_store(encryption=old).save("ada@example.com", token(1), replaces=None)
    kv = await js.key_value(bucket)
    [name] = await kv.keys()
    stored = (await kv.get(name)).value
    assert token(1).token.access_token.encode() not in stored
    assert b"example" not in stored + name.encode()
    assert await open_store(encryption=[new, old]).load("ada@example.com") == token(1)
    await open_store(encryption=[new, old]).save("ada@example.com", token(2), replaces=EPOCH)
    with pytest.raises(StoreError) as raised:
        await open_store(encryption=old).load("ada@example.com")
    assert token(1).token.access_token not in repr(raised.value)
    with pytest.raises(StoreError):
        await open_store().load("ada@example.com")


async def test_damaged_record_counts_as_none_and_is_logged(open_store, bucket, js, caplog):
    store = open_store()
    await store.save("a", token(1), replaces=None)
    kv = await js.key_value(bucket)
    [name] = await kv.keys()
    for value in (b"", b"{", b'{"user": "a"}', b'{"user": "a", "token": {}}', b"\xff"):
        await kv.put(name, value)
        assert await store.load("a") is None
        assert [user async for user in store.users()] == []
    assert "is damaged" in caplog.text


async def test_changes_of_other_processes_are_seen(open_store):
    store, other, seen = open_store(), open_store(), []
    await other.save("a", token(1), replaces=None)

    async def watch():
        async for user, stored in store.changes():
            seen.append((user, stored))

    watching = asyncio.create_task(watch())
    await until(lambda: is_watching(other, seen))
    seen.clear()
    await other.save("a", token(3), replaces=EPOCH)
    await other.delete("a")
    await until(lambda: len(seen) == 2)
    assert seen == [("a", token(3)), ("a", None)]
    watching.cancel()
    await asyncio.wait({watching})


async def is_watching(store, seen):
    await store.save("probe", token(1), replaces=EPOCH)
    return seen


async def test_interrupted_watch_is_a_store_error(own_nats, connect, bucket):
    store = NatsTokenStore(await connect(own_nats), bucket=bucket)
    await store.save("a", token(1), replaces=None)
    watching = asyncio.create_task(anext(store.changes()))
    await asyncio.sleep(0.1)
    own_nats.stop()
    own_nats.start()
    with pytest.raises(StoreError, match="interrupted"):
        await asyncio.wait_for(watching, 10)


@pytest.mark.parametrize("kind", [NatsTokenStore, NatsFlowStore])
@pytest.mark.parametrize(
    "options",
    [{"bucket": "a.b"}, {"bucket": ""}, {"bucket": "a" * 65}, {"replicas": 0}, {"timeout": 0}, {"encryption": "x"}],
)
async def test_invalid_arguments(js, kind, options):
    with pytest.raises(ConfigurationError):
        kind(js, **options)


async def test_client_of_another_kind(js):
    for client in (None, object(), js._nc):
        with pytest.raises(ConfigurationError, match="JetStreamContext"):
            NatsTokenStore(client)


async def test_flow_store_encrypts_device_codes(js, bucket):
    store = NatsFlowStore(js, bucket=bucket, encryption=Fernet.generate_key())
    await store.create(flow("a"), owner="me", seconds=60)
    kv = await js.key_value(bucket)
    for name in await kv.keys():
        assert flow("a").authorization.device_code.encode() not in (await kv.get(name)).value


async def test_two_processes_that_start_a_flow_of_one_user_get_the_same(js, bucket):
    stores = [NatsFlowStore(js, bucket=bucket) for _ in range(4)]
    flows = [attrs.evolve(flow(secrets.token_hex(4)), user="ada") for _ in stores]
    made = await asyncio.gather(
        *(store.create(each, owner=each.id, seconds=60) for store, each in zip(stores, flows, strict=True))
    )
    assert len({each.id for each in made}) == 1
    assert len([each for each in flows if await stores[0].load(each.id)]) == 1


async def test_secrets_are_not_logged(open_store, caplog):
    caplog.set_level(logging.DEBUG)
    store = open_store()
    async with store.lock("a"):
        await store.save("a", token(1), replaces=None)
    assert token(1).token.access_token not in caplog.text + repr(store)


async def test_managers_follow_the_changes_of_the_store(open_store):
    clock = VirtualClock(auto=False)
    grant = ScriptedGrant(clock, interactive=True, lifetime=3600)
    here, there = (TokenManagers(grant, store=open_store(), clock=clock) for _ in range(2))
    first = await there.get("ada").token(login=True)
    assert await here.get("ada").token() == first
    following = asyncio.create_task(here.follow(open_store().changes()))
    await asyncio.sleep(0.1)
    second = await there.get("ada").refresh(first.access_token)
    await until(lambda: uses(here.get("ada"), second))
    following.cancel()
    await asyncio.wait({following})
    await asyncio.gather(here.close(), there.close())


async def uses(manager, token):
    return await manager.token() == token
