"""State machine that polls a device code (RFC 8628 3.4 and 3.5). Pure: `advance` returns the next state.

The state is a `DeviceAuthorization`. Time is an argument: the caller chooses the clock and must use the same one for
every call.

There are three different waiting times:

- The *interval* of the server applies between any two polls. It only grows: each ``slow_down`` adds 5 seconds, for all
  later polls.
- The *fault back-off* doubles the interval for each poll in a row without a usable response, up to `MAX_BACKOFF`. The
  first usable response resets it. A last poll before expiry may be sent earlier than that.
- A ``Retry-After`` applies once, to the next poll. If it ends after the code expires, the flow ends with that response.
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
from twilio_oauth_async.protocol.device_flow_policy import explain_refused_grant
from twilio_oauth_async.protocol.models import DeviceCode, Token

DEFAULT_INTERVAL = 5.0
"""Seconds, used if the server sends no interval (RFC 8628 3.2), or one that is not a positive finite number."""

SLOW_DOWN_STEP = 5.0
"""Seconds (RFC 8628 3.5)."""

DEFAULT_LIFETIME = 900.0
"""Seconds, used if the server sends no ``expires_in``, or one that is not a number.

RFC 8628 3.2 requires it, but Twilio's schema allows null.
"""

MAX_LIFETIME = 86_400.0
"""Seconds. A code with a longer lifetime is polled for one day only."""

MAX_BACKOFF = 60.0
"""Seconds. Limit of the fault back-off, or the interval if that is longer."""

MIN_INTERVAL = 1.0
"""Seconds. A shorter interval of the server is raised to this."""

LAST_POLL_LEAD = 2.0
"""Seconds before expiry at which a last poll is sent, if the next one would be later and the interval allows it."""

MAX_SPREAD = 0.1
"""The largest share of the interval by which the first poll of a process is delayed."""

MIN_MARGIN = 0.05
MARGIN_SHARE = 0.01
"""Each wait is lengthened by one hundredth, but at least by `MIN_MARGIN` seconds. So a machine whose clock runs fast by
less than that never polls too early for the server."""


@attrs.frozen
class Pending:
    """The user has not decided yet."""

    authorization: DeviceAuthorization


@attrs.frozen
class SlowedDown:
    """The server asked for a longer interval; it applies to all later polls."""

    authorization: DeviceAuthorization


@attrs.frozen
class Unreachable:
    """The poll got no usable response; the next poll is scheduled with back-off or after ``Retry-After``."""

    authorization: DeviceAuthorization
    error: TwilioOAuthError


@attrs.frozen
class Approved:
    """The user approved the sign-in; the flow has ended."""

    token: Token


_TEMPORARY_CODES = frozenset({"temporarily_unavailable", "server_error"})
"""RFC 6749 4.1.2.1. Some servers send them with status 400."""

Step: TypeAlias = Pending | SlowedDown | Unreachable | Approved
Outcome: TypeAlias = Token | TwilioOAuthError
"""Result of one poll."""


def begin(
    code: DeviceCode,
    *,
    client_sid: str,
    scopes: Sequence[str],
    audiences: Sequence[str],
    now: datetime,
    spread: float = 0.0,
) -> tuple[DeviceAuthorization, list[str]]:
    """Return the first state of a flow, and warnings about values of the server that are replaced or limited.

    Args:
        code: the response of the server.
        client_sid: the client that asked for it.
        scopes: the requested scopes.
        audiences: the requested audiences.
        now: when the response was received (UTC).
        spread: from 0 to 1, lengthens the wait for the first poll by up to a tenth of the interval (`MAX_SPREAD`), so
            that flows which start together are not polled together.
    """
    warnings: list[str] = []
    lifetime = _lifetime(code.expires_in, warnings)
    interval = _interval(code.interval, warnings)
    expires_at = now + timedelta(seconds=lifetime)
    next_poll_at = _poll_time(now, interval, spread)
    if lifetime > 0 and next_poll_at >= expires_at:
        warnings.append(
            "the interval is longer than the lifetime of the device code; polling once, just before it expires"
        )
        next_poll_at = expires_at - timedelta(seconds=min(LAST_POLL_LEAD, lifetime / 2))
    state = DeviceAuthorization(
        client_sid=client_sid,
        scopes=tuple(scopes),
        audiences=tuple(audiences),
        device_code=code.device_code,
        user_code=code.user_code,
        verification_uri=code.verification_uri,
        verification_uri_complete=code.verification_uri_complete,
        interval=interval,
        expires_at=expires_at,
        next_poll_at=next_poll_at,
    )
    return state, warnings


def seconds_to_poll(state: DeviceAuthorization, now: datetime) -> float | None:
    """Return the seconds until the next poll may be sent, 0 if it is due; None if the code expires before that."""
    due = state.next_poll_at
    if now >= due:
        return None if now >= state.expires_at else 0.0
    return None if due >= state.expires_at else (due - now).total_seconds()


def resume(state: DeviceAuthorization, polled_until: datetime, spread: float = 0.0) -> DeviceAuthorization:
    """Return `state` for a process that takes over the flow from another process.

    The other process may have polled until `polled_until`, so the next poll is one interval later (RFC 8628 3.5). If
    the code expires before that, there is no further poll.

    Args:
        state: as it was stored.
        polled_until: the time at which the last poll may have been sent.
        spread: see `begin`.
    """
    due = _poll_time(polled_until, state.interval, spread)
    return attrs.evolve(state, next_poll_at=max(state.next_poll_at, due))


def expired(state: DeviceAuthorization | None = None) -> DeviceCodeExpiredError:
    """Return the error for a device code that expired by the clock of the client.

    RFC 8628 3.5: polling stops, and a new flow is not started without the user.

    Args:
        state: tells the cause: the user may have approved while the server could not be reached.
    """
    if state is not None and state.faults:
        return DeviceCodeExpiredError(
            description="the device code expired while the server could not be reached; the user may have approved it"
        )
    return DeviceCodeExpiredError(description="the device code expired before the user approved it")


def advance(state: DeviceAuthorization, outcome: Outcome, now: datetime) -> Step | TwilioOAuthError:
    """Return the next step of the flow after `outcome`, or the error that ends the flow.

    `now` is the time at which the response was received. The server counts the interval from the time at which it
    processed the poll, which is earlier. So the next poll is never too early for the server.
    """
    if isinstance(outcome, Token):
        return Approved(outcome)
    if isinstance(outcome, AuthorizationPendingError):
        # A pending response proves that the code is unused, also by a poll whose response was lost.
        return Pending(_after_response(state, now, outcome, interval=state.interval, answer_lost=False))
    if isinstance(outcome, SlowDownError):
        # RFC 8628 3.5: "for this and all subsequent requests". The server may send slow_down before it checks the code.
        # So, unlike a pending response, it does not prove that the code is still unused: answer_lost is kept.
        interval = max(state.interval + SLOW_DOWN_STEP, outcome.interval or 0.0)
        return SlowedDown(_after_response(state, now, outcome, interval=interval, answer_lost=state.answer_lost))
    if _is_transient(outcome):
        retry_after = outcome.retry_after if isinstance(outcome, ApiError) else None
        if retry_after is not None and _poll_time(now, retry_after) >= state.expires_at:
            return outcome  # the server asks for more time than the code has
        return Unreachable(_after_fault(state, now, outcome), outcome)
    if state.answer_lost and isinstance(outcome, InvalidGrantError):
        # Most likely the code was exchanged, and the lost response contained the token.
        return AnswerLostError("the device code was used by a poll whose response was lost; start a new sign-in")
    return explain_refused_grant(outcome) if isinstance(outcome, ApiError) else outcome


def _is_transient(outcome: TwilioOAuthError) -> bool:
    """Return whether `outcome` is a temporary fault and not a decision about the code, so that polling continues.

    RFC 8628 3.5 mentions connection timeouts. A gateway's error page, a crashed backend and a rate limit are treated
    the same way, because polling again does no harm.
    """
    if isinstance(outcome, (TransportError, ProtocolError, RateLimitedError, ServerError)):
        return True
    return isinstance(outcome, ApiError) and (outcome.status == 408 or outcome.error in _TEMPORARY_CODES)


def _may_have_contained_token(outcome: TwilioOAuthError) -> bool:
    if isinstance(outcome, TransportError):
        return isinstance(outcome, AnswerLostError)
    return not isinstance(outcome, RateLimitedError)  # 429: not processed


def _after_response(
    state: DeviceAuthorization, now: datetime, response: ApiError, *, interval: float, answer_lost: bool
) -> DeviceAuthorization:
    retry_after = response.retry_after
    wait = interval if retry_after is None or retry_after < interval else retry_after
    return _next_state(state, interval, _poll_time(now, wait), 0, answer_lost)


def _after_fault(state: DeviceAuthorization, now: datetime, outcome: TwilioOAuthError) -> DeviceAuthorization:
    faults = state.faults + 1
    retry_after = outcome.retry_after if isinstance(outcome, ApiError) else None
    if retry_after is not None:
        wait = max(state.interval, retry_after)
    else:
        # RFC 8628 3.5: "exponential backoff". The exponent is limited so that the power stays finite.
        wait = min(state.interval * 2.0 ** min(faults, 32), max(state.interval, MAX_BACKOFF))
    due = _poll_time(now, wait)
    if retry_after is None and due >= state.expires_at:
        # The back-off is the client's own choice. The code gets a last poll if the interval of the server allows it.
        last = max(state.expires_at - timedelta(seconds=LAST_POLL_LEAD), _poll_time(now, state.interval))
        due = min(due, last)
    answer_lost = state.answer_lost or _may_have_contained_token(outcome)
    return _next_state(state, state.interval, due, faults, answer_lost)


def _next_state(
    state: DeviceAuthorization, interval: float, next_poll_at: datetime, faults: int, answer_lost: bool
) -> DeviceAuthorization:
    """Return what `attrs.evolve` returns, in half of its time: there is a new state after each poll."""
    return DeviceAuthorization(
        client_sid=state.client_sid,
        scopes=state.scopes,
        audiences=state.audiences,
        device_code=state.device_code,
        user_code=state.user_code,
        verification_uri=state.verification_uri,
        verification_uri_complete=state.verification_uri_complete,
        interval=interval,
        expires_at=state.expires_at,
        next_poll_at=next_poll_at,
        faults=faults,
        answer_lost=answer_lost,
    )


def _poll_time(now: datetime, seconds: float, spread: float = 0.0) -> datetime:
    """Return the time `seconds` after `now`, plus the margin and a part of `MAX_SPREAD`."""
    margin = max(MIN_MARGIN, seconds * MARGIN_SHARE) + seconds * MAX_SPREAD * spread
    # Many slow_down responses or an interval of years must not exceed the range of datetime. No code is valid so long.
    return now + timedelta(seconds=min(seconds + margin, 2 * MAX_LIFETIME))


def _lifetime(expires_in: float | None, warnings: list[str]) -> float:
    if expires_in is None:
        warnings.append(f"the server sent no usable expires_in for the device code; using {DEFAULT_LIFETIME:.0f} s")
        return DEFAULT_LIFETIME
    if expires_in > MAX_LIFETIME:
        warnings.append(
            f"expires_in of the device code is longer than {MAX_LIFETIME:.0f} s; polling stops after that time"
        )
        return MAX_LIFETIME
    return max(expires_in, 0.0)


def _interval(interval: float | None, warnings: list[str]) -> float:
    if interval is None:
        return DEFAULT_INTERVAL
    if not 0 < interval < math.inf:
        warnings.append(f"an interval of {interval:g} s is not usable; using {DEFAULT_INTERVAL:.0f} s")
        return DEFAULT_INTERVAL
    if interval < MIN_INTERVAL:
        warnings.append(f"an interval of {interval:g} s is too short; using {MIN_INTERVAL:.0f} s")
        return MIN_INTERVAL
    return interval
