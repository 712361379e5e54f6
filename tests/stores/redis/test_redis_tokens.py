"""`RedisTokenStore`: the rules in the scripts, what is in Redis and when it expires, and damaged records."""

import math
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.cluster import key_slot

from tests.helpers.stored_values import CANARY, NOW, stored
from twilio_oauth_async import StoreConflict, StoreError, VirtualClock
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.stores.records import TokenKey, epoch_of
from twilio_oauth_async.stores.redis import RedisTokenStore, token_scripts

pytestmark = pytest.mark.asyncio

EPOCH = stored().epoch
DAY = 86_400


@pytest.fixture
def store(client, prefix):
    return RedisTokenStore(client, prefix=prefix, clock=VirtualClock(NOW, auto=False))


async def key_names(client, prefix):
    return sorted(text(name) for name in await client.keys(f"{prefix}:*"))


def text(reply):
    return reply if isinstance(reply, str) else reply.decode()


async def users_of(store):
    return sorted([user async for user in store.users()])


KEYS = [TokenKey("ann"), TokenKey("ann", "OQ1", "https://one"), TokenKey("ann", "OQ2", "https://one"), TokenKey("bob")]
CODES = st.sampled_from(["x", "y", "z"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("save"),
            st.sampled_from(KEYS),
            st.builds(
                lambda generation, unanswered, code, signed_in: stored(
                    generation, unanswered, code=code, signed_in=signed_in
                ),
                st.integers(1, 3),
                st.integers(0, 1),
                CODES,
                st.sampled_from([-(10**9), -1, 0, 0.000001, 1, 2]),
            ),
            st.one_of(st.none(), CODES.map(epoch_of)),
        ),
        st.tuples(st.sampled_from(["delete", "load", "is_deleted"]), st.sampled_from(KEYS)),
        st.tuples(st.sampled_from(["erase"]), st.sampled_from(["ann", "bob"])),
        st.tuples(st.just("users")),
    ),
    max_size=20,
)


async def outcome_of(store, operation, *arguments):
    try:
        if operation == "users":
            return await users_of(store)
        if operation == "save":
            key, token, replaces = arguments
            return await store.save(key, token, replaces=replaces)
        return await getattr(store, operation)(*arguments)
    except StoreConflict as error:
        return str(error)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
async def test_random_operations_have_the_results_of_the_memory_store(store, operations):
    memory = MemoryTokenStore(clock=VirtualClock(NOW, auto=False))
    for user in ("ann", "bob"):
        await store.erase(user)
    for operation in operations:
        assert await outcome_of(store, *operation) == await outcome_of(memory, *operation), operation


async def test_keys_of_one_user_are_in_one_cluster_slot(client, prefix, store):
    for user in ("ann", "{ann}", "}", "a" * 300, "ä"):
        for key in (user, TokenKey(user, "OQ1", "https://" + "x" * 200)):
            async with store.lock(key):
                await store.save(key, stored(), replaces=None)
                found = [name for name in await key_names(client, prefix) if "{users}" not in name]
            assert len(found) == 3
            assert len({key_slot(name.encode()) for name in found}) == 1
            assert all(len(name) < 220 for name in found)
        await store.erase(user)
        assert await key_names(client, prefix) == []


@pytest.mark.parametrize(
    ("refresh_token_lasts", "kept_for"),
    [(None, 401 * DAY), (3600, 3600 + DAY), (-5, DAY), (-(10**6), DAY), (10**9, 10**9 + DAY)],
)
async def test_token_is_kept_a_day_longer_than_its_refresh_token(client, prefix, store, refresh_token_lasts, kept_for):
    expires_at = None if refresh_token_lasts is None else NOW + timedelta(seconds=refresh_token_lasts)
    await store.save("a", stored(refresh_token_expires_at=NOW), replaces=None)  # an earlier expiry does not matter
    await store.save("a", stored(refresh_token_expires_at=expires_at), replaces=EPOCH)
    assert math.isclose(await client.pttl(f"{prefix}:2:{{a}}:tokens") / 1000, kept_for, abs_tol=5)


@pytest.mark.parametrize(
    ("refresh_token_lasts", "kept_for"),
    [(None, 400 * DAY), (60, 30 * DAY), (40 * DAY, 40 * DAY), ("missing", 30 * DAY)],
)
async def test_tombstone_is_kept_as_long_as_the_refresh_token_and_has_no_secret(
    client, prefix, store, refresh_token_lasts, kept_for
):
    if refresh_token_lasts != "missing":
        lasts = None if refresh_token_lasts is None else NOW + timedelta(seconds=refresh_token_lasts)
        await store.save("a", stored(refresh_token_expires_at=lasts), replaces=None)
    await store.delete("a")
    await store.delete("a")
    name = f"{prefix}:2:{{a}}:tokens"
    assert {text(field) for field in await client.hkeys(name)} == {"signed_in_at", "kept_until"}
    assert CANARY not in str(await client.hgetall(name))
    assert math.isclose(await client.pttl(name) / 1000, kept_for, abs_tol=5)


