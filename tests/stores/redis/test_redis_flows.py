"""`RedisFlowStore`: the rules in the scripts, leases by the server's clock, expiry, and damaged flows."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import get_args

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.cluster import key_slot

from tests.helpers.stored_values import CLIENT, SERVER, START, flow
from twilio_oauth_async import ConfigurationError, StoreConflict, StoreError, VirtualClock
from twilio_oauth_async.stores.memory import MemoryFlowStore
from twilio_oauth_async.stores.records import FlowState
from twilio_oauth_async.stores.redis import RedisFlowStore

pytestmark = pytest.mark.asyncio

APP = {"client_sid": CLIENT, "server": SERVER}
DAY = 86_400
STATES = get_args(FlowState)
ENDS = [state for state in STATES if state not in {"pending", "granted"}]


@pytest.fixture
def store(client, prefix):
    return RedisFlowStore(client, prefix=prefix, clock=VirtualClock(START, auto=False))


async def key_names(client, prefix):
    return sorted(name if isinstance(name, str) else name.decode() for name in await client.keys(f"{prefix}:*"))


def records(prefix):
    return f"{prefix}:2:{{flows}}:records"


def ids(flows):
    return sorted(found.id for found in flows)


IDS = ["a", "b", "c"]
OWNERS = st.sampled_from(["me", "you"])
SOME_IDS = st.lists(st.sampled_from([*IDS, "missing"]), max_size=3)
SECONDS = st.sampled_from([0.000001, 1000.0])
ALL_FLOWS = st.builds(
    lambda id_, user, client, state, owner: flow(
        id_, user=user, client_sid=client, state=state, owner=owner, context={"of": id_}, delivered=state in ENDS
    ),
    st.sampled_from(IDS),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(["OQ1", "OQ2"]),
    st.sampled_from(STATES),
    st.one_of(st.none(), OWNERS),
)
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), ALL_FLOWS, OWNERS, SECONDS),
        st.tuples(st.just("save"), ALL_FLOWS),
        st.tuples(st.just("lease"), SOME_IDS, OWNERS, SECONDS),
        st.tuples(st.just("release"), SOME_IDS, OWNERS),
        st.tuples(st.just("grant"), st.sampled_from(IDS), OWNERS),
        st.tuples(st.just("end"), st.sampled_from(IDS), st.sampled_from(ENDS), st.sampled_from([None, "", "why"])),
        st.tuples(st.just("delete"), st.sampled_from(IDS)),
    ),
    max_size=20,
)


def without_times(value):
    """Replace times of the server by True."""
    if not isinstance(value, list):
        return value if value is None or not hasattr(value, "ended_at") else without_times([value])[0]
    changed = [
        attrs.evolve(
            found,
            ended_at=found.ended_at and START,
            leased_until=found.leased_until and START,
        )
        for found in value
    ]
    return sorted(changed, key=lambda found: found.id)


async def outcome_of(store, operation, *arguments):
    try:
        if operation == "create":
            created, owner, seconds = arguments
            created = attrs.evolve(created, state="pending", owner=None)
            return without_times(await store.create(created, owner=owner, seconds=seconds))
        if operation == "save":
            # A save changes neither the user nor the client.
            present = await store.load(arguments[0].id)
            if present is not None:
                authorization = attrs.evolve(
                    arguments[0].authorization, client_sid=present.authorization.client_sid, faults=7
                )
                arguments = (attrs.evolve(arguments[0], user=present.user, authorization=authorization),)
        return without_times(await getattr(store, operation)(*arguments))
    except StoreConflict as error:
        return str(error)


async def contents_of(store):
    contents = {id_: without_times(await store.load(id_)) for id_ in IDS}
    for client in ("OQ1", "OQ2"):
        app = {"client_sid": client, "server": SERVER}
        contents[f"due {client}"] = without_times(list(await store.list_due(9, **app)))
        contents[f"ended {client}"] = without_times(list(await store.list_ended(9, **app)))
        for user in ("ann", "bob"):
            key = flow(user=user, client_sid=client).key
            contents[f"flow of {user} {client}"] = without_times(await store.find_user(key))
    return contents


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
async def test_random_operations_have_the_results_of_the_memory_store(store, client, prefix, operations):
    clock = VirtualClock(START, auto=False)
    memory = MemoryFlowStore(clock=clock)
    for name in await key_names(client, prefix):
        await client.delete(name)
    for operation in operations:
        assert await outcome_of(store, *operation) == await outcome_of(memory, *operation), operation
        clock.advance(0.001)
        assert await contents_of(store) == await contents_of(memory), operation


@pytest.mark.parametrize("before", STATES)
async def test_end_allows_the_states_of_the_memory_store(store, before):
    for end in ENDS:
        seen = []
        for each in (store, MemoryFlowStore(clock=VirtualClock(START, auto=False))):
            await each.delete("a")
            await each.create(flow(), owner="me", seconds=60)
            if before in {"granted", "approved"}:
                await each.grant("a", "me")
            if before in ENDS:
                assert await each.end("a", before, "first")
            seen.append((await each.end("a", end, "second"), without_times(await each.load("a"))))
        assert seen[0] == seen[1], end


@pytest.mark.parametrize("state", ["pending", "granted", "other", None])
async def test_end_in_a_state_that_is_no_end_raises_configuration_error(store, state):
    with pytest.raises(ConfigurationError):
        await store.end("a", state)


async def test_leases_and_ends_are_measured_by_the_clock_of_the_server(client, prefix):
    hosts = [
        RedisFlowStore(client, prefix=prefix, clock=VirtualClock(START + timedelta(days=days), auto=False))
        for days in (-900, 0, 900)
    ]
    created = await hosts[0].create(flow(), owner="me", seconds=60)
    assert math.isclose((created.leased_until - datetime.now(UTC)).total_seconds(), 60, abs_tol=5)
    for host in hosts:
        assert await host.load("a") == created
        assert await host.list_due(1, **APP) == []
        assert await host.lease(["a"], "you", 60) == set()
    seconds, _ = await client.time()
    await client.zadd(f"{prefix}:2:{{flows}}:pending", {"a": seconds * 1_000_000})
    assert ids(await hosts[2].list_due(1, **APP)) == ["a"]
    assert await hosts[2].lease(["a"], "you", 60) == {"a"}
    assert await hosts[0].lease(["a"], "me", 60) == set()
    await hosts[2].end("a", "denied")
    ended_at = (await hosts[0].load("a")).ended_at
    assert math.isclose((ended_at - datetime.now(UTC)).total_seconds(), 0, abs_tol=5)


@pytest.mark.parametrize("seconds", [1e-9, 1e300])
async def test_lease_of_an_extreme_length_is_accepted(store, seconds):
    created = await store.create(flow(), owner="me", seconds=seconds)
    assert created.leased_until.tzinfo is UTC


async def test_two_thousand_flows_are_leased_and_released_in_four_commands_each(store, client, prefix):
    names = [f"{number}" for number in range(2000)]
    await asyncio.gather(*(store.create(flow(name), owner="me", seconds=0.000001) for name in names))
    calls = []
    run = store._scripts.run
    store._scripts.run = lambda *arguments: calls.append(arguments) or run(*arguments)
    assert await store.lease([*names, *names, "missing"], "me", 60) == set(names)
    assert len(calls) == 5
    await store.release(names, "me")
    assert len(calls) == 9
    assert await store.lease(names, "you", 60) == set(names)
    assert await store.lease([], "you", 60) == set()


async def test_renewal_of_a_lease_does_not_write_the_value(own_redis, open_redis):
    store = RedisFlowStore(open_redis(own_redis))
    await store.create(flow(), owner="me", seconds=60)
    async with open_redis(own_redis).monitor() as monitor:
        await store.lease(["a"], "me", 60)
        await store.load("a")
        commands = []
        async for command in monitor.listen():
            commands.append(command["command"])
            if command["command"].startswith("EVAL") and len([c for c in commands if c.startswith("EVAL")]) == 2:
                break
    assert [command for command in commands if command.startswith("ZADD")]
    assert not [command for command in commands if command.startswith("HSET")]


async def test_all_keys_are_in_one_cluster_slot_and_expire_a_day_after_the_last_code(client, prefix, store):
    await store.create(flow("}{", user="}{", expires_at=START + timedelta(hours=1)), owner="me", seconds=60)
    await store.create(flow("b"), owner="me", seconds=60)
    await store.end("b", "failed")
    await store.lease(["b", "}{"], "me", 60)
    names = await key_names(client, prefix)
    assert len(names) == 4
    assert len({key_slot(name.encode()) for name in names}) == 1
    for name in names:
        assert math.isclose(await client.pttl(name) / 1000, 3600 + DAY, abs_tol=5)


async def test_flow_is_removed_a_day_after_its_code_has_expired(client, prefix, store):
    for id_ in "abc":
        await store.create(flow(id_), owner="me", seconds=0.000001)
    await store.end("b", "expired")
    score = await client.zscore(f"{prefix}:2:{{flows}}:expiry", "a")
    seconds, _ = await client.time()
    assert math.isclose(score / 1e6 - seconds, 300 + DAY, abs_tol=5)
    await client.zadd(f"{prefix}:2:{{flows}}:expiry", {"a": 1, "b": 1})
    assert ids(await store.list_due(9, **APP)) == ["c"]
    assert await store.list_ended(9, **APP) == []
    assert await store.load("a") is None
    assert not [field for field in await client.hkeys(records(prefix)) if field[-1:] in {"a", "b", b"a", b"b"}]


async def test_deleted_flow_leaves_no_key(client, prefix, store):
    for end in (None, "denied"):
        await store.create(flow("a"), owner="me", seconds=60)
        if end is not None:
            await store.end("a", end, "why")
        await store.delete("a")
        await store.delete("a")
        assert await key_names(client, prefix) == []


async def test_list_returns_flows_of_its_app_among_hundreds_of_others(store):
    for app in ("OQ1", "OQ2"):
        for number in range(300):
            created = flow(f"{app} {number}", client_sid=app)
            await store.create(created, owner="me", seconds=0.000001)
    found = await store.list_due(1000, client_sid="OQ2", server=SERVER)
    assert len(found) == 300
    assert {each.authorization.client_sid for each in found} == {"OQ2"}
    assert len(await store.list_due(7, client_sid="OQ2", server=SERVER)) == 7
    assert await store.list_due(7, client_sid="OQ2", server="https://other") == []


@pytest.mark.parametrize("field", ["value", "state"])
async def test_damaged_flows_are_skipped_and_logged_and_do_not_count(client, prefix, store, caplog, field):
    for id_ in "abcdef":
        await store.create(flow(id_), owner="me", seconds=0.000001)
    for id_ in "abc":
        await client.hset(records(prefix), f"{field} {id_}", "{")
    assert ids(await store.list_due(2, **APP)) == ["d", "e"]
    assert await store.load("a") is None
    assert ids(await store.list_due(9, **APP)) == ["d", "e", "f"]
    assert "damaged flows were skipped: 3" in caplog.text


async def test_damaged_flow_of_a_user_is_replaced_by_the_next(client, prefix, store, caplog):
    await store.create(flow("a", user="ann"), owner="me", seconds=60)
    await client.hset(records(prefix), "value a", "{")
    assert await store.find_user(flow(user="ann").key) is None
    created = await store.create(flow("b", user="ann"), owner="me", seconds=60)
    assert created.id == "b"
    assert await store.find_user(created.key) == created
    assert "a damaged flow is replaced" in caplog.text
    await store.delete("a")
    assert await store.find_user(created.key) == created


async def test_value_that_is_not_utf8_counts_as_damaged(shared_redis, open_redis, prefix):
    client = open_redis(shared_redis)
    store = RedisFlowStore(client, prefix=prefix)
    await store.create(flow(), owner="me", seconds=60)
    await client.hset(records(prefix), "value a", b"\xff")
    assert await store.load("a") is None


class AlwaysDamaged:
    """A client on whose server every flow is damaged."""

    async def eval(self, *_):
        return ["a", "{", "pending", None, None, None, "me", "0"]


async def test_create_on_a_server_with_damaged_flows_only_raises_store_error():
    with pytest.raises(StoreError, match="flows of this user are damaged"):
        await RedisFlowStore(AlwaysDamaged()).create(flow(), owner="me", seconds=60)


async def test_concurrent_creates_of_one_user_give_one_flow(shared_redis, open_redis, prefix):
    stores = [RedisFlowStore(open_redis(shared_redis), prefix=prefix) for _ in range(3)]
    created = await asyncio.gather(
        *(
            stores[number % 3].create(flow(f"{number}", user="ann"), owner=f"{number}", seconds=60)
            for number in range(12)
        )
    )
    assert len({(each.id, each.owner) for each in created}) == 1
    assert len(await stores[0].list_due(99, **APP)) == 0
