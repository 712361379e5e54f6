"""What to do with a stored token at a given moment. Pure: tables of cases, no clock, no store."""

from __future__ import annotations

import enum
import math
from datetime import datetime

from twilio_oauth_async.stores.base import StoredToken

LEEWAY_SHARE = 0.1
"""The leeway is never more of a token's lifetime than this: a token of one minute is not refreshed all the time."""

MIN_REFRESH_GAP = 1.0
"""Seconds between two refreshes of one token, whatever the server says of its end (row 17)."""

MAX_UNANSWERED = 2
"""Refreshes that may stay without an answer: the first may have rotated the token, the second finds out."""


class Move(enum.Enum):
    """What comes next."""

    USE = "use it"
    REFRESH = "refresh it"
    LOGIN = "a person must sign in"


def effective_leeway(stored: StoredToken, leeway: float) -> float:
    """Seconds before its end at which the token is no longer handed out without a refresh; 0 where no end is known."""
    expires_at = stored.token.access_token_expires_at
    if expires_at is None:
        return 0.0
    lifetime = (expires_at - stored.obtained_at).total_seconds()
    return max(0.0, min(leeway, lifetime * LEEWAY_SHARE))


def seconds_fresh(stored: StoredToken, leeway: float, now: datetime) -> float:
    """How long the token may be handed out without another thought; infinite where no end is known, never negative."""
    expires_at = stored.token.access_token_expires_at
    if expires_at is None:
        return math.inf
    return max(0.0, (expires_at - now).total_seconds() - effective_leeway(stored, leeway))


def seconds_to_background_refresh(stored: StoredToken, leeway: float, now: datetime, share: float) -> float | None:
    """When a manager refreshes unasked: at a point in the last tenth of the lifetime, before anybody has to wait.

    Args:
        share: from 0 to 1, where in that stretch; random, so that many processes do not all come at once.

    Returns:
        Seconds, 0 where it is due; None where no end is known.
    """
    expires_at = stored.token.access_token_expires_at
    if expires_at is None:
        return None
    lifetime = max(0.0, (expires_at - stored.obtained_at).total_seconds())
    before_end = lifetime * LEEWAY_SHARE - share * (lifetime * LEEWAY_SHARE - effective_leeway(stored, leeway))
    return max(0.0, (expires_at - now).total_seconds() - before_end)


def is_usable(stored: StoredToken, *, now: datetime, refused: str | None) -> bool:
    """Whether a resource server may still take it: not past its end, and not `refused` by one."""
    return stored.token.access_token != refused and not stored.token.expires_within(0.0, now)


def judge(stored: StoredToken, *, now: datetime, leeway: float, refused: str | None) -> Move:
    """What to do with `stored`.

    Args:
        now: UTC.
        leeway: seconds before its end at which it should be refreshed.
        refused: an access token that a resource server did not accept.
    """
    token = stored.token
    usable = is_usable(stored, now=now, refused=refused)
    if usable and seconds_fresh(stored, leeway, now) > 0:
        return Move.USE
    if token.access_token != refused and 0 <= (now - stored.obtained_at).total_seconds() < MIN_REFRESH_GAP:
        # Row 17: a token that was born expired would be refreshed without end.
        return Move.USE
    refresh_ends_at = token.refresh_token_expires_at
    if token.refresh_token is None or (refresh_ends_at is not None and refresh_ends_at <= now):
        return Move.USE if usable else Move.LOGIN
    if stored.unanswered == 0:
        return Move.REFRESH
    # Row 25: the lost answer may have held a rotated token. What works is used to its end before the old refresh
    # token is tried once more, since at a strict server that try may revoke the rest as well.
    if usable:
        return Move.USE
    return Move.REFRESH if stored.unanswered < MAX_UNANSWERED else Move.LOGIN
