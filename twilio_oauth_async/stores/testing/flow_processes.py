"""Several processes on one `FlowStore`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import attrs
import pytest

from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.records import StoredFlow
from twilio_oauth_async.stores.testing.flow_calls import CHANGING, DAY
from twilio_oauth_async.stores.testing.flow_records import APP, create, without_lease
from twilio_oauth_async.stores.testing.processes import SharedStoreContract, needs_fork, workers_on
from twilio_oauth_async.stores.testing.values import flow

SHORT = 0.2
"""Seconds: a lease that a test waits for."""


class SharedFlowStoreContract(SharedStoreContract):
    """The tests of a `FlowStore` that several processes share. Subclass it beside `FlowStoreContract`."""

    async def test_processes_see_each_other_s_changes(self, open_store: Callable[[], FlowStore], recipe: str) -> None:
        """Flows, leases, grants, ends."""
        store = open_store()
        async with workers_on(recipe, 2) as [one, two]:
            assert without_lease(await one.call("create", flow(), owner="one", seconds=60)) == flow()
            assert without_lease(await store.load("a")) == without_lease(await two.call("load", "a")) == flow()
            again: StoredFlow = await two.call("create", attrs.evolve(flow(), id="b"), owner="two", seconds=60)
            assert (again.id, again.owner) == ("a", "one")
            assert await two.call("lease", ["a"], "two", 60) == set()
            with pytest.raises(StoreConflict):
                await two.call("save", flow(owner="two"))
            await one.call("save", flow(owner="one", faults=3))
            assert without_lease(await two.call("find_user", flow().key)) == flow(faults=3)
            await one.call("release", ["a"], "one")
            assert [found.id for found in await two.call("list_due", 10, **APP)] == ["a"]
            assert await two.call("grant", "a", "two") is True
            assert await one.call("grant", "a", "one") is False
            assert await two.call("end", "a", "approved") is True
            assert await one.call("end", "a", "failed") is False
            assert [found.state for found in await one.call("list_ended", 10, **APP)] == ["approved"]
            await one.call("delete", "a")
            assert await two.call("load", "a") is await store.load("a") is None

    async def test_concurrent_leases_and_grants_in_processes_have_one_owner(
        self, open_store: Callable[[], FlowStore], recipe: str
    ) -> None:
        """Each flow is polled by one process, and its token saved by one."""
        store, ids = open_store(), [f"{n}" for n in range(12)]
        async with workers_on(recipe, 3) as workers:
            for id_ in ids:
                await workers[0].call("create", flow(id_), owner="creator", seconds=60)
            await workers[0].call("release", ids, "creator")
            assert sorted(found.id for found in await workers[1].call("list_due", 20, **APP)) == sorted(ids)
            leased: list[set[str]] = await asyncio.gather(
                *(worker.call("lease", ids[4 * n :] + ids[: 4 * n], f"{n}", 60) for n, worker in enumerate(workers))
            )
            assert sorted(itertools.chain(*leased)) == sorted(ids)
            assert await workers[0].call("list_due", 20, **APP) == []
            for id_ in ids[:4]:
                won = await asyncio.gather(*(worker.call("grant", id_, f"{n}") for n, worker in enumerate(workers)))
                assert sorted(won) == [False, False, True]
                found = await store.load(id_)
                assert found is not None
                assert found.granted_to == f"{won.index(True)}"
        owners = {id_: found.owner for id_ in ids if (found := await store.load(id_))}
        assert owners == {id_: f"{n}" for n, own in enumerate(leased) for id_ in own}

    async def test_lease_of_a_killed_process_expires(self, recipe: str) -> None:
        """Another process takes the flow up, after the lease and not before."""
        async with workers_on(recipe, 2) as [one, two]:
            await one.call("create", flow("long"), owner="one", seconds=600)
            await one.call("create", flow("short"), owner="one", seconds=600)
            assert await one.call("lease", ["short"], "one", SHORT) == {"short"}
            await one.kill()
            assert await two.call("lease", ["long", "short"], "two", 60) in [set(), {"short"}]
            await asyncio.sleep(SHORT)
            assert await two.call("lease", ["long", "short"], "two", 60) == {"short"}

    @needs_fork
    @pytest.mark.parametrize("name", CHANGING)
    async def test_call_killed_at_each_step_is_complete_or_without_effect(
        self, open_store: Callable[[], FlowStore], recipe: str, name: str
    ) -> None:
        """After ``kill -9`` the flow is as before or as after the call, and the storage works."""
        store, call, outcomes = open_store(), CHANGING[name], set[bool]()
        await create(store, flow("b"), seconds=DAY)
        neighbour, before = await store.load("b"), await call.prepare(store)
        async with workers_on(recipe, mode="kills") as [killer]:
            async for finished in self.killed_at_steps(killer, name, lambda: call.arguments, **call.options):
                found = await store.load(call.changes)
                assert call.is_complete(found) or (not finished and found == before)
                assert await store.load("b") == neighbour
                before = await call.prepare(store)
                outcomes.add(finished)
        assert outcomes == {True, False}
