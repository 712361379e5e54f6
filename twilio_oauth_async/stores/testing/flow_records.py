"""What a `FlowStore` creates, saves, finds and deletes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest

from twilio_oauth_async.errors import ConfigurationError, StoreConflict
from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.records import StoredFlow, TokenKey
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import CLIENT, INVALID_KEYS, KEYS, SERVER, SIGNED_IN_AT, flow

APP: dict[str, Any] = {"client_sid": CLIENT, "server": SERVER}
"""The client and the server of all flows that `flow` makes."""

VALUES = {
    "full": flow(),
    "sparse": flow(context={}, scopes=(), audiences=(), verification_uri_complete=None, server=""),
    "context": flow(context={"": "", "chat": "ä \N{GRINNING FACE} \\ \" ' \x7f\0", "long": "x" * 10_000}),
    "delivered": flow(delivered=True, faults=10**6, answer_lost=False, interval=0.001),
    "microseconds": flow(expires_at=SIGNED_IN_AT + timedelta(microseconds=1)),
}


def without_lease(found: StoredFlow | None) -> StoredFlow | None:
    """Return `found` without what the store adds by its own clock: lease and end."""
    return None if found is None else attrs.evolve(found, owner=None, leased_until=None, ended_at=None)


async def create(store: FlowStore, *flows: StoredFlow, owner: str = "me", seconds: float = 60) -> None:
    """Create flows of different users, and check that they are stored."""
    for new in flows:
        created = await store.create(new, owner=owner, seconds=seconds)
        assert without_lease(created) == new
        assert created.owner == owner


class FlowRecordTests(StoreContract):
    """`create`, `save`, `load`, `find_user` and `delete`."""

    async def test_calls_for_a_missing_flow_find_nothing(self, open_store: Callable[[], FlowStore]) -> None:
        """An empty storage is not an error."""
        store = open_store()
        assert await store.load("a") is None
        assert await store.find_user("a") is None
        assert list(await store.list_due(10, **APP)) == list(await store.list_ended(10, **APP)) == []
        assert await store.lease(["a", "b"], "me", 60) == set()
        assert await store.lease([], "me", 60) == set()
        await store.release(["a"], "me")
        await store.release([], "me")
        assert await store.grant("a", "me") is False
        assert await store.end("a", "failed", "no reason") is False
        await store.delete("a")
        assert await store.load("a") is None

    @pytest.mark.parametrize("name", VALUES)
    async def test_created_flow_is_loaded_unchanged_also_by_another_object(
        self, open_store: Callable[[], FlowStore], name: str
    ) -> None:
        """Every field, the context included; the lease belongs to the creator."""
        store, new = open_store(), VALUES[name]
        await create(store, new)
        for each in (store, open_store()):
            for found in (await each.load("a"), await each.find_user(new.key)):
                assert without_lease(found) == new
                assert found is not None
                assert found.owner == "me"

    async def test_create_returns_the_pending_flow_of_the_user(self, open_store: Callable[[], FlowStore]) -> None:
        """A user has one pending flow of a client and server; the second one is not stored."""
        store = open_store()
        await create(store, flow("first", user="ann"), owner="one")
        again = await open_store().create(flow("second", user="ann"), owner="two", seconds=60)
        assert without_lease(again) == flow("first", user="ann")
        assert again.owner == "one"
        assert await store.load("second") is None

    async def test_create_returns_the_granted_flow_of_the_user(self, open_store: Callable[[], FlowStore]) -> None:
        """A process still saves its token, so another sign-in is not needed."""
        store = open_store()
        await create(store, flow("first", user="ann"))
        assert await store.grant("first", "me") is True
        again = await store.create(flow("second", user="ann"), owner="you", seconds=60)
        assert (again.id, again.state) == ("first", "granted")

    @pytest.mark.parametrize("change", [("user", "bob"), ("client_sid", "OQ2"), ("server", "https://two.example")])
    async def test_create_keeps_users_clients_and_servers_apart(
        self, open_store: Callable[[], FlowStore], change: tuple[str, str]
    ) -> None:
        """Two apps on one store and one user have a flow each."""
        changes: dict[str, Any] = {"user": "ann", change[0]: change[1]}
        store, first, second = open_store(), flow("first", user="ann"), flow("second", **changes)
        await create(store, first, second)
        assert without_lease(await open_store().find_user(first.key)) == first
        assert without_lease(await open_store().find_user(second.key)) == second
        await store.delete("first")
        assert await store.find_user(first.key) is None
        assert without_lease(await store.find_user(second.key)) == second

    @pytest.mark.parametrize("ended", [False, True], ids=["pending", "ended"])
    async def test_create_with_a_used_id_raises_conflict(
        self, open_store: Callable[[], FlowStore], ended: bool
    ) -> None:
        """An id belongs to one flow, also after its end."""
        store = open_store()
        await create(store, flow("first", user="ann"))
        if ended:
            assert await store.end("first", "denied") is True
        before = await store.load("first")
        with pytest.raises(StoreConflict) as caught:
            await open_store().create(flow("first", user="bob"), owner="you", seconds=60)
        assert caught.value.__context__ is None
        assert await store.load("first") == before
        assert await store.find_user(flow("first", user="bob").key) is None

    async def test_create_after_the_end_of_the_previous_flow_stores_a_new_one(
        self, open_store: Callable[[], FlowStore]
    ) -> None:
        """The ended flow stays until it is deleted, and its deletion does not touch the new one."""
        store = open_store()
        await create(store, flow("first", user="ann"))
        assert await store.end("first", "expired") is True
        assert await store.find_user(flow("first", user="ann").key) is None
        await create(store, flow("second", user="ann"))
        found = await store.load("first")
        assert found is not None
        assert found.state == "expired"
        await open_store().delete("first")
        assert without_lease(await store.find_user(flow(user="ann").key)) == flow("second", user="ann")
        await store.delete("second")
        await create(open_store(), flow("first", user="ann"))

    async def test_concurrent_creates_of_one_user_store_one_flow(self, open_store: Callable[[], FlowStore]) -> None:
        """Each caller gets the same flow."""
        stores = [open_store(), open_store()]
        created = await asyncio.gather(
            *(stores[n % 2].create(flow(f"{n}", user="ann"), owner=f"owner {n}", seconds=60) for n in range(12))
        )
        assert len({(each.id, each.owner) for each in created}) == 1
        assert created[0].owner == f"owner {created[0].id}"
        assert [n for n in range(12) if await stores[0].load(f"{n}") is not None] == [int(created[0].id)]

    async def test_save_replaces_authorization_context_and_delivered(self, open_store: Callable[[], FlowStore]) -> None:
        """They are what the owner of the lease changes; the lease stays."""
        store = open_store()
        await create(store, flow())
        loaded = await store.load("a")
        assert loaded is not None
        authorization = attrs.evolve(loaded.authorization, faults=3, interval=20.0, answer_lost=False)
        changed = attrs.evolve(loaded, authorization=authorization, context={"chat": "43"}, delivered=True)
        await open_store().save(changed)
        assert await store.load("a") == changed

    async def test_save_keeps_lease_grant_and_end(self, open_store: Callable[[], FlowStore]) -> None:
        """They change by `lease`, `grant` and `end` only; a copy that was loaded before does not undo them."""
        store = open_store()
        await create(store, flow())
        assert await store.grant("a", "me") is True
        changed = flow(owner="me", state="granted", faults=3, problem="x", granted_to="you", ended_at=SIGNED_IN_AT)
        await store.save(changed)
        found = await store.load("a")
        assert found is not None
        assert (found.owner, found.granted_to, found.problem, found.ended_at) == ("me", "me", None, None)
        assert found.authorization == changed.authorization
        assert await store.end("a", "failed", "disk full") is True
        await store.save(attrs.evolve(flow(owner="me", state="failed"), delivered=True))
        found = await open_store().load("a")
        assert found is not None
        assert (found.granted_to, found.problem, found.delivered) == ("me", "disk full", True)
        assert found.ended_at is not None

    async def test_save_of_a_missing_flow_raises_conflict(self, open_store: Callable[[], FlowStore]) -> None:
        """A save never creates a flow: one that was deleted does not come back."""
        store = open_store()
        await create(store, flow())
        await store.delete("a")
        for owner in ("me", None):
            with pytest.raises(StoreConflict) as caught:
                await open_store().save(flow(owner=owner))
            assert caught.value.__context__ is None
        assert await store.load("a") is None
        assert await store.find_user(flow().key) is None
        assert list(await store.list_due(10, **APP)) == []

    async def test_save_of_a_changed_state_raises_conflict(self, open_store: Callable[[], FlowStore]) -> None:
        """A process that has not seen the grant or the end does not overwrite it."""
        store = open_store()
        await create(store, flow())
        for change in (store.grant("a", "me"), store.end("a", "approved")):
            before = await open_store().load("a")
            assert before is not None
            assert await change is True
            with pytest.raises(StoreConflict):
                await open_store().save(before)
        with pytest.raises(StoreConflict):
            await store.save(flow(owner="me"))
        found = await store.load("a")
        assert found is not None
        assert found.state == "approved"

    async def test_ids_and_users_that_look_alike_are_different(self, open_store: Callable[[], FlowStore]) -> None:
        """Unicode, control characters, paths, patterns, 5,000 characters."""
        store, flows = open_store(), [flow(key, user=key) for key in KEYS]
        await create(store, *flows, owner="\0 '\N{GRINNING FACE}")
        assert [without_lease(await open_store().load(key)) for key in KEYS] == flows
        assert [without_lease(await store.find_user(each.key)) for each in flows] == flows
        await open_store().delete(KEYS[0])
        assert [without_lease(await store.load(key)) for key in KEYS[:2]] == [None, flows[1]]
        assert [without_lease(await store.find_user(each.key)) for each in flows[:2]] == [None, flows[1]]

    async def test_find_user_accepts_a_string_for_a_user_without_client_and_server(
        self, open_store: Callable[[], FlowStore]
    ) -> None:
        """As in a `TokenStore`; such a flow has neither, so the flow of another client is not found."""
        store = open_store()
        await create(store, flow(user="ann"))
        assert await store.find_user("ann") is None
        assert await store.find_user(TokenKey("ann", CLIENT)) is None
        assert without_lease(await store.find_user(TokenKey("ann", CLIENT, SERVER))) == flow(user="ann")

    @pytest.mark.parametrize("value", INVALID_KEYS, ids=repr)
    async def test_invalid_id_user_or_owner_raises_configuration_error(
        self, open_store: Callable[[], FlowStore], value: Any
    ) -> None:
        """In every method."""
        store = open_store()
        await create(store, flow())
        calls = [
            store.create(attrs.evolve(flow("b"), id=value), owner="me", seconds=60),
            store.create(flow("b"), owner=value, seconds=60),
            store.save(attrs.evolve(flow(), id=value)),
            store.load(value),
            store.find_user(value),
            store.find_user(TokenKey(value, CLIENT, SERVER)),
            store.lease([value], "me", 60),
            store.lease(["a"], value, 60),
            store.release([value], "me"),
            store.release(["a"], value),
            store.grant(value, "me"),
            store.grant("a", value),
            store.end(value, "failed"),
            store.delete(value),
        ]
        for call in calls:
            with pytest.raises(ConfigurationError):
                await call
        found = await store.load("a")
        assert without_lease(found) == flow()
        assert found is not None
        assert found.owner == "me"
