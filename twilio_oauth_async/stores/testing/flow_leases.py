"""Leases of a `FlowStore`: the right to poll a flow; and the lists of flows that no process has leased."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from twilio_oauth_async.clock import Clock, VirtualClock
from twilio_oauth_async.errors import ConfigurationError, StoreConflict
from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.testing.flow_records import APP, create, without_lease
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import CLIENT, SERVER, SIGNED_IN_AT, flow

Advance = Callable[[float], Awaitable[Any]]


async def due(store: FlowStore, limit: int = 1000) -> list[str]:
    """Return the ids of the flows that are due, sorted."""
    return sorted(found.id for found in await store.list_due(limit, **APP))


async def ended(store: FlowStore, limit: int = 1000) -> list[str]:
    """Return the ids of the flows that have ended and are not leased, sorted."""
    return sorted(found.id for found in await store.list_ended(limit, **APP))


class FlowLeaseTests(StoreContract):
    """`lease`, `release`, `list_due` and `list_ended`."""

    async def test_lease_excludes_other_owners_until_it_expires(
        self, open_store: Callable[[], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """Then another owner takes it, and the previous one cannot have it back."""
        one, other = open_store(), open_store()
        await create(one, flow(), seconds=lease_seconds)
        assert await other.lease(["a"], "you", 60) == set()
        assert await due(other) == []
        await advance(lease_seconds)
        assert await due(other) == ["a"]
        assert await other.lease(["a"], "you", 60) == {"a"}
        assert await one.lease(["a"], "me", 60) == set()
        assert await due(one) == []
        found = await one.load("a")
        assert found is not None
        assert found.owner == "you"

    async def test_lease_ends_to_the_microsecond(
        self, open_store: Callable[[], FlowStore], clock: VirtualClock, advance: Advance
    ) -> None:
        """The end itself does not belong to the lease."""
        self.need_movable_clock()
        store, now = open_store(), clock.now()
        await create(store, flow(), seconds=60.0004)
        found = await store.load("a")
        assert found is not None
        assert found.leased_until == now + timedelta(seconds=60.0004)
        await advance(60.0001)
        assert await due(store) == []
        assert await store.lease(["a"], "you", 60) == set()
        await advance(0.0003)
        assert await due(store) == ["a"]
        assert await store.lease(["a"], "you", 60) == {"a"}

    async def test_owner_extends_its_own_lease(
        self, open_store: Callable[[], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """By a lease of the same owner, from any process."""
        store = open_store()
        await create(store, flow(), seconds=lease_seconds)
        assert await open_store().lease(["a"], "me", lease_seconds + 60) == {"a"}
        await advance(lease_seconds)
        assert await store.lease(["a"], "you", 60) == set()
        assert await due(store) == []

    async def test_owner_whose_lease_has_expired_can_take_it_again(
        self, open_store: Callable[[], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """If no other process was faster."""
        store = open_store()
        await create(store, flow(), seconds=lease_seconds)
        await advance(lease_seconds)
        assert await store.lease(["a"], "me", 60) == {"a"}
        assert await store.lease(["a"], "you", 60) == set()

    async def test_release_makes_the_flow_due_at_once(self, open_store: Callable[[], FlowStore]) -> None:
        """Many at once; missing flows are ignored."""
        store = open_store()
        await create(store, flow("a"), flow("b"), flow("c"))
        await open_store().release(["a", "b", "missing"], "me")
        assert await due(store) == ["a", "b"]
        found = await store.load("a")
        assert found == flow("a")
        assert await store.lease(["a", "b", "c"], "you", 60) == {"a", "b"}

    async def test_release_by_another_owner_does_nothing(self, open_store: Callable[[], FlowStore]) -> None:
        """A process that has lost a lease does not take it from the next owner."""
        store = open_store()
        await create(store, flow())
        await store.release(["a"], "you")
        assert await due(store) == []
        assert await store.lease(["a"], "you", 60) == set()

    async def test_lease_of_many_flows_returns_those_that_the_owner_has(
        self, open_store: Callable[[], FlowStore]
    ) -> None:
        """Its own, free ones and expired ones; not those of others and not missing ones. Repeated ids count once."""
        store = open_store()
        await create(store, flow("mine"), flow("free"))
        await create(store, flow("yours"), owner="you")
        await store.release(["free"], "me")
        ids = ["mine", "free", "yours", "missing", "mine"]
        assert await open_store().lease(ids, "me", 60) == {"mine", "free"}
        assert await store.lease({"yours", "mine"}, "you", 60) == {"yours"}

    async def test_lease_of_hundreds_of_flows_is_one_call(self, open_store: Callable[[], FlowStore]) -> None:
        """A pool renews all its leases together."""
        store, ids = open_store(), [f"{number}" for number in range(400)]
        await asyncio.gather(*(store.create(flow(id_), owner="me", seconds=60) for id_ in ids))
        assert await store.lease(ids, "me", 60) == set(ids)
        assert await store.lease(ids, "you", 60) == set()
        await store.release(ids[:300], "me")
        assert await store.lease(tuple(ids), "you", 60) == set(ids[:300])

    @pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
    async def test_invalid_lease_raises_configuration_error(
        self, open_store: Callable[[], FlowStore], seconds: float
    ) -> None:
        """A lease lasts a positive, finite number of seconds."""
        store = open_store()
        await create(store, flow())
        for call in (store.lease(["a"], "me", seconds), store.create(flow("b"), owner="me", seconds=seconds)):
            with pytest.raises(ConfigurationError):
                await call
        assert await store.load("b") is None

    async def test_save_by_another_owner_during_a_lease_raises_conflict(
        self, open_store: Callable[[], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """Only the owner saves; once the lease has expired, any process may save."""
        store, other = open_store(), open_store()
        await create(store, flow(), seconds=lease_seconds + 60)
        changed = flow(faults=3)
        for owner in (None, "you"):
            with pytest.raises(StoreConflict) as caught:
                await other.save(attrs.evolve(changed, owner=owner))
            assert caught.value.__context__ is None
        assert without_lease(await store.load("a")) == flow()
        assert await store.lease(["a"], "me", lease_seconds) == {"a"}
        await advance(lease_seconds)
        await other.save(attrs.evolve(changed, owner="you"))
        assert without_lease(await store.load("a")) == changed

    async def test_save_by_the_previous_owner_raises_conflict(
        self, open_store: Callable[[], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """A process that was suspended does not overwrite the state of the process that took over."""
        store = open_store()
        await create(store, flow(), seconds=lease_seconds)
        mine = await store.load("a")
        assert mine is not None
        await advance(lease_seconds)
        assert await open_store().lease(["a"], "you", 60) == {"a"}
        with pytest.raises(StoreConflict):
            await store.save(mine)

    async def test_save_does_not_extend_or_give_a_lease(
        self, open_store: Callable[[], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """`owner` and `leased_until` of the saved value are not stored."""
        store = open_store()
        await create(store, flow(), seconds=lease_seconds)
        later = SIGNED_IN_AT + timedelta(days=36500)
        await store.save(flow(owner="me", leased_until=later))
        await advance(lease_seconds)
        await store.save(flow(owner="you", leased_until=later))
        found = await store.load("a")
        assert found is not None
        assert found.owner in {"me", None}
        assert await due(store) == ["a"]
        assert await store.lease(["a"], "another", 60) == {"a"}

    async def test_list_due_returns_flows_of_this_client_and_server_without_a_lease(
        self, open_store: Callable[[], FlowStore]
    ) -> None:
        """Pending and granted ones, not ended ones."""
        store = open_store()
        flows = [
            flow("pending"),
            flow("granted"),
            flow("ended"),
            flow("client", client_sid="OQ2"),
            flow("server", server=""),
        ]
        await create(store, flow("leased"), *flows)
        assert await store.grant("granted", "me") is True
        assert await store.end("ended", "denied") is True
        await store.release([each.id for each in flows], "me")
        assert await due(open_store()) == ["granted", "pending"]
        assert without_lease((await store.list_due(1000, client_sid="OQ2", server=SERVER))[0]) == flows[3]
        assert [found.id for found in await store.list_due(1000, client_sid=CLIENT, server="")] == ["server"]
        assert list(await store.list_due(1000, client_sid="", server="")) == []
        await store.delete("granted")
        assert await due(store) == ["pending"]

    async def test_list_ended_returns_ended_flows_of_this_client_and_server_without_a_lease(
        self, open_store: Callable[[], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """The owner of the lease reports the end; without an owner, any process takes it up."""
        store = open_store()
        await create(store, flow("a"), flow("b"), flow("pending"), flow("other", client_sid="OQ2"))
        for id_ in ("a", "b", "other"):
            assert await store.end(id_, "denied", "no") is True
        assert await ended(store) == []
        await store.release(["a", "b", "pending", "other"], "me")
        assert await ended(open_store()) == ["a", "b"]
        assert await store.lease(["a"], "you", lease_seconds) == {"a"}
        assert await ended(store) == ["b"]
        await advance(lease_seconds)
        assert await ended(store) == ["a", "b"]
        await store.delete("b")
        assert await ended(store) == ["a"]

    @pytest.mark.parametrize("limit", [1, 3, 7])
    async def test_lists_return_at_most_limit_flows_and_all_flows_in_turn(
        self, open_store: Callable[[], FlowStore], limit: int
    ) -> None:
        """Flows that others have leased do not use up the limit."""
        store, ids = open_store(), sorted(f"{number}" for number in range(7))
        await create(store, *(flow(id_) for id_ in ids))
        await store.release(ids, "me")
        for listing in (store.list_due, store.list_ended):
            taken: list[str] = []
            while found := [each.id for each in await listing(limit, **APP)]:
                assert len(found) == min(limit, 7 - len(taken))
                assert await store.lease(found, "me", 60) == set(found)
                taken += found
            assert sorted(taken) == ids
            for id_ in ids:
                assert await store.end(id_, "denied") is True
            await store.release(ids, "me")

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_limit_below_one_raises_configuration_error(
        self, open_store: Callable[[], FlowStore], limit: int
    ) -> None:
        """A limit of 0 is a mistake of the caller."""
        store = open_store()
        for call in (store.list_due(limit, **APP), store.list_ended(limit, **APP)):
            with pytest.raises(ConfigurationError):
                await call

    async def test_concurrent_leases_of_one_flow_have_one_owner(self, open_store: Callable[[], FlowStore]) -> None:
        """The result says who it is."""
        stores = [open_store(), open_store()]
        await create(stores[0], flow())
        await stores[0].release(["a"], "me")
        won = await asyncio.gather(*(stores[n % 2].lease(["a"], f"owner {n}", 60) for n in range(16)))
        assert sorted(won, key=len) == [set()] * 15 + [{"a"}]
        found = await stores[0].load("a")
        assert found is not None
        assert found.owner == f"owner {won.index({'a'})}"

    async def test_concurrent_leases_of_many_flows_share_them(self, open_store: Callable[[], FlowStore]) -> None:
        """Each flow has one owner, whatever the order of the ids."""
        stores, ids = [open_store(), open_store()], [f"{n}" for n in range(20)]
        await create(stores[0], *(flow(id_) for id_ in ids))
        await stores[0].release(ids, "me")
        orders = [ids, ids[::-1], ids[10:] + ids[:10], ids[::2] + ids[1::2]]
        won = await asyncio.gather(*(stores[n % 2].lease(order, f"{n}", 60) for n, order in enumerate(orders)))
        assert sorted(id_ for share in won for id_ in share) == sorted(ids)

    async def test_hosts_with_different_clocks_agree_on_leases(
        self, open_store_at: Callable[[Clock], FlowStore], lease_seconds: float, advance: Advance
    ) -> None:
        """A host whose clock is ahead does not take a valid lease; one whose clock is behind takes an expired one."""
        self.need_own_clock()
        hours = (-30, 0, 30)
        stores = [open_store_at(VirtualClock(SIGNED_IN_AT + timedelta(minutes=m), auto=False)) for m in hours]
        for n, store in enumerate(stores):
            await create(store, flow(f"long {n}"), owner=f"{n}", seconds=60)
            await create(store, flow(f"short {n}"), owner=f"{n}", seconds=lease_seconds)
        ids = [f"long {n}" for n in range(3)]
        for n, store in enumerate(stores):
            assert await store.lease(ids, f"{n}", 60) == {f"long {n}"}
        await advance(lease_seconds)
        for n, store in enumerate(stores):
            assert await due(store) == [f"short {m}" for m in range(n, 3)]
            assert await store.lease([f"short {n}"], "another", 60) == {f"short {n}"}
