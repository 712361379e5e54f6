"""The contract of a `FlowStore`."""

import asyncio
import logging
import pickle
import secrets
from datetime import datetime, timedelta

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.interrupting import interrupt, others
from tests.helpers.stored_values import CANARY, told_by
from tests.helpers.token_store_contract import KEYS, NO_KEYS
from twilio_oauth_async import ConfigurationError, DeviceAuthorization, StoreConflict, VirtualClock
from twilio_oauth_async.stores.base import StoredFlow

START = VirtualClock(auto=False).now()


def at(seconds):
    """A point in time of the contract's clock."""
    return START + timedelta(seconds=seconds)


def flow(id="a", **changes):  # noqa: A002
    """A flow with everything in it."""
    authorization = DeviceAuthorization(
        client_sid="OQ1",
        scopes=("openid", "calls:read"),
        audiences=("api",),
        device_code=f"{CANARY}-{id[:20]}",
        user_code="ABCD-EFGH",
        verification_uri="https://example.com/activate",
        verification_uri_complete="https://example.com/activate?user_code=ABCD-EFGH",
        interval=7.5,
        expires_at=at(300),
        next_poll_at=at(7),
        faults=2,
        answer_lost=True,
    )
    return attrs.evolve(StoredFlow(id=id, user=f"user of {id}", authorization=authorization), **changes)


def claimed(id, owner, seconds):  # noqa: A002
    return flow(id, owner=owner, claimed_until=at(seconds))


