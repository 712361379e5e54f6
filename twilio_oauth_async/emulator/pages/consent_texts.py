"""What a user reads before a decision: what each scope allows, the warning against phishing, times of day.

The sign-in site and the chats say the same. The emulator has a copy, because it shares no code with the client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

WARNING: Final = (
    "Continue only if you started this sign-in yourself. "
    "If you got the code from a website, in a message or in a call, cancel."
)
"""RFC 8628 5.4, RFC 10027 6.1.13."""

_PERMISSIONS: Final = {
    "openid": "see which Twilio user you are",
    "profile": "see your name",
    "email": "see your email address",
    "offline_access": "stay signed in until you sign out",
}


def permissions(scopes: Iterable[str], audiences: Iterable[str], texts: Mapping[str, str]) -> list[str]:
    """Return in words what each scope and each audience allows; `texts` has the words of more scopes."""
    known = {**_PERMISSIONS, **texts}
    return [
        *(known.get(scope, f"use the permission {scope}") for scope in scopes),
        *(f"use the API {audience}" for audience in audiences),
    ]


def time_of_day(moment: datetime, seconds: float = 0.0) -> str:
    """Return the time of day in UTC that is `seconds` after `moment` (aware)."""
    return f"{moment.astimezone(UTC) + timedelta(seconds=seconds):%H:%M} UTC"
