"""`Machine`: the functions of `tokens.lifetime` for small integers instead of states, so that they can be remembered.

All times of the model are relative to now. So ``decide`` depends on the state alone, ``advance`` on state and outcome,
and states that differ only in their age are the same.
"""

import math
from datetime import UTC, datetime, timedelta

import attrs

from twilio_oauth_async import Token
from twilio_oauth_async.errors import TransportError
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import StoredToken, Tombstone
from twilio_oauth_async.tokens import lifetime
from twilio_oauth_async.tokens.state import Now, TokenState

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = Now(0.0, ORIGIN)
LIFETIME = 100.0
LEEWAY = 10.0
STEP = 150.0
"""Seconds that the wall clock is set forward or back: more than a lifetime."""
NEVER = datetime.max.replace(tzinfo=UTC)
OLD = -2 * STEP
"""Times before this are equal, except in their order: no clock step makes them future again."""

FAILED = TransportError("model")


def at(seconds):
    return ORIGIN + timedelta(seconds=seconds)


def seconds(moment):
    return (moment - ORIGIN).total_seconds()


def new_token(name, refresh_lifetime):
    """Return what the server issues now under the `name`, which is an epoch and a number."""
    return Token(
        access_token=f"a{name}",
        access_token_expires_at=at(LIFETIME),
        refresh_token=f"r{name}",
        refresh_token_expires_at=None if refresh_lifetime is None else at(refresh_lifetime),
    )


class Machine:
    """The state machine, with the values that it has met. Tests give it faulty functions."""

    def __init__(self, decide=lifetime.decide, advance=lifetime.advance, tombstone=rules.tombstone):
        self.values = []
        self._numbers = {}
        self._decide, self._advance, self._tombstone = decide, advance, tombstone
        self._decisions, self._rests, self._advanced, self._aged, self._signed_in = {}, {}, {}, {}, {}
        self.initial = self.number(TokenState())
        self.nothing = self.number(None)

    def number(self, value):
        """Return the number of `value`; equal values have the same."""
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number

    def decide(self, state):
        """Return the decision in the state with this number."""
        decision = self._decisions.get(state)
        if decision is None:
            decision = self._decisions[state] = self._decide(self.values[state], NOW, LEEWAY)
        return decision

    def decide_unlocked(self, state):
        """Return the decision of the same state after the lock is released."""
        decision = self._rests.get(state)
        if decision is None:
            unlocked = attrs.evolve(self.values[state], is_locked=False)
            decision = self._rests[state] = self._decide(unlocked, NOW, LEEWAY)
        return decision

    def advance(self, state, outcome):
        """Return the number of the state after `outcome`."""
        key = (state, outcome)
        after = self._advanced.get(key)
        if after is None:
            after = self._advanced[key] = self.number(_tidy(self._advance(self.values[state], outcome, NOW)))
        return after

    def deleted(self, record):
        """Return the number of what a deletion of `record` leaves."""
        tombstone = self._tombstone(self.values[record], ORIGIN)
        return self.number(None if tombstone is None else attrs.evolve(tombstone, expires_at=NEVER))

    def sign_in_times(self, number):
        """Return the times of sign-ins in a value, in seconds from now."""
        times = self._signed_in.get(number)
        if times is None:
            value = self.values[number]
            found = [value]
            if isinstance(value, TokenState):
                found = [held.stored for held in (value.held, value.used) if held is not None]
                found += [value.refusal, value]
            moments = (getattr(one, "signed_in_at", None) for one in found)
            times = self._signed_in[number] = frozenset(seconds(one) for one in moments if one is not None)
        return times

    def aged(self, number, monotonic, wall, ranks):
        """Return the number of a value after the clocks have moved by these seconds.

        Args:
            number: of a state or record.
            monotonic: seconds.
            wall: seconds.
            ranks: pairs of a former time of a sign-in and the present one.
        """
        key = (number, monotonic, wall, ranks)
        after = self._aged.get(key)
        if after is None:
            after = self._aged[key] = self.number(_aged(self.values[number], monotonic, wall, dict(ranks)))
        return after


def _aged(value, monotonic, wall, ranks):
    match value:
        case None:
            return None
        case Tombstone():
            return attrs.evolve(value, signed_in_at=at(ranks[seconds(value.signed_in_at)]))
        case StoredToken():
            return _aged_token(value, wall, ranks)
    held, used = (_aged_held(one, monotonic, wall, ranks) for one in (value.held, value.used))
    signed_in_at = None if value.signed_in_at is None else at(ranks[seconds(value.signed_in_at)])
    return _tidy(
        attrs.evolve(
            value,
            held=held,
            used=used,
            refusal=None if value.refusal is None else _aged_token(value.refusal, wall, ranks),
            signed_in_at=signed_in_at,
            ask_at=value.ask_at - monotonic,
            store_failed_at=value.store_failed_at - monotonic,
        )
    )


def _aged_token(stored, wall, ranks):
    token = stored.token
    expires = max(seconds(token.access_token_expires_at) - wall, OLD)
    lifetime_ = token.access_token_expires_at - stored.obtained_at
    ends = token.refresh_token_expires_at
    token = attrs.evolve(
        token,
        access_token_expires_at=at(expires),
        refresh_token_expires_at=None if ends is None else at(max(seconds(ends) - wall, OLD)),
    )
    signed_in_at = at(ranks[seconds(stored.signed_in_at)])
    return attrs.evolve(stored, token=token, obtained_at=at(expires) - lifetime_, signed_in_at=signed_in_at)


def _aged_held(held, monotonic, wall, ranks):
    if held is None:
        return None
    return attrs.evolve(
        held,
        stored=_aged_token(held.stored, wall, ranks),
        expires=max(held.expires - monotonic, 0.0),
        refresh_expires=max(held.refresh_expires - monotonic, 0.0),
        issued=held.issued if math.isinf(held.issued) else max(held.issued - monotonic, -2.0),
    )


def _tidy(state):
    """Make states equal that differ only in times which are past."""
    failed_at = max(state.store_failed_at, -31.0) if state.store_failures else -math.inf
    ask_at = state.ask_at if state.ask_at > 0 else -math.inf
    if (failed_at, ask_at) == (state.store_failed_at, state.ask_at):
        return state
    return attrs.evolve(state, store_failed_at=failed_at, ask_at=ask_at)
