"""A call of every method of a `FlowStore`, and what each one changes, for tests that interrupt them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.records import StoredFlow
from twilio_oauth_async.stores.testing.flow_records import APP, create, without_lease
from twilio_oauth_async.stores.testing.values import flow

DAY = 86_400.0


@attrs.frozen
class FlowCall:
    """A call for a storage with the flow ``"a"``, which ``"me"`` has leased."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any] = attrs.field(factory=dict[str, Any])
    changes: str = "a"
    """The id of the flow that it changes."""
    is_complete: Callable[[StoredFlow | None], bool] = lambda _: True
    """Whether this flow is as after the call."""

    def on(self, store: FlowStore) -> Coroutine[Any, Any, object]:
        """Make the call on `store`."""
        call: Coroutine[Any, Any, object] = getattr(store, self.method)(*self.arguments, **self.options)
        return call

    async def prepare(self, store: FlowStore) -> StoredFlow | None:
        """Store what the call needs, and return the flow that it will change."""
        for id_ in ("a", "c"):
            await store.delete(id_)
        await create(store, flow(), seconds=DAY)
        if self.method == "lease":
            await store.release(["a"], "me")
        return await store.load(self.changes)


def _is_created(found: StoredFlow | None) -> bool:
    return found is not None and without_lease(found) == flow("c") and found.owner == "me"


def _is_saved(found: StoredFlow | None) -> bool:
    return without_lease(found) == flow(faults=3)


def _is_leased(found: StoredFlow | None) -> bool:
    return found is not None and without_lease(found) == flow() and found.owner == "me"


def _is_released(found: StoredFlow | None) -> bool:
    return found == flow()


def _is_granted(found: StoredFlow | None) -> bool:
    return found is not None and (found.state, found.granted_to, found.owner) == ("granted", "me", "me")


def _is_ended(found: StoredFlow | None) -> bool:
    return found is not None and (found.state, found.problem) == ("denied", "no") and found.ended_at is not None


def _is_deleted(found: StoredFlow | None) -> bool:
    return found is None


CHANGING = {
    call.method: call
    for call in (
        FlowCall("create", (flow("c"),), {"owner": "me", "seconds": DAY}, changes="c", is_complete=_is_created),
        FlowCall("save", (flow(owner="me", faults=3),), is_complete=_is_saved),
        FlowCall("lease", (["a"], "me", DAY), is_complete=_is_leased),
        FlowCall("release", (["a"], "me"), is_complete=_is_released),
        FlowCall("grant", ("a", "me"), is_complete=_is_granted),
        FlowCall("end", ("a", "denied", "no"), is_complete=_is_ended),
        FlowCall("delete", ("a",), is_complete=_is_deleted),
    )
}
"""The calls that change a flow."""

CALLS = {
    **CHANGING,
    **{
        call.method: call
        for call in (
            FlowCall("load", ("a",)),
            FlowCall("find_user", (flow().key,)),
            FlowCall("list_due", (10,), APP),
            FlowCall("list_ended", (10,), APP),
        )
    },
}
"""All calls."""
