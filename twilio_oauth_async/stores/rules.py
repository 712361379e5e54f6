"""Which changes of stored values are allowed. Pure: the same rules for every store.

Each function takes what is stored now and returns what to store instead, or raises `StoreConflict`. A store applies it
in one atomic step.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from twilio_oauth_async.errors import ConfigurationError, StoreConflict
from twilio_oauth_async.stores.records import FlowState, StoredFlow, StoredToken, Tombstone

TOMBSTONE_LIFETIME = timedelta(days=30)
"""The shortest time that a tombstone is kept."""

UNKNOWN_LIFETIME = timedelta(days=400)
"""How long a tombstone is kept if the end of the refresh token is unknown."""

_ENDS: Mapping[FlowState, frozenset[FlowState]] = {
    "approved": frozenset({"granted"}),
    "denied": frozenset({"pending"}),
    "expired": frozenset({"pending"}),
    "cancelled": frozenset({"pending"}),
    "failed": frozenset({"pending", "granted"}),
}
"""The end of a flow, and the states from which it can end so. A granted flow is not cancelled: its token is saved."""


def check_token(present: StoredToken | Tombstone | None, stored: StoredToken, replaces: str | None) -> None:
    """Raise unless `stored` may take the place of `present`.

    Args:
        present: what is stored now.
        stored: what is to be saved.
        replaces: the epoch that the caller has seen; None: it has seen no token.

    Raises:
        StoreConflict: it is an older generation, belongs to an older sign-in, or its sign-in was deleted.
    """
    if present is None:
        return
    if isinstance(present, Tombstone):
        if replaces == stored.epoch or stored.signed_in_at <= present.signed_in_at:
            raise StoreConflict("the sign-in was deleted")
        return
    if stored.epoch == present.epoch:
        if stored.generation < present.generation:
            raise StoreConflict(
                f"generation {present.generation} is stored, which is newer than generation {stored.generation}"
            )
        return
    if replaces != present.epoch or stored.signed_in_at < present.signed_in_at:
        raise StoreConflict("the token of another sign-in is stored")


def tombstone(present: StoredToken | Tombstone | None, now: datetime) -> Tombstone:
    """Return what a deletion leaves in the place of `present`."""
    if isinstance(present, Tombstone):
        return attrs.evolve(present, expires_at=max(present.expires_at, now + TOMBSTONE_LIFETIME))
    if present is None:
        return Tombstone(signed_in_at=now, expires_at=now + TOMBSTONE_LIFETIME)
    ends_at = present.token.refresh_token_expires_at
    expires_at = now + UNKNOWN_LIFETIME if ends_at is None else max(now + TOMBSTONE_LIFETIME, ends_at)
    return Tombstone(signed_in_at=present.signed_in_at, expires_at=expires_at)


def is_leased(flow: StoredFlow, now: datetime) -> bool:
    """Return whether `flow` has an owner whose lease has not expired at `now`."""
    return flow.owner is not None and flow.leased_until is not None and flow.leased_until > now


def is_due(flow: StoredFlow, now: datetime) -> bool:
    """Return whether a process may take `flow` up: it has not ended, and no process has its lease."""
    return not flow.has_ended and not is_leased(flow, now)


def with_lease(flow: StoredFlow | None, owner: str, now: datetime, seconds: float) -> StoredFlow | None:
    """Return `flow` with a lease for `owner`; None if it does not exist or another process has the lease."""
    if flow is None or (is_leased(flow, now) and flow.owner != owner):
        return None
    return attrs.evolve(flow, owner=owner, leased_until=now + timedelta(seconds=seconds))


def without_lease(flow: StoredFlow | None, owner: str) -> StoredFlow | None:
    """Return `flow` without the lease of `owner`; None if it does not exist or is not leased to `owner`."""
    if flow is None or flow.owner != owner:
        return None
    return attrs.evolve(flow, owner=None, leased_until=None)


def saved(present: StoredFlow | None, flow: StoredFlow, now: datetime) -> StoredFlow:
    """Return what a save of `flow` stores: its lease and state stay as they are.

    Raises:
        StoreConflict: the flow does not exist, another process has the lease, or the state has changed.
    """
    if present is None:
        raise StoreConflict("the flow does not exist any more")
    if is_leased(present, now) and present.owner != flow.owner:
        raise StoreConflict("another process has the lease of this flow")
    if present.state != flow.state:
        raise StoreConflict(f"the state of this flow is {present.state} now")
    return attrs.evolve(
        flow,
        owner=present.owner,
        leased_until=present.leased_until,
        granted_to=present.granted_to,
        ended_at=present.ended_at,
        problem=present.problem,
    )


def granted(flow: StoredFlow | None, to: str) -> StoredFlow | None:
    """Return `flow` after `to` has received its token; None if it has ended or another process has received one."""
    if flow is None or flow.has_ended or (flow.state == "granted" and flow.granted_to != to):
        return None
    return attrs.evolve(flow, state="granted", granted_to=to)


def ended(flow: StoredFlow | None, state: FlowState, problem: str | None, now: datetime) -> StoredFlow | None:
    """Return `flow` after its end; None if it cannot end so any more. An end that is stored already stays as it is.

    Raises:
        ConfigurationError: `state` is not the state of a flow that has ended.
    """
    if state not in _ENDS:
        raise ConfigurationError("state must be that of a flow that has ended")
    if flow is None:
        return None
    if flow.state == state:
        return flow
    if flow.state not in _ENDS[state]:
        return None
    return attrs.evolve(flow, state=state, problem=problem, ended_at=now)
