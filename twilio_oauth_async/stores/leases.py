"""Rules of the lease, which allows one process to poll a pending flow. Pure; every store uses them."""

from __future__ import annotations

from datetime import datetime

import attrs

from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.stores.base import StoredFlow


def is_leased(flow: StoredFlow, now: datetime) -> bool:
    """Return whether `flow` has an owner whose lease has not expired at `now`."""
    return flow.owner is not None and flow.claimed_until is not None and flow.claimed_until > now


def check_lease(present: StoredFlow | None, flow: StoredFlow, now: datetime) -> None:
    """Check that `flow` may replace `present`, the stored flow.

    Raises:
        StoreConflict: another owner has the lease.
    """
    if present is not None and is_leased(present, now) and present.owner != flow.owner:
        raise StoreConflict("another process has the lease of this flow")


def with_lease(present: StoredFlow | None, owner: str, until: datetime, now: datetime) -> StoredFlow | None:
    """Return `present` with a lease for `owner`; None if `present` is None or another owner has the lease."""
    if present is None or (is_leased(present, now) and present.owner != owner):
        return None
    return attrs.evolve(present, owner=owner, claimed_until=until)
