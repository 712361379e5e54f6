"""Builders for the states, tokens and outcomes of `tokens/`, and `play`, which checks a story row by row.

All times are seconds after `START`. The monotonic clock shows `MONOTONIC` then.
"""

import math
from datetime import UTC, datetime, timedelta

import attrs

from twilio_oauth_async import Token
from twilio_oauth_async.errors import AnswerLostError, RateLimitedError, StoreConflict, StoreError
from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.tokens.lifetime import advance, decide
from twilio_oauth_async.tokens.state import (
    AskForLogin,
    Event,
    Kind,
    Loaded,
    Now,
    Refreshed,
    RequestFailed,
    Saved,
    Saving,
    SignedIn,
    StoreFailed,
    TokenState,
    WaitUntil,
    Work,
)
from twilio_oauth_async.tokens.validity import hold

START = datetime(2026, 1, 1, tzinfo=UTC)
MONOTONIC = 1000.0

LOST = AnswerLostError("the response was lost")
LIMITED = RateLimitedError(status=429)
STORE_DOWN = StoreError("the store is down")


def at(seconds):
    """Return the wall time at `seconds`."""
    return START + timedelta(seconds=seconds)


def moment(seconds, wall=None):
    """Return both clocks at `seconds`; `wall`: what the wall clock shows instead."""
    return Now(MONOTONIC + seconds, at(seconds if wall is None else wall))


def stored(access="a1", *, lifetime=3600.0, obtained=0.0, refresh="r1", refresh_expires=None, signed_in=0.0, **changes):
    """Return a stored token that is valid for `lifetime` seconds after `obtained`; None: its expiry is unknown."""
    token = Token(
        access_token=access,
        access_token_expires_at=None if lifetime is None else at(obtained + lifetime),
        refresh_token=refresh,
        refresh_token_expires_at=None if refresh_expires is None else at(refresh_expires),
    )
    fields = {"epoch": "first", "signed_in_at": at(signed_in), "obtained_at": at(obtained), **changes}
    return StoredToken(token=token, **fields)


def second_sign_in(access="b1", **changes):
    """Return a token of a second sign-in, at 4000 s unless `changes` say otherwise."""
    return stored(access, **{"obtained": 4000.0, "signed_in": 4000.0, "refresh": "s1", "epoch": "second", **changes})


def holding(token=None, *, loaded_at=0.0, **changes):
    """Return the state of a manager that has loaded `token`, by default a token of one hour; `changes` are fields."""
    token = stored() if token is None else token
    held = hold(token, moment(loaded_at))
    fields = {
        "held": held,
        "used": held,
        "has_read": True,
        "present": token.epoch,
        "signed_in_at": token.signed_in_at,
        **changes,
    }
    return TokenState(**fields)


def received(token, *, before=None, seconds=0.0, **changes):
    """Return the state of a manager that has received `token`, and has the lock and has read the store to save it."""
    new = hold(token, moment(seconds), is_new=True, is_issued=True)
    fields = {"held": new, "saving": Saving.NEW, "is_locked": True, "signed_in_at": token.signed_in_at, **changes}
    return attrs.evolve(holding(token if before is None else before), **fields)


def wait(until):
    """Return the end of a round that waits until `until` seconds."""
    return WaitUntil(MONOTONIC + until)


def login(reason, was_lost=False):
    """Return the end of a round after which only a sign-in helps."""
    return AskForLogin(reason, was_lost)


# Outcomes that depend on what is held at that time.


def is_unchanged(state, now):
    """The store was read and has what is held."""
    return Loaded(state.held.stored)


def is_marked(state, now):
    """The mark of a refresh was saved."""
    token = state.held.stored
    return Saved(attrs.evolve(token, unanswered=token.unanswered + 1), is_mark=True)


def is_saved(state, now):
    """The held token was saved."""
    return Saved(state.held.stored)


def refreshed(access="a2", refresh="r2", lifetime=3600.0):
    """Return the outcome of a refresh that issues `access`, valid for `lifetime` seconds from then."""

    def outcome(state, now):
        expires_at = now.wall + timedelta(seconds=lifetime)
        token = Token(access_token=access, access_token_expires_at=expires_at, refresh_token=refresh)
        return Refreshed(state.held.stored, token)

    return outcome


def failed(kind, retry_after=0.0, error=LOST):
    """Return the outcome of a refresh of the held token that fails."""

    def outcome(state, now):
        return RequestFailed(kind, state.held.stored, error, retry_after)

    return outcome


is_lost = failed(Kind.MAYBE_PROCESSED)
is_limited = failed(Kind.UNPROCESSED, error=LIMITED)
is_refused = failed(Kind.REFUSED)
is_down = StoreFailed(STORE_DOWN)
is_in_conflict = StoreFailed(StoreConflict("the store has something newer"), is_conflict=True)


def signed_in(token=None, **changes):
    """Return the outcome of a second sign-in."""
    return SignedIn(second_sign_in() if token is None else token, **changes)


# Rows of a story.


@attrs.frozen
class Row:
    """What happens at a time, the step that must come next, and the access token that callers must get."""

    outcome: object
    """An outcome, a function of the state and both clocks that returns one, or None: only time passes."""
    seconds: float
    next: object
    token: str | None
    wall: float | None = None
    """What the wall clock shows, if it is not `seconds`."""


def play(state, rows, *, leeway=60.0, need=0.0):
    """Check `rows` in their order from `state` on, and return the last state."""
    for number, row in enumerate(rows):
        now = moment(row.seconds, row.wall)
        outcome = row.outcome(state, now) if callable(row.outcome) else row.outcome
        state = state if outcome is None else advance(state, outcome, now)
        decision = decide(state, now, leeway, need)
        got = None if decision.use is None else decision.use.token.access_token
        assert (decision.next, got) == (row.next, row.token), f"row {number}: {row}"
    return state


def until_request(seconds, token=None):
    """Return the rows from the start of a round until the refresh is sent."""
    return [
        Row(Event.STARTED, seconds, Work.LOAD, token),
        Row(is_unchanged, seconds, Work.LOCK, token),
        Row(Event.LOCKED, seconds, Work.LOAD, token),
        Row(is_unchanged, seconds, Work.MARK, token),
        Row(is_marked, seconds, Work.REFRESH, token),
    ]


# Comparing whole states.

NOTHING = TokenState(has_read=True)
"""Nothing is held or stored."""

FAILED = {
    "failures": 3,
    "ask_at": MONOTONIC + 50,
    "error": LOST,
    "is_client_refused": True,
    "was_lost": True,
}
NOT_FAILED = {"failures": 0, "ask_at": -math.inf, "error": None, "is_client_refused": False, "was_lost": False}
"""The fields of a state whose last requests failed, and of one whose did not."""

UNSAVED = {"saving": Saving.UNSAVED}


def check(state, outcome, now, **changes):
    """Check that `outcome` changes these fields of `state` and no others."""
    after = advance(state, outcome, now)
    assert after == attrs.evolve(state, **changes)
    expected = changes.get("error", state.error)
    assert after.error is expected
    assert after.store_error is changes.get("store_error", state.store_error)
    assert after.logout_error is changes.get("logout_error", state.logout_error)