async def test_second_delete_keeps_the_tombstone_for_30_days_more(client, prefix, store):
    await store.save("a", stored(), replaces=None)
    await store.delete("a")
    name = f"{prefix}:2:{{a}}:tokens"
    soon = (await client.time())[0] * 1000 + 60_000
    await client.hset(name, "kept_until", f"{soon}")
    await store.delete("a")
    assert math.isclose(await client.pttl(name) / 1000, 30 * DAY, abs_tol=5)
    with pytest.raises(StoreConflict):
        await store.save("a", stored(2), replaces=EPOCH)


async def test_tombstone_that_has_expired_does_not_count(client, prefix, store):
    other = TokenKey("a", "OQ1")
    await store.save(other, stored(), replaces=None)
    await store.save("a", stored(), replaces=None)
    await store.delete("a")
    await client.hset(f"{prefix}:2:{{a}}:tokens", "kept_until", "1000")
    assert await store.is_deleted("a") is False
    await store.save("a", stored(2), replaces=EPOCH)
    assert await store.load("a") == stored(2)
    assert await store.load(other) == stored()


async def test_record_that_has_expired_is_removed_by_the_next_change_of_its_user(client, prefix, store):
    name = f"{prefix}:2:{{a}}:tokens"
    await store.save(TokenKey("a", "OQ1"), stored(refresh_token_expires_at=None), replaces=None)
    await store.save("a", stored(), replaces=None)
    await client.hset(name, "OQ1| kept_until", "1000")
    await store.save("a", stored(2), replaces=EPOCH)
    assert not [field for field in await client.hkeys(name) if text(field).startswith("OQ1")]
    assert math.isclose(await client.pttl(name) / 1000, 31 * DAY, abs_tol=5)  # not that of the removed one


async def test_damaged_token_is_set_aside_and_logged(client, prefix, store, caplog):
    for damaged in ("", "{", '{"token":1}', "null"):
        await store.save("a", stored(9), replaces=None)
        await client.hset(f"{prefix}:2:{{a}}:tokens", "stored", damaged)
        assert await store.load("a") is None
        assert await store.is_deleted("a") is False
        assert f"{prefix}:2:{{a}}:set-aside" in caplog.text
        assert text(await client.hget(f"{prefix}:2:{{a}}:set-aside", "stored")) == damaged
        assert await client.pttl(f"{prefix}:2:{{a}}:set-aside") > 0
        await store.save("a", stored(1), replaces=None)
        assert await store.load("a") == stored(1)
        await store.erase("a")
        assert await key_names(client, prefix) == []


@pytest.mark.parametrize("field", ["epoch", "generation", "signed_in_at", "kept_until", "fence"])
@pytest.mark.parametrize("value", [None, "", "x"])
async def test_damaged_field_does_not_stop_the_next_save(client, prefix, store, field, value):
    name = f"{prefix}:2:{{a}}:tokens"
    await store.save("a", stored(2), replaces=None)
    await (client.hdel(name, field) if value is None else client.hset(name, field, value))
    loaded = await store.load("a")
    for replaces in (EPOCH, None):
        if await outcome_of(store, "save", "a", stored(3, code="next", signed_in=5), replaces) is None:
            break
    assert loaded in {stored(2), None}
    assert await store.load("a") in {stored(3, code="next", signed_in=5), stored(2)}
    await store.delete("a")
    assert await store.is_deleted("a") is True


async def test_value_that_is_not_utf8_counts_as_damaged(shared_redis, open_redis, prefix):
    client = open_redis(shared_redis)
    store = RedisTokenStore(client, prefix=prefix)
    await client.hset(f"{prefix}:2:{{a}}:tokens", "stored", b"\xff")
    assert await store.load("a") is None
    assert await client.hget(f"{prefix}:2:{{a}}:set-aside", "stored") == b"\xff"
    await client.zadd(f"{prefix}:2:{{users}}:index", {b"\xff": 9e15})
    assert await users_of(store) == []


async def test_key_of_another_program_is_not_overwritten(client, prefix, store):
    await client.set(f"{prefix}:2:{{a}}:tokens", "theirs")
    for call in (store.load("a"), store.save("a", stored(), replaces=None), store.delete("a"), store.is_deleted("a")):
        with pytest.raises(StoreError, match="WRONGTYPE"):
            await call
    assert text(await client.get(f"{prefix}:2:{{a}}:tokens")) == "theirs"


