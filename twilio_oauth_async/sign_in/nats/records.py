"""`QueuedFlow`: the state of a sign-in in the bucket, and the rules of the turns in which it is polled. Pure.

The server of NATS delivers the message of a sign-in to one worker at a time, as long as that worker is not suspended or
cut off. Then a second worker gets the message, and the first one can still have a poll under way. So each turn saves
the number of its delivery. A worker that finds that the turn before its own did not save does not poll: it marks the
sign-in as contested and leaves it for an interval (RFC 8628 3.5). While a sign-in is contested, a worker claims it
before each poll. A token that arrives late is accepted if no poll was claimed since its own was sent, because a second
exchange of the device code may have revoked it. A worker whose late poll was itself the second exchange takes back the
approval that the other one has recorded.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta

import attrs

from twilio_oauth_async.protocol import polling
from twilio_oauth_async.protocol.serializable import Storable
from twilio_oauth_async.sign_in.base import NOT_POLLED, SignIn
from twilio_oauth_async.sign_in.endings import TOKEN_REVOKED
from twilio_oauth_async.sign_in.flow_life import GRANTED_GRACE, LEASE, SETTLE
from twilio_oauth_async.stores.base import StoredFlow

OVERDUE = 15.0
"""Seconds after the time of its next poll at which a sign-in counts as not polled by any worker."""


@attrs.frozen(kw_only=True)
class QueuedFlow(Storable):
    """A sign-in as the bucket has it."""

    flow: StoredFlow
    """Its `owner` is the worker of the last turn, and its `problem` is also that of a pending sign-in."""
    sequence: int = 0
    """The number of its message in the stream; 0: it was not delivered yet."""
    delivery: int = 0
    """How often the message was delivered, at the last turn that was saved."""
    claims: int = 0
    """The number of polls that were claimed."""
    contested_at: datetime | None = None
    """UTC. When a worker took over from one that may still have a poll under way."""
    granted_at: datetime | None = None
    """UTC. When a worker recorded that it has the token."""
    delivered_at: datetime | None = None
    """UTC. When the end was reported."""

    def seen(self, now: datetime) -> SignIn:
        """Return what others may see of it at `now` (UTC)."""
        flow = self.flow
        is_overdue = flow.state == "pending" and now >= flow.authorization.next_poll_at + timedelta(seconds=OVERDUE)
        return SignIn.of(flow, NOT_POLLED if is_overdue else flow.problem)


@attrs.frozen
class Delivered:
    """Which delivery of which message a worker has."""

    sequence: int
    number: int
    is_certain: bool = True
    """Whether the number can be relied on: a server that was killed forgets the last deliveries."""


class Choice(enum.Enum):
    """What a worker does with the sign-in of a message."""

    FINISH = "it has ended: publish the end, if it is not reported, and acknowledge the message"
    DROP = "there is a newer message: acknowledge this one"
    LOOK = "a worker has received the token: look whether it is stored"
    LOSE = "a worker has received the token, and has not saved it in time"
    TAKE_OVER = "the worker before this one may have a poll under way"
    EXPIRE = "no poll is possible before the code expires"
    WAIT = "the next poll is not due"
    CLAIM = "claim the poll, and send it"
    POLL = "send one poll"


def choose(state: QueuedFlow, delivered: Delivered, now: datetime) -> Choice:
    """Return what a worker does with the sign-in `state`, whose message it has, at `now` (UTC)."""
    flow = state.flow
    if flow.has_ended:
        return Choice.FINISH
    if delivered.sequence < state.sequence:
        return Choice.DROP
    if flow.state == "granted":
        granted_at = state.granted_at or now
        return Choice.LOSE if now >= granted_at + timedelta(seconds=GRANTED_GRACE) else Choice.LOOK
    if not _continues(state, delivered):
        return Choice.TAKE_OVER
    if seconds_to_turn(state, now) > 0:
        return Choice.WAIT
    if polling.seconds_to_poll(flow.authorization, now) is None:
        return Choice.EXPIRE
    return Choice.POLL if state.contested_at is None else Choice.CLAIM


def _continues(state: QueuedFlow, delivered: Delivered) -> bool:
    """Return whether the turn before this one was saved, so that no poll can be under way."""
    if not delivered.is_certain or delivered.number != state.delivery + 1:
        return False
    return state.sequence in (0, delivered.sequence)


def seconds_to_turn(state: QueuedFlow, now: datetime) -> float:
    """Return the seconds until the sign-in is to be polled, or ends because its code has expired."""
    seconds = polling.seconds_to_poll(state.flow.authorization, now)
    if seconds is None:
        seconds = (state.flow.authorization.expires_at - now).total_seconds()
    if state.contested_at is not None:
        # A response with a token may arrive late, and the worker that gets it can record that meanwhile.
        settled_at = state.contested_at + timedelta(seconds=min(SETTLE, state.flow.authorization.interval))
        seconds = max(seconds, (settled_at - now).total_seconds())
    return max(0.0, seconds)


def taken_over(state: QueuedFlow, delivered: Delivered, owner: str, now: datetime, spread: float) -> QueuedFlow:
    """Return the state after `owner` took over from a worker that may have polled until `now`.

    Args:
        state: as it was stored.
        delivered: the delivery of this turn.
        owner: names the worker.
        now: UTC.
        spread: from 0 to 1; see `polling.resume`.
    """
    authorization = polling.resume(state.flow.authorization, now, spread)
    flow = attrs.evolve(state.flow, authorization=authorization)
    return after_turn(attrs.evolve(state, flow=flow, contested_at=now), delivered, owner, now)


def claimed(state: QueuedFlow, owner: str) -> QueuedFlow:
    """Return the state before a poll of a contested sign-in. Its turn goes on, so the delivery is not counted yet."""
    return attrs.evolve(state, claims=state.claims + 1, flow=attrs.evolve(state.flow, owner=owner))


def with_revoked_token(state: QueuedFlow, now: datetime) -> QueuedFlow | None:
    """Return the state after the server has refused the code because it was exchanged before; None if no worker has.

    The server then revokes the tokens of the first exchange (RFC 6749 4.1.2). An approval that was recorded is taken
    back, and the end is reported once more.
    """
    if state.flow.state not in ("granted", "approved"):
        return None
    flow = attrs.evolve(
        state.flow, state=TOKEN_REVOKED.state, problem=TOKEN_REVOKED.problem, ended_at=now, delivered=False
    )
    return attrs.evolve(state, flow=flow, delivered_at=None)


def after_turn(state: QueuedFlow, delivered: Delivered, owner: str, now: datetime) -> QueuedFlow:
    """Return the state with which `owner` leaves the sign-in to the next worker."""
    contested_at = state.contested_at
    if contested_at is not None and now >= contested_at + timedelta(seconds=LEASE):
        contested_at = None  # no request of the worker before can be under way any more
    return attrs.evolve(
        state,
        flow=attrs.evolve(state.flow, owner=owner),
        sequence=delivered.sequence,
        delivery=delivered.number,
        contested_at=contested_at,
    )
