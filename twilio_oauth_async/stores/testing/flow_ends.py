"""`grant` and `end` of a `FlowStore`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import get_args

import pytest

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.records import FlowState, StoredFlow
from twilio_oauth_async.stores.testing.flow_records import create
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import flow

ENDS: tuple[FlowState, ...] = tuple(state for state in get_args(FlowState) if state not in {"pending", "granted"})

ALLOWED: dict[FlowState, tuple[FlowState, ...]] = {
    "pending": ("denied", "expired", "cancelled", "failed"),
    "granted": ("approved", "failed"),
}
"""The ends of a pending and of a granted flow."""


async def load(store: FlowStore) -> StoredFlow:
    """Return the flow ``"a"``, which must exist."""
    found = await store.load("a")
    assert found is not None
    return found


class FlowEndTests(StoreContract):
    """The states of a flow."""

    async def test_grant_is_given_to_the_first_owner(self, open_store: Callable[[], FlowStore]) -> None:
        """By compare-and-set; the same owner may ask again."""
        store = open_store()
        await create(store, flow())
        assert await store.grant("a", "me") is True
        assert await open_store().grant("a", "you") is False
        assert await open_store().grant("a", "me") is True
        found = await load(store)
        assert (found.state, found.granted_to, found.ended_at) == ("granted", "me", None)
        assert await store.find_user(flow().key) == found

    async def test_grant_without_the_lease_is_recorded(self, open_store: Callable[[], FlowStore]) -> None:
        """A process that has received the token keeps it, also if its lease has been taken over meanwhile."""
        store = open_store()
        await create(store, flow(), owner="you")
        assert await store.grant("a", "me") is True
        found = await load(store)
        assert (found.granted_to, found.owner) == ("me", "you")
        assert await store.lease(["a"], "me", 60) == set()

    async def test_concurrent_grants_have_one_winner(self, open_store: Callable[[], FlowStore]) -> None:
        """Two processes do not both save a token of one device code."""
        stores = [open_store(), open_store()]
        await create(stores[0], flow())
        won = await asyncio.gather(*(stores[n % 2].grant("a", f"owner {n}") for n in range(16)))
        assert sorted(won) == [False] * 15 + [True]
        assert (await load(stores[0])).granted_to == f"owner {won.index(True)}"

    @pytest.mark.parametrize("state", ENDS)
    async def test_grant_after_the_end_is_not_recorded(
        self, open_store: Callable[[], FlowStore], state: FlowState
    ) -> None:
        """The token of a cancelled flow is not saved."""
        store = open_store()
        await create(store, flow())
        if state == "approved":
            assert await store.grant("a", "me") is True
        assert await store.end("a", state) is True
        for owner in ("me", "you"):
            assert await open_store().grant("a", owner) is False
        assert (await load(store)).state == state

    @pytest.mark.parametrize(("begin", "state"), list(itertools.product(ALLOWED, ENDS)))
    async def test_end_follows_the_allowed_changes_of_state(
        self, open_store: Callable[[], FlowStore], clock: VirtualClock, begin: FlowState, state: FlowState
    ) -> None:
        """A granted flow ends as approved or failed only: its token is saved, so it is not cancelled."""
        store, is_allowed = open_store(), state in ALLOWED[begin]
        await create(store, flow())
        if begin == "granted":
            assert await store.grant("a", "me") is True
        before = await load(store)
        assert await open_store().end("a", state, "the reason") is is_allowed
        found = await load(store)
        if not is_allowed:
            assert found == before
            return
        assert (found.state, found.problem, found.granted_to) == (state, "the reason", before.granted_to)
        assert found.owner == "me"
        assert found.ended_at is not None
        assert self.own_clock or found.ended_at == clock.now()
        assert await store.find_user(flow().key) is None

    @pytest.mark.parametrize("state", ENDS)
    async def test_ended_flow_does_not_end_again(self, open_store: Callable[[], FlowStore], state: FlowState) -> None:
        """The first end stays, with its reason and time; the same end is reported as true."""
        store = open_store()
        await create(store, flow())
        if state == "approved":
            assert await store.grant("a", "me") is True
        assert await store.end("a", state, "first") is True
        before = await load(store)
        for other in ENDS:
            assert await open_store().end("a", other, "second") is (other == state)
        assert await load(store) == before

    async def test_end_without_a_problem_stores_none(self, open_store: Callable[[], FlowStore]) -> None:
        """An approved flow has no problem."""
        store = open_store()
        await create(store, flow())
        assert await store.grant("a", "me") is True
        assert await store.end("a", "approved") is True
        assert (await load(store)).problem is None

    async def test_concurrent_ends_have_one_winner(self, open_store: Callable[[], FlowStore]) -> None:
        """Exactly one end is recorded, and each caller learns which."""
        stores = [open_store(), open_store()]
        await create(stores[0], flow())
        states = ALLOWED["pending"]
        won = await asyncio.gather(*(stores[n % 2].end("a", state, state) for n, state in enumerate(states)))
        assert sorted(won) == [False] * (len(states) - 1) + [True]
        found = await load(stores[1])
        assert found.state == found.problem == states[won.index(True)]

    async def test_concurrent_grant_and_cancellation_have_one_winner(self, open_store: Callable[[], FlowStore]) -> None:
        """Either the token is saved or the flow is cancelled."""
        stores = [open_store(), open_store()]
        for number in range(6):
            await create(stores[0], flow("a", user=f"{number}"))
            calls = [stores[0].grant("a", "me"), stores[1].end("a", "cancelled")]
            outcomes = await asyncio.gather(*(calls if number % 2 else calls[::-1]))
            assert sorted(outcomes) == [False, True]
            found = await load(stores[number % 2])
            grant_won = outcomes[0 if number % 2 else 1]
            assert found.state == ("granted" if grant_won else "cancelled")
            await stores[1].delete("a")
