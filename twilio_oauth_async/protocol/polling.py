"""RFC 8628 3.4 and 3.5 as a state machine: an outcome goes in, the next state comes out. Pure.

The state is a `DeviceAuthorization`. Time is an argument; whoever drives the machine decides which clock it is,
and must give readings of the same one to every call.

Three waits are kept apart. The server's *interval* holds between any two polls and only grows (``slow_down``, +5 s
for good). The *fault back-off* doubles it for each poll in a row that brought no answer, up to `MAX_BACKOFF`, and is
forgotten at the first good one. A ``Retry-After`` counts once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeAlias

import attrs

from twilio_oauth_async.errors import (
    AnswerLostError,
    ApiError,
    AuthorizationPendingError,
    DeviceCodeExpiredError,
    InvalidGrantError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SlowDownError,
    TransportError,
    TwilioOAuthError,
)
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import DeviceCode, Token

DEFAULT_INTERVAL = 5.0
"""Seconds, where the server names no interval (RFC 8628 3.2), or one that would poll without a pause."""

SLOW_DOWN_STEP = 5.0
"""Seconds (RFC 8628 3.5)."""

DEFAULT_LIFETIME = 900.0
"""Seconds, where the server does not say when the code expires. RFC 8628 requires that it does;
Twilio's schema lets it be null.
"""

MAX_LIFETIME = 86_400.0
"""Seconds. A code that is said to live longer is polled for a day."""

MAX_BACKOFF = 60.0
"""Seconds. The fault back-off grows up to this, or up to the interval where that is longer."""

LAST_POLL_LEAD = 2.0
"""Seconds before expiry at which the only poll is sent where the interval is longer than the code lives."""

MIN_MARGIN = 0.05
MARGIN_SHARE = 0.01
"""A poll comes later than it may by a hundredth of the interval, at least `MIN_MARGIN` seconds: a virtual machine's
clock that runs fast by less than that never polls early in the eyes of the server."""


@attrs.frozen
class Pending:
    """The person has not decided yet."""

    authorization: DeviceAuthorization


@attrs.frozen
class SlowedDown:
    """The server asked for a longer interval; it has been raised for good."""

    authorization: DeviceAuthorization


@attrs.frozen
class Unreachable:
    """No answer, or none that could be read; polled again on schedule."""

    authorization: DeviceAuthorization
    error: TwilioOAuthError


@attrs.frozen
class Approved:
    """The person agreed: the flow is over."""

    token: Token


Step: TypeAlias = Pending | SlowedDown | Unreachable | Approved
Outcome: TypeAlias = Token | TwilioOAuthError
"""What one poll brought."""


def begin(
    answer: DeviceCode, *, client_sid: str, scopes: Sequence[str], audiences: Sequence[str], now: datetime
) -> tuple[DeviceAuthorization, list[str]]:
    """The first state of a flow, and warnings about numbers of the server's that cannot be followed to the letter."""
    warnings: list[str] = []
    lifetime = _lifetime(answer.expires_in, warnings)
    interval = _interval(answer.interval, warnings)
    expires_at = now + timedelta(seconds=lifetime)
    next_poll_at = _after(now, interval)
    if lifetime > 0 and next_poll_at >= expires_at:
        warnings.append(
            "the interval is longer than the code lives; there will be a single poll just before it expires"
        )
        next_poll_at = expires_at - timedelta(seconds=min(LAST_POLL_LEAD, lifetime / 2))
    state = DeviceAuthorization(
        client_sid=client_sid,
        scopes=tuple(scopes),
        audiences=tuple(audiences),
        device_code=answer.device_code,
        user_code=answer.user_code,
        verification_uri=answer.verification_uri,
        verification_uri_complete=answer.verification_uri_complete,
        interval=interval,
        expires_at=expires_at,
        next_poll_at=next_poll_at,
    )
    return state, warnings


def seconds_to_poll(state: DeviceAuthorization, now: datetime) -> float | None:
    """Seconds until the next poll may be sent, 0 where it is due; None where none fits in before the code expires."""
    due = max(state.next_poll_at, now)
    return None if due >= state.expires_at else (due - now).total_seconds()


def taken_up(state: DeviceAuthorization, driven_until: datetime) -> DeviceAuthorization:
    """`state` for a process that takes the flow over and knows only that nobody has polled after `driven_until`.

    An interval lies between. Where none fits in any more, the last poll is still sent shortly before the code expires.
    """
    due = _after(driven_until, state.interval)
    if due >= state.expires_at:
        due = state.expires_at - timedelta(seconds=LAST_POLL_LEAD)
    return attrs.evolve(state, next_poll_at=max(state.next_poll_at, due))


