"""Values that the suites store, and keys that look alike. Every secret in them contains `CANARY`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.records import StoredFlow, StoredToken, epoch_of

CANARY = "s3cr3t-canary"
"""A part of every secret: a text that contains it reveals a secret."""

SIGNED_IN_AT = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
"""When the user of `token` signed in."""

SOON = 10.0
"""Seconds after which a test fails because what it waits for has not happened."""

CLIENT = "OQ1"
SERVER = "https://oauth.example.com"

KEYS = (
    "a", "A", "á", "a\u0301", "a/b", "a\\b", "..", ".", "../../etc/passwd", " ", "a b", "a ", "a\tb", "\0", "a\0", "~",
    "*", "a*", "con", "{a}", "}", "{}", "a:b", "a%2Fb", "a%", "a_", "=a", "\N{GRINNING FACE}", "x" * 5000, "x" * 5001,
    "null", "-1", "'\"", "';--", "\u202e", "\x7f", "\r\n",
)  # fmt: skip
"""Valid keys; all of them are different."""

INVALID_KEYS: tuple[Any, ...] = ("", None, 1, b"a", "\ud800")
"""Values that no store accepts as a key, an id or an owner."""


def token(
    generation: int = 1, unanswered: int = 0, *, code: str = "code", signed_in: float = 0, **changes: Any
) -> StoredToken:
    """Return a stored token with every field set.

    Args:
        generation: its number within the epoch.
        unanswered: the number of refreshes without a definite response.
        code: the device code of its sign-in, which the epoch is made from.
        signed_in: seconds from `SIGNED_IN_AT` to its sign-in.
        changes: fields of the `StoredToken`, or of the `Token` in it.
    """
    secrets = {
        "access_token": f"{CANARY}-access-{generation}",
        "access_token_expires_at": SIGNED_IN_AT + timedelta(hours=1),
        "refresh_token": f"{CANARY}-refresh-{generation}",
        "refresh_token_expires_at": SIGNED_IN_AT + timedelta(days=30),
        "id_token": f"{CANARY}.id.{generation}",
        "scope": "openid calls:read",
    }
    fields = {
        "client_sid": CLIENT,
        "server": SERVER,
        "scopes": ("openid", "calls:read"),
        "audiences": ("api",),
        "epoch": epoch_of(code),
        "signed_in_at": SIGNED_IN_AT + timedelta(seconds=signed_in),
        "obtained_at": SIGNED_IN_AT + timedelta(seconds=signed_in, hours=generation % 1000 - 1),
        "generation": generation,
        "unanswered": unanswered,
    }
    for name, value in changes.items():
        (secrets if name in {field.name for field in attrs.fields(Token)} else fields)[name] = value
    return StoredToken(**{"token": Token(**secrets), **fields})  # type: ignore[arg-type]


def flow(id: str = "a", *, now: datetime = SIGNED_IN_AT, **changes: Any) -> StoredFlow:  # noqa: A002 - a field's name
    """Return a stored flow of the user ``"user of <id>"`` that no process polls.

    Args:
        id: its id.
        now: the time at which its device code was issued.
        changes: fields of the `StoredFlow`, or of the `DeviceAuthorization` in it.
    """
    authorization = {
        "client_sid": CLIENT,
        "scopes": ("openid", "calls:read"),
        "audiences": ("api",),
        "device_code": f"{CANARY}-{id[:20]}",
        "user_code": "ABCD-EFGH",
        "verification_uri": "https://example.com/activate",
        "verification_uri_complete": "https://example.com/activate?user_code=ABCD-EFGH",
        "interval": 7.5,
        "expires_at": now + timedelta(seconds=300),
        "next_poll_at": now + timedelta(seconds=7),
        "faults": 2,
        "answer_lost": True,
    }
    fields = {"id": id, "user": f"user of {id}", "server": SERVER, "context": {"chat": "42"}}
    for name, value in changes.items():
        (authorization if name in {field.name for field in attrs.fields(DeviceAuthorization)} else fields)[name] = value
    return StoredFlow(**{"authorization": DeviceAuthorization(**authorization), **fields})  # type: ignore[arg-type]