async def test_erase_leaves_no_key_of_the_user_also_while_its_lock_is_held(client, prefix, store):
    async with store.lock("a"):
        await store.save("a", stored(), replaces=None)
        await store.save(TokenKey("a", "OQ1"), stored(), replaces=None)
        await store.erase("a")
        assert await key_names(client, prefix) == [f"{prefix}:2:{{a}}:lock"]
    assert await key_names(client, prefix) == []
    async with store.lock("a"):
        pass


async def test_fence_increases_after_it_was_erased(client, prefix, store):
    fences = []
    for _ in range(3):
        async with store.lock("a"):
            fences.append(int(await client.hget(f"{prefix}:2:{{a}}:fences", "")))
        await store.erase("a")
    assert fences == sorted(set(fences))


async def test_users_with_expired_or_lost_tokens_are_not_listed(client, prefix, store):
    for user in ("ann", "bob", "cid", "dee"):
        await store.save(user, stored(), replaces=None)
    await client.delete(f"{prefix}:2:{{ann}}:tokens")  # as after an expiry or an eviction
    await store.delete("bob")
    assert await users_of(store) == ["cid", "dee"]


async def test_users_returns_a_thousand_users_once(client, prefix, store):
    await client.zadd(f"{prefix}:2:{{users}}:index", {f"user {number}": 9e15 for number in range(1000)})
    for number in range(0, 1000, 3):
        await client.hset(f"{prefix}:2:{{user%20{number}}}:tokens", "stored", "x")
    assert await users_of(store) == sorted(f"user {number}" for number in range(0, 1000, 3))


async def index_seconds(client, prefix, user):
    """Return in how many seconds `user` leaves the index; None: it is not in it."""
    score = await client.zscore(f"{prefix}:2:{{users}}:index", user)
    seconds, _ = await client.time()
    return None if score is None else score / 1000 - seconds


async def test_user_leaves_the_index_when_its_last_record_expires(client, prefix, store):
    await store.save("a", stored(), replaces=None)
    assert math.isclose(await index_seconds(client, prefix, "a"), 31 * DAY, abs_tol=5)
    longer = NOW + timedelta(days=50)
    await store.save("a", stored(1, 1, refresh_token_expires_at=longer), replaces=EPOCH)  # the mark before a refresh
    assert math.isclose(await index_seconds(client, prefix, "a"), 31 * DAY, abs_tol=5)
    await store.save("a", stored(2, refresh_token_expires_at=longer), replaces=EPOCH)
    assert math.isclose(await index_seconds(client, prefix, "a"), 51 * DAY, abs_tol=5)
    await store.delete("a")
    assert math.isclose(await index_seconds(client, prefix, "a"), 50 * DAY, abs_tol=5)
    await client.zadd(f"{prefix}:2:{{users}}:index", {"a": 1000})
    await store.save("b", stored(), replaces=None)
    assert await index_seconds(client, prefix, "a") is None


async def test_index_keeps_a_user_until_the_last_of_its_records_expires(client, prefix, store):
    await store.save(TokenKey("a", "OQ1"), stored(refresh_token_expires_at=NOW + timedelta(days=90)), replaces=None)
    await store.save("a", stored(), replaces=None)
    assert math.isclose(await index_seconds(client, prefix, "a"), 91 * DAY, abs_tol=5)
    await store.delete("a")
    assert math.isclose(await index_seconds(client, prefix, "a"), 91 * DAY, abs_tol=5)
    await store.delete("missing")
    assert await index_seconds(client, prefix, "missing") is None


class RepeatingScan:
    """A client whose scan returns a user in two batches, as happens while Redis resizes the index."""

    async def eval(self, script, numkeys, *arguments):
        if script == token_scripts.SCAN_USERS:
            return [b"5" if arguments[1] == "0" else b"0", [b"ann", b"1", arguments[1].encode(), b"1"]]
        return 1


async def test_users_returns_a_user_once_that_a_scan_returns_twice():
    assert [user async for user in RedisTokenStore(RepeatingScan()).users()] == ["0", "ann", "5"]


async def test_lost_index_is_repaired_by_the_next_rotation(client, prefix, store):
    await store.save("a", stored(), replaces=None)
    await client.delete(f"{prefix}:2:{{users}}:index")
    await store.save("a", stored(2), replaces=EPOCH)
    assert await users_of(store) == ["a"]


async def test_token_is_saved_although_the_index_fails(client, prefix, store, caplog):
    await client.set(f"{prefix}:2:{{users}}:index", "theirs")
    await store.save("a", stored(), replaces=None)
    await store.save("a", stored(2), replaces=EPOCH)
    assert await store.load("a") == stored(2)
    await store.delete("a")
    assert await store.is_deleted("a")
    assert caplog.text.count("the index of users could not be updated") == 3
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await users_of(store)
