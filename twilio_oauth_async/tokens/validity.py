"""How long a token is valid and fresh, judged by both clocks. Pure.

A token is valid until it expires, and fresh until a refresh is due, which is its leeway earlier.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import attrs

from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.tokens.state import Held, Now, TokenState

LEEWAY_SHARE = 0.1
"""The largest leeway, as a share of the lifetime: a token of one minute must not be refreshed all the time."""

MAX_REJECTION_GAP = 300.0
"""Seconds. If a resource server rejects one new token after the other, this gap doubles up to this."""

MIN_REFRESH_GAP = 1.0
"""Seconds. A token that was received counts as valid for this time, even if it had expired before or is rejected by a
resource server: a server that issues such tokens is asked once a second (fault 17)."""


def pause(failures: int, longest: float) -> float:
    """Return the seconds to wait after `failures` failures in a row: 1 s, doubling up to `longest`."""
    return min(MIN_REFRESH_GAP * 2.0 ** min(failures - 1, 32), longest)


def expiry_of(stored: StoredToken) -> datetime | None:
    """Return when the access token expires (UTC); None: unknown."""
    expires_at = stored.token.access_token_expires_at
    if expires_at is None or expires_at > stored.obtained_at:
        return expires_at
    return stored.obtained_at + timedelta(seconds=MIN_REFRESH_GAP)


def lifetime_of(stored: StoredToken) -> float:
    """Return the seconds between receipt and expiry; infinite if the expiry is unknown, never negative."""
    expires_at = stored.token.access_token_expires_at
    return math.inf if expires_at is None else max(0.0, (expires_at - stored.obtained_at).total_seconds())


def effective_leeway(stored: StoredToken, leeway: float) -> float:
    """Return the seconds before expiry at which a refresh is due; 0 if the expiry is unknown."""
    lifetime = lifetime_of(stored)
    return 0.0 if math.isinf(lifetime) else min(leeway, lifetime * LEEWAY_SHARE)


def background_leeway(stored: StoredToken, leeway: float, share: float) -> float:
    """Return the leeway of a background refresh: a point in the last tenth of the lifetime, before callers need one.

    Args:
        stored: the token.
        leeway: the leeway of callers, in seconds.
        share: from 0 to 1, the position in that tenth; random, so that the refreshes of many processes are spread.
    """
    lifetime = lifetime_of(stored)
    if math.isinf(lifetime):
        return 0.0
    latest = effective_leeway(stored, leeway)
    return latest + (1.0 - share) * (lifetime * LEEWAY_SHARE - latest)


def effective_need(stored: StoredToken, need: float) -> float:
    """Return the seconds that a token must still be valid for a caller who needs `need` seconds.

    A caller who needs more than the server gives gets a token that was just issued, not a refresh for each call.
    """
    lifetime = lifetime_of(stored)
    return 0.0 if math.isinf(lifetime) else min(need, lifetime * (1.0 - LEEWAY_SHARE))


def hold(
    stored: StoredToken, now: Now, *, before: Held | None = None, is_new: bool = False, is_issued: bool = False
) -> Held:
    """Return `stored` with its times on the monotonic clock.

    Args:
        stored: the token.
        now: the time at which it was received or loaded.
        before: what was held until now. If it is the same token, its times are kept: the wall clock may have jumped
            since.
        is_new: it comes from the server, not from the store.
        is_issued: it was requested by the manager itself, not by a sign-in.
    """
    expires_at = expiry_of(stored)
    expires = math.inf if expires_at is None else now.monotonic + (expires_at - now.wall).total_seconds()
    refresh_at = stored.token.refresh_token_expires_at
    refresh_expires = math.inf if refresh_at is None else now.monotonic + (refresh_at - now.wall).total_seconds()
    issued = now.monotonic if is_issued else -math.inf
    if before is not None and before.stored.token.access_token == stored.token.access_token:
        expires, issued, is_new = min(expires, before.expires), max(issued, before.issued), is_new or before.is_new
    if before is not None and before.stored.token.refresh_token == stored.token.refresh_token:
        # The wall clock may have jumped ahead since: then the server decides, see `can_refresh`.
        refresh_expires = max(refresh_expires, before.refresh_expires)
    return Held(stored, expires, refresh_expires, issued, is_new)


def seconds_left(state: TokenState, held: Held, now: Now) -> float:
    """Return the seconds until `held` expires, by the clock that says less; not positive: it has expired.

    An access token that a resource server has rejected is used until the gap since its receipt has passed.
    """
    left = held.expires - now.monotonic
    expires_at = expiry_of(held.stored)
    if expires_at is not None:
        left = min(left, (expires_at - now.wall).total_seconds())
    if is_rejected(state, held):
        left = min(left, held.issued + rejection_gap(state) - now.monotonic)
    return left


def rejection_gap(state: TokenState) -> float:
    """Return the seconds between the receipt of a token that was rejected and the refresh: another may not help."""
    return pause(max(state.rejections, 1), MAX_REJECTION_GAP)


def is_rejected(state: TokenState, held: Held) -> bool:
    """Return whether a resource server has rejected the access token of `held`."""
    return held.stored.token.access_token == state.rejected


def can_refresh(held: Held, now: Now) -> bool:
    """Return whether there is a refresh token that has not expired.

    It has expired if both clocks say so. If one of them is wrong, the server decides.
    """
    token = held.stored.token
    if token.refresh_token is None:
        return False
    at = token.refresh_token_expires_at
    return at is None or at > now.wall or held.refresh_expires > now.monotonic


@attrs.frozen
class Fresh:
    """A token that callers get without a further look, until one of the clocks has reached its time."""

    token: Token
    monotonic: float
    wall: float
    """POSIX seconds."""


def fresh(state: TokenState, leeway: float) -> Fresh | None:
    """Return the token of `state` that is in use, and until when it is fresh; None if there is none."""
    used = state.used
    if used is None:
        return None
    margin = effective_leeway(used.stored, leeway)
    expires_at = expiry_of(used.stored)
    monotonic = used.expires - margin
    if is_rejected(state, used):
        monotonic = min(monotonic, used.issued + rejection_gap(state))
    wall = math.inf if expires_at is None else expires_at.timestamp() - margin
    return Fresh(used.stored.token, monotonic, wall)
