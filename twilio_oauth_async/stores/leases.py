"""Who may drive a pending flow. Pure: the same rules for every store."""

from __future__ import annotations

from datetime import datetime

import attrs

from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.stores.base import StoredFlow


def is_claimed(flow: StoredFlow, now: datetime) -> bool:
    """Whether somebody drives `flow`: there is an owner, and the claim has not run out."""
    return flow.owner is not None and flow.claimed_until is not None and flow.claimed_until > now


def check_save(present: StoredFlow | None, flow: StoredFlow, now: datetime) -> None:
    """Let `flow` take the place of `present`.

    Raises:
        StoreConflict: a claim of another owner is in force.
    """
    if present is not None and is_claimed(present, now) and present.owner != flow.owner:
        raise StoreConflict("another owner drives this flow")


def claimed(present: StoredFlow | None, owner: str, until: datetime, now: datetime) -> StoredFlow | None:
    """`present` as `owner`'s until `until`; None where it cannot be: it is gone, or another claim is in force."""
    if present is None or (is_claimed(present, now) and present.owner != owner):
        return None
    return attrs.evolve(present, owner=owner, claimed_until=until)
