"""Stored tokens have the dates of the server's clock, so that hosts whose clocks differ can share them. Pure.

In memory, all dates are in local time: they are compared with the local clock.
"""

from __future__ import annotations

import attrs

from twilio_oauth_async.grants.base import Grant
from twilio_oauth_async.protocol.server_time import shift, to_local_time, to_server_time
from twilio_oauth_async.stores.base import StoredToken


def skew_of(grant: Grant) -> float:
    """Return the server's time minus the local time, in seconds, as the session of `grant` has measured it.

    Returns:
        0.0 if it is not known.
    """
    skew: float = getattr(getattr(grant, "session", None), "clock_skew", 0.0)
    return skew


def in_server_time(stored: StoredToken, skew: float) -> StoredToken:
    """Return `stored` with its local dates converted to the server's time."""
    if not skew:
        return stored
    return attrs.evolve(
        stored,
        token=to_server_time(stored.token, skew),
        signed_in_at=shift(stored.signed_in_at, skew),
        obtained_at=shift(stored.obtained_at, skew),
    )


def in_local_time(stored: StoredToken, skew: float) -> StoredToken:
    """Return `stored` with its dates of the server converted to local time."""
    if not skew:
        return stored
    return attrs.evolve(
        stored,
        token=to_local_time(stored.token, skew),
        signed_in_at=shift(stored.signed_in_at, -skew),
        obtained_at=shift(stored.obtained_at, -skew),
    )
