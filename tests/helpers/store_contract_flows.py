"""The contract of a `FlowStore`; see store_contract.py."""

import asyncio
import logging
import pickle
import secrets
from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.cancellation import at_each_await
from tests.helpers.event_loop import other_tasks
from tests.helpers.secrecy import error_texts
from tests.helpers.store_contract_tokens import INVALID_KEYS, KEYS
from tests.helpers.stored_values import CANARY, at, flow, leased
from twilio_oauth_async import ConfigurationError, StoreConflict, VirtualClock


def is_leased(present, now):
    return present.owner is not None and present.claimed_until > now


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["save", "claim", "claim", "delete", "pass", "due"]),
        st.integers(0, 1),
        st.sampled_from(["a", "ä/{}"]),
        st.sampled_from(["ann", "bob"]),
        st.integers(1, 20),
    ),
    max_size=12,
)


class FlowStoreContract:
    """Subclass it and give `open_store`; the stores take the time from the fixture `clock`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def clock(self):
        return VirtualClock(auto=False)

    @pytest.fixture
    def open_store(self):
        raise NotImplementedError("define a fixture open_store: a function that opens the storage of this test")

    async def test_calls_for_a_missing_flow_do_nothing(self, open_store):
        store = open_store()
        assert await store.load("a") is None
        assert list(await store.list_due()) == []
        assert await store.claim("a", "me", at(60)) is False
        await store.delete("a")

    async def test_saved_flow_is_loaded_unchanged_also_by_another_object(self, open_store):
        store = open_store()
        for value in (flow(), leased("a", "me", 60), leased("a", "me", 30.25)):
            await store.save(value)
            assert await store.load("a") == await open_store().load("a") == value

    async def test_ids_that_look_alike_are_different_ids(self, open_store):
        store = open_store()
        for id_ in KEYS:
            await store.save(flow(id_))
        assert [await open_store().load(id_) for id_ in KEYS] == [flow(id_) for id_ in KEYS]
        assert sorted(found.id for found in await store.list_due()) == sorted(KEYS)
        await open_store().delete(KEYS[0])
        assert [await store.load(id_) for id_ in KEYS[:2]] == [None, flow(KEYS[1])]

    @pytest.mark.parametrize("id_", INVALID_KEYS, ids=repr)
    async def test_invalid_id_or_owner_raises_configuration_error(self, open_store, id_):
        store = open_store()
        with pytest.raises(ConfigurationError):
            await store.save(attrs.evolve(flow(), id=id_))
        for call in (store.load(id_), store.delete(id_), store.claim(id_, "me", at(1)), store.claim("a", id_, at(1))):
            with pytest.raises(ConfigurationError):
                await call

    @pytest.mark.parametrize("until", [datetime(2026, 1, 1), None, 5])  # noqa: DTZ001
    async def test_invalid_lease_end_raises_configuration_error(self, open_store, until):
        store = open_store()
        await store.save(flow())
        with pytest.raises(ConfigurationError):
            await store.claim("a", "me", until)

    async def test_lease_excludes_other_owners_until_it_expires(self, open_store, clock):
        one, other = open_store(), open_store()
        await one.save(flow())
        assert await one.claim("a", "me", at(60)) is True
        assert await other.load("a") == leased("a", "me", 60)
        assert await other.claim("a", "you", at(90)) is False
        assert list(await other.list_due()) == []
        clock.advance(59.999)
        assert await other.claim("a", "you", at(90)) is False
        assert list(await other.list_due()) == []
        clock.advance(0.001)
        assert list(await other.list_due()) == [leased("a", "me", 60)]
        assert await other.claim("a", "you", at(90)) is True
        assert await one.claim("a", "me", at(120)) is False

    async def test_owner_extends_or_ends_its_own_lease(self, open_store, clock):
        store = open_store()
        await store.save(leased("a", "me", 60))
        assert await store.claim("a", "me", at(120)) is True
        clock.advance(90)
        assert await store.claim("a", "you", at(150)) is False
        assert await store.claim("a", "me", clock.now()) is True
        assert [found.id for found in await open_store().list_due()] == ["a"]
        assert await store.claim("a", "you", at(150)) is True

    async def test_lease_expires_to_the_microsecond(self, open_store, clock):
        store = open_store()
        await store.save(leased("a", "me", 60.0004))
        clock.advance(60.0001)
        assert list(await store.list_due()) == []
        assert await store.claim("a", "you", at(90)) is False
        clock.advance(0.0003)
        assert [found.id for found in await store.list_due()] == ["a"]
        assert await store.claim("a", "you", at(90)) is True

    async def test_save_by_another_owner_during_a_lease_raises_conflict(self, open_store, clock):
        store, other = open_store(), open_store()
        await store.save(leased("a", "me", 60))
        for other_owner in (flow(), leased("a", "you", 600)):
            with pytest.raises(StoreConflict) as caught:
                await other.save(other_owner)
            assert caught.value.__context__ is None
            assert CANARY not in str(caught.value)
        assert await store.load("a") == leased("a", "me", 60)
        mine = attrs.evolve(leased("a", "me", 60), authorization=attrs.evolve(flow().authorization, faults=3))
        await store.save(mine)
        assert await other.load("a") == mine
        clock.advance(60)
        await other.save(leased("a", "you", 600))
        assert await store.load("a") == leased("a", "you", 600)

    async def test_list_due_returns_flows_without_a_valid_lease(self, open_store, clock):
        store = open_store()
        for value in (flow("new"), leased("expired", "you", -1), leased("valid", "you", 60), leased("soon", "me", 5)):
            await store.save(value)
        assert sorted(found.id for found in await open_store().list_due()) == ["expired", "new"]
        clock.advance(5)
        assert sorted(found.id for found in await store.list_due()) == ["expired", "new", "soon"]
        await store.delete("new")
        await store.claim("expired", "me", at(60))
        assert [found.id for found in await store.list_due()] == ["soon"]

    async def test_concurrent_claims_of_one_flow_give_one_lease(self, open_store):
        stores = [open_store(), open_store()]
        await stores[0].save(flow())
        won = await asyncio.gather(*(stores[n % 2].claim("a", f"owner {n}", at(60)) for n in range(16)))
        assert sorted(won) == [False] * 15 + [True]
        assert (await stores[0].load("a")).owner == f"owner {won.index(True)}"

    async def test_concurrent_saves_and_claims_of_many_flows(self, open_store):
        stores = [open_store(), open_store()]
        await asyncio.gather(*(stores[n % 2].save(flow(f"{n}")) for n in range(20)))
        claims = await asyncio.gather(*(stores[n % 2].claim(f"{n}", "me", at(60)) for n in range(10)))
        assert claims == [True] * 10
        assert {found.id for found in await stores[0].list_due()} == {f"{n}" for n in range(10, 20)}

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operations=OPERATIONS)
    async def test_random_operations_through_two_objects_match_a_dict(self, open_store, clock, operations):
        stores, model, case = [open_store(), open_store()], {}, secrets.token_hex(8)
        for operation, number, name, owner, seconds in operations:
            store, id_ = stores[number], f"{case}{name}"
            now = clock.now()
            until = now + timedelta(seconds=seconds)
            present = model.get(id_)
            taken = present is not None and is_leased(present, now) and present.owner != owner
            if operation == "pass":
                clock.advance(seconds / 2)
            elif operation == "due":
                due = {found.id: found for found in await store.list_due() if found.id.startswith(case)}
                assert due == {key: value for key, value in model.items() if not is_leased(value, now)}
            elif operation == "delete":
                await store.delete(id_)
                model.pop(id_, None)
            elif operation == "claim":
                assert await store.claim(id_, owner, until) == (present is not None and not taken)
                if present is not None and not taken:
                    model[id_] = attrs.evolve(present, owner=owner, claimed_until=until)
            elif taken:
                with pytest.raises(StoreConflict):
                    await store.save(flow(id_, owner=owner, claimed_until=until))
            else:
                model[id_] = flow(id_, owner=owner, claimed_until=until)
                await store.save(model[id_])
        for id_ in {f"{case}{name}" for _, _, name, _, _ in operations}:
            assert await stores[0].load(id_) == await stores[1].load(id_) == model.get(id_)

    async def test_calls_cancelled_at_each_await_are_complete_or_without_effect(self, open_store):
        store, other = open_store(), open_store()
        await store.save(flow("b"))
        states = {
            "save": (lambda: store.save(leased("a", "me", 60)), [None, leased("a", "me", 60)]),
            "claim": (lambda: store.claim("a", "me", at(60)), [flow(), leased("a", "me", 60)]),
            "delete": (lambda: store.delete("a"), [flow(), None]),
            "load": (lambda: store.load("a"), [flow()]),
            "due": (store.list_due, [flow()]),
        }
        for call, allowed in states.values():
            for cancellation in at_each_await():
                await other.delete("a")
                if allowed[0] is not None:
                    await other.save(allowed[0])
                await cancellation.run(call())
                assert await other.load("a") in allowed
                assert await other.load("b") == flow("b")
            assert await other.load("a") == allowed[-1]
        assert not await other_tasks()

    async def test_errors_logs_and_repr_show_no_secret(self, open_store, caplog):
        caplog.set_level(logging.DEBUG)
        asyncio.get_running_loop().set_debug(True)
        store = open_store()
        texts = []
        await store.save(leased("a", "me", 60))
        for rejected in (flow(), flow("b", user="\ud800" + CANARY)):
            texts += await error_texts(store.save(rejected))
        await store.list_due()
        await store.delete("a")
        texts += [repr(store), caplog.text, *(repr(vars(record)) for record in caplog.records)]
        assert not [text for text in texts if CANARY in text]
        with pytest.raises(TypeError):
            pickle.dumps(store)
