"""Stored tokens and flows with every field set, and `CANARY`, a secret that must never be shown."""

from datetime import UTC, datetime, timedelta

import attrs

from twilio_oauth_async import DeviceAuthorization, Token, VirtualClock
from twilio_oauth_async.stores.base import StoredFlow, StoredToken

CANARY = "s3cr3t-canary"
NOW = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
START = VirtualClock(auto=False).now()


def stored(generation=1, unanswered=0, **changes):
    """Return the stored token of this generation; `changes` are fields of the token."""
    token = {
        "access_token": f"{CANARY}-access-{generation}",
        "access_token_expires_at": NOW + timedelta(hours=1),
        "refresh_token": f"{CANARY}-refresh-{generation}",
        "refresh_token_expires_at": NOW + timedelta(days=30),
        "id_token": f"{CANARY}.id.{generation}",
        "scope": "openid calls:read",
    }
    return StoredToken(
        token=Token(**{**token, **changes}), generation=generation, obtained_at=NOW, unanswered=unanswered
    )


def at(seconds):
    """Return the time at which a new `VirtualClock` has run for `seconds`."""
    return START + timedelta(seconds=seconds)


def flow(id="a", **changes):  # noqa: A002
    """Return a stored flow that nothing polls; `changes` are its fields."""
    authorization = DeviceAuthorization(
        client_sid="OQ1",
        scopes=("openid", "calls:read"),
        audiences=("api",),
        device_code=f"{CANARY}-{id[:20]}",
        user_code="ABCD-EFGH",
        verification_uri="https://example.com/activate",
        verification_uri_complete="https://example.com/activate?user_code=ABCD-EFGH",
        interval=7.5,
        expires_at=at(300),
        next_poll_at=at(7),
        faults=2,
        answer_lost=True,
    )
    return attrs.evolve(StoredFlow(id=id, user=f"user of {id}", authorization=authorization), **changes)


def leased(id, owner, seconds):  # noqa: A002
    """Return the same flow, with a lease of `owner` that ends at ``at(seconds)``."""
    return flow(id, owner=owner, claimed_until=at(seconds))