def is_claimed(present, now):
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
    """Subclass it, and give `open_store`; stores are to tell the time by the fixture `clock`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def clock(self):
        return VirtualClock(auto=False)

    @pytest.fixture
    def open_store(self):
        raise NotImplementedError("give a fixture open_store: a function that opens the storage of this test")

    async def test_where_nothing_is(self, open_store):
        store = open_store()
        assert await store.load("a") is None
        assert list(await store.list_due()) == []
        assert await store.claim("a", "me", at(60)) is False
        await store.delete("a")

    async def test_what_was_saved_comes_back_also_through_another_object(self, open_store):
        store = open_store()
        for value in (flow(), claimed("a", "me", 60), claimed("a", "me", 30.25)):
            await store.save(value)
            assert await store.load("a") == await open_store().load("a") == value

    async def test_every_id_is_its_own(self, open_store):
        store = open_store()
        for id_ in KEYS:
            await store.save(flow(id_))
        assert [await open_store().load(id_) for id_ in KEYS] == [flow(id_) for id_ in KEYS]
        assert sorted(found.id for found in await store.list_due()) == sorted(KEYS)
        await open_store().delete(KEYS[0])
        assert [await store.load(id_) for id_ in KEYS[:2]] == [None, flow(KEYS[1])]

    @pytest.mark.parametrize("id_", NO_KEYS, ids=repr)
    async def test_what_is_no_id_or_owner(self, open_store, id_):
        store = open_store()
        with pytest.raises(ConfigurationError):
            await store.save(attrs.evolve(flow(), id=id_))
        for call in (store.load(id_), store.delete(id_), store.claim(id_, "me", at(1)), store.claim("a", id_, at(1))):
            with pytest.raises(ConfigurationError):
                await call

    @pytest.mark.parametrize("until", [datetime(2026, 1, 1), None, 5])  # noqa: DTZ001
    async def test_what_is_no_end_of_a_claim(self, open_store, until):
        store = open_store()
        await store.save(flow())
        with pytest.raises(ConfigurationError):
            await store.claim("a", "me", until)

    async def test_a_claim_keeps_others_out_until_it_has_run_out(self, open_store, clock):
        one, other = open_store(), open_store()
        await one.save(flow())
        assert await one.claim("a", "me", at(60)) is True
        assert await other.load("a") == claimed("a", "me", 60)
        assert await other.claim("a", "you", at(90)) is False
        assert list(await other.list_due()) == []
        clock.advance(59.999)
        assert await other.claim("a", "you", at(90)) is False
        assert list(await other.list_due()) == []
        clock.advance(0.001)
        assert list(await other.list_due()) == [claimed("a", "me", 60)]
        assert await other.claim("a", "you", at(90)) is True
        assert await one.claim("a", "me", at(120)) is False

    async def test_one_prolongs_or_ends_one_s_own_claim(self, open_store, clock):
        store = open_store()
        await store.save(claimed("a", "me", 60))
        assert await store.claim("a", "me", at(120)) is True
        clock.advance(90)
        assert await store.claim("a", "you", at(150)) is False
        assert await store.claim("a", "me", clock.now()) is True
        assert [found.id for found in await open_store().list_due()] == ["a"]
        assert await store.claim("a", "you", at(150)) is True

    async def test_a_claim_ends_to_the_microsecond(self, open_store, clock):
        store = open_store()
        await store.save(claimed("a", "me", 60.0004))
        clock.advance(60.0001)
        assert list(await store.list_due()) == []
        assert await store.claim("a", "you", at(90)) is False
        clock.advance(0.0003)
        assert [found.id for found in await store.list_due()] == ["a"]
        assert await store.claim("a", "you", at(90)) is True

    async def test_only_the_owner_saves_while_a_claim_is_in_force(self, open_store, clock):
        store, other = open_store(), open_store()
        await store.save(claimed("a", "me", 60))
        for stranger in (flow(), claimed("a", "you", 600)):
            with pytest.raises(StoreConflict) as caught:
                await other.save(stranger)
            assert caught.value.__context__ is None
            assert CANARY not in str(caught.value)
        assert await store.load("a") == claimed("a", "me", 60)
        mine = attrs.evolve(claimed("a", "me", 60), authorization=attrs.evolve(flow().authorization, faults=3))
        await store.save(mine)
        assert await other.load("a") == mine
        clock.advance(60)
        await other.save(claimed("a", "you", 600))
        assert await store.load("a") == claimed("a", "you", 600)

    async def test_the_due_ones_are_those_that_nobody_drives(self, open_store, clock):
        store = open_store()
        for value in (flow("new"), claimed("dead", "you", -1), claimed("alive", "you", 60), claimed("soon", "me", 5)):
            await store.save(value)
        assert sorted(found.id for found in await open_store().list_due()) == ["dead", "new"]
        clock.advance(5)
        assert sorted(found.id for found in await store.list_due()) == ["dead", "new", "soon"]
        await store.delete("new")
        await store.claim("dead", "me", at(60))
        assert [found.id for found in await store.list_due()] == ["soon"]

    async def test_of_many_who_claim_at_once_one_gets_it(self, open_store):
        stores = [open_store(), open_store()]
        await stores[0].save(flow())
        won = await asyncio.gather(*(stores[n % 2].claim("a", f"owner {n}", at(60)) for n in range(16)))
        assert sorted(won) == [False] * 15 + [True]
        assert (await stores[0].load("a")).owner == f"owner {won.index(True)}"

    async def test_many_flows_at_once(self, open_store):
        stores = [open_store(), open_store()]
        await asyncio.gather(*(stores[n % 2].save(flow(f"{n}")) for n in range(20)))
        claims = await asyncio.gather(*(stores[n % 2].claim(f"{n}", "me", at(60)) for n in range(10)))
        assert claims == [True] * 10
        assert {found.id for found in await stores[0].list_due()} == {f"{n}" for n in range(10, 20)}

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operations=OPERATIONS)
    async def test_two_objects_are_one_store(self, open_store, clock, operations):
        """Whatever is done through either of them, both show what a dict would."""
        stores, model, case = [open_store(), open_store()], {}, secrets.token_hex(8)
        for operation, who, name, owner, seconds in operations:
            store, id_ = stores[who], f"{case}{name}"
            now = clock.now()
            until = now + timedelta(seconds=seconds)
            present = model.get(id_)
            taken = present is not None and is_claimed(present, now) and present.owner != owner
            if operation == "pass":
                clock.advance(seconds / 2)
            elif operation == "due":
                due = {found.id: found for found in await store.list_due() if found.id.startswith(case)}
                assert due == {key: value for key, value in model.items() if not is_claimed(value, now)}
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

    async def test_cancelled_at_each_await_a_change_is_whole_or_not_at_all(self, open_store):
        store, other = open_store(), open_store()
        await store.save(flow("b"))
        states = {
            "save": (lambda: store.save(claimed("a", "me", 60)), [None, claimed("a", "me", 60)]),
            "claim": (lambda: store.claim("a", "me", at(60)), [flow(), claimed("a", "me", 60)]),
            "delete": (lambda: store.delete("a"), [flow(), None]),
            "load": (lambda: store.load("a"), [flow()]),
            "due": (store.list_due, [flow()]),
        }
        for call, allowed in states.values():
            number, going = 0, True
            while going:
                number += 1
                await other.delete("a")
                if allowed[0] is not None:
                    await other.save(allowed[0])
                going = await interrupt(call(), number)
                assert await other.load("a") in allowed
                assert await other.load("b") == flow("b")
            assert await other.load("a") == allowed[-1]
        assert not await others()

    async def test_no_secret_is_told(self, open_store, caplog):
        caplog.set_level(logging.DEBUG)
        asyncio.get_running_loop().set_debug(True)
        store = open_store()
        told = []
        await store.save(claimed("a", "me", 60))
        for bad in (flow(), flow("b", user="\ud800" + CANARY)):
            told += await told_by(store.save(bad))
        await store.list_due()
        await store.delete("a")
        told += [repr(store), caplog.text, *(repr(vars(record)) for record in caplog.records)]
        assert not [text for text in told if CANARY in text]
        with pytest.raises(TypeError):
            pickle.dumps(store)
