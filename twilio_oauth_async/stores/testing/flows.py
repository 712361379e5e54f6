"""`FlowStoreContract`: what every `FlowStore` must do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.memory import MemoryFlowStore
from twilio_oauth_async.stores.records import StoredFlow
from twilio_oauth_async.stores.testing.flow_ends import ENDS, FlowEndTests
from twilio_oauth_async.stores.testing.flow_leases import FlowLeaseTests
from twilio_oauth_async.stores.testing.flow_records import APP, FlowRecordTests
from twilio_oauth_async.stores.testing.flow_safety import FlowSafetyTests
from twilio_oauth_async.stores.testing.model import ModelTests, Step, outcome_of
from twilio_oauth_async.stores.testing.values import flow


class FlowStoreContract(FlowRecordTests, FlowLeaseTests, FlowEndTests, FlowSafetyTests, ModelTests):
    """The tests of a `FlowStore`. A subclass whose name begins with ``Test`` defines the fixture `open_store`.

    ::

        class TestMyFlowStore(FlowStoreContract):
            @pytest.fixture
            def open_store(self, tmp_path, clock):
                return lambda: MyFlowStore(tmp_path / "flows.db", clock=clock)

    A store without a clock of its own takes `clock`, so that the tests can let leases expire. Further fixtures and
    attributes are those of `StoreContract`.
    """

    async def test_random_calls_through_two_objects_match_the_memory_store(
        self, open_store: Callable[[], FlowStore], clock: VirtualClock, advance: Callable[[float], Awaitable[Any]]
    ) -> None:
        """Sequences that no other test makes: all methods, three flows of two users, two owners."""
        stores = [open_store(), open_store()]

        async def check(case: str, steps: Sequence[Step]) -> None:
            model = MemoryFlowStore(clock=self.model_clock(clock))
            ids = [f"{case}{name}" for name in "abc"]
            for step in steps:
                number = int(step["store"])
                store, other = stores[number], stores[1 - number]
                if step["call"] == "wait":
                    await advance(step["seconds"])
                else:
                    expected = self._comparable(await outcome_of(_made(model, case, step)))
                    assert self._comparable(await outcome_of(_made(store, case, step))) == expected
                for id_ in ids:
                    assert self._comparable(await other.load(id_)) == self._comparable(await model.load(id_))
                for listing in ("list_due", "list_ended"):
                    found = await getattr(other, listing)(1000, **APP)
                    expected_ids = sorted(each.id for each in await getattr(model, listing)(1000, **APP))
                    assert sorted(each.id for each in found if each.id in ids) == expected_ids
            for id_ in ids:
                await stores[0].delete(id_)

        await self.run_examples(
            check,
            call=["create", "create", "save", "find_user", "lease", "lease", "release", "grant", "end", "delete"]
            + ["wait"] * (not self.own_clock),
            store=[0, 1],
            id=["a", "b", "c"],
            ids=["a", "ab", "abc"],
            user=["ann", "ä/{}"],
            owner=["one", "two"],
            seconds=[3600] if self.own_clock else [1, 2, 3],
            state=list(ENDS),
            saved_state=["pending", "pending", "granted", "approved", "denied"],
            faults=[0, 1],
        )

    def _comparable(self, value: object) -> object:
        """Return `value` without times that the memory store cannot know."""
        if not self.own_clock or not isinstance(value, StoredFlow):
            return value
        return attrs.evolve(
            value,
            leased_until=None if value.leased_until is None else value.authorization.expires_at,
            ended_at=None if value.ended_at is None else value.authorization.expires_at,
        )


async def _made(store: FlowStore, case: str, step: Step) -> object:
    """Make the call of `step` on `store`, and return its result."""
    call, id_, owner, seconds = step["call"], case + step["id"], step["owner"], step["seconds"]
    value = flow(id_, user=case + step["user"], state=step["saved_state"], owner=owner, faults=step["faults"])
    if call == "create":
        return await store.create(attrs.evolve(value, state="pending", owner=None), owner=owner, seconds=seconds)
    if call == "save":
        present = await store.load(id_)
        # The user, the client and the server of a flow do not change.
        await store.save(value if present is None else attrs.evolve(value, user=present.user))
        return None
    if call == "find_user":
        return await store.find_user(value.key)
    if call in {"lease", "release"}:
        ids = [case + name for name in step["ids"]]
        return await (store.lease(ids, owner, seconds) if call == "lease" else store.release(ids, owner))
    if call == "grant":
        return await store.grant(id_, owner)
    if call == "end":
        return await store.end(id_, step["state"], step["owner"])
    await store.delete(id_)
    return None