def expired() -> DeviceCodeExpiredError:
    """What a flow ends with where this side finds the code expired (RFC 8628 3.5: stop, and never restart unasked)."""
    return DeviceCodeExpiredError(description="nobody approved the code before it expired")


def advance(state: DeviceAuthorization, outcome: Outcome, now: datetime) -> Step | TwilioOAuthError:
    """What `outcome` means for the flow: its next step, or the error that ends it.

    `now` is the time at which the answer was there: an interval counted from it can only be longer for the server.
    """
    if isinstance(outcome, Token):
        return Approved(outcome)
    if isinstance(outcome, AuthorizationPendingError):
        return Pending(attrs.evolve(_next(state, now, outcome, interval=state.interval), answer_lost=False))
    if isinstance(outcome, SlowDownError):
        # RFC 8628 3.5: "for this and all subsequent requests". A rate limit may speak before the code was looked at,
        # so it does not prove that the code is still unused, as a pending answer does.
        return SlowedDown(_next(state, now, outcome, interval=state.interval + SLOW_DOWN_STEP))
    if _says_nothing(outcome):
        return Unreachable(_after_fault(state, now, outcome), outcome)
    if state.answer_lost and isinstance(outcome, InvalidGrantError):
        # The code was good at the last poll and nobody got the token: the lost answer must have held it.
        return AnswerLostError("the device code was used up by a poll whose answer was lost")
    return outcome


def _says_nothing(outcome: TwilioOAuthError) -> bool:
    """Whether the outcome is no word of the authorization server about this code.

    RFC 8628 3.5 names connection timeouts; a gateway's page, a crashed backend and a rate limit are the same to a
    client that can simply ask again: a token that nobody received cannot be harmed.
    """
    if isinstance(outcome, (TransportError, ProtocolError, RateLimitedError, ServerError)):
        return True
    return isinstance(outcome, ApiError) and outcome.status == 408


def _may_have_held_the_token(outcome: TwilioOAuthError) -> bool:
    if isinstance(outcome, TransportError):
        return isinstance(outcome, AnswerLostError)
    return not isinstance(outcome, RateLimitedError)  # 429: not processed


def _next(state: DeviceAuthorization, now: datetime, answer: ApiError, *, interval: float) -> DeviceAuthorization:
    return attrs.evolve(
        state,
        interval=interval,
        next_poll_at=_after(now, max(interval, answer.retry_after or 0.0)),
        faults=0,
    )


def _after_fault(state: DeviceAuthorization, now: datetime, outcome: TwilioOAuthError) -> DeviceAuthorization:
    faults = state.faults + 1
    retry_after = outcome.retry_after if isinstance(outcome, ApiError) else None
    if retry_after is not None:
        wait = max(state.interval, retry_after)
    else:
        # RFC 8628 3.5: "exponential backoff". The exponent is bounded so that the power stays a finite number.
        wait = min(state.interval * 2.0 ** min(faults, 32), max(state.interval, MAX_BACKOFF))
    return attrs.evolve(
        state,
        next_poll_at=_after(now, wait),
        faults=faults,
        answer_lost=state.answer_lost or _may_have_held_the_token(outcome),
    )


def _after(now: datetime, seconds: float) -> datetime:
    margin = max(MIN_MARGIN, seconds * MARGIN_SHARE)
    # A slow_down storm or an interval of years must not leave the range of datetime; a day is past any expiry.
    return now + timedelta(seconds=min(seconds + margin, 2 * MAX_LIFETIME))


def _lifetime(expires_in: float | None, warnings: list[str]) -> float:
    if expires_in is None:
        warnings.append(f"the server did not say when the code expires; taken for {DEFAULT_LIFETIME:.0f} s")
        return DEFAULT_LIFETIME
    if expires_in > MAX_LIFETIME:
        warnings.append(f"the code is said to live for more than {MAX_LIFETIME:.0f} s; polled for as long as that")
        return MAX_LIFETIME
    return max(expires_in, 0.0)


def _interval(interval: float | None, warnings: list[str]) -> float:
    if interval is None:
        return DEFAULT_INTERVAL
    if not 0 < interval < math.inf:
        warnings.append(f"an interval of {interval:g} s would poll without a pause; {DEFAULT_INTERVAL:.0f} s instead")
        return DEFAULT_INTERVAL
    return interval
