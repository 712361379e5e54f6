"""The life of a flow in one process: `decide` chooses what comes next, `advance` returns the state after it. Pure.

The order that survives a crash at any point is: lease the flow, look whether its token is stored already, poll, record
that the token was received, save the token, record the end, report it. A code is exchanged once: the process that
receives the token records that before anything else, and a process that takes a flow up looks for its token before it
polls.
"""

from __future__ import annotations

import math

import attrs

from twilio_oauth_async.protocol import polling
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.polling import Approved
from twilio_oauth_async.sign_in.endings import (
    APPROVED,
    DELETED,
    SIGNED_OUT,
    TOKEN_LOST,
    Ending,
    ending_of_error,
    ending_of_flow,
)
from twilio_oauth_async.sign_in.flow_steps import (
    Act,
    CallFailed,
    End,
    FlowLife,
    Happening,
    Lease,
    Leased,
    Looked,
    Outcome,
    Polled,
    PollFailed,
    Recorded,
    Rest,
    Step,
)
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tokens.state import Now

NEVER = -math.inf

LEASE = 30.0
"""Seconds that a lease lasts. So the sign-ins of a killed process are polled again after half a minute."""

LOOK_EVERY = 15.0
"""Seconds after which the flow store is read again before a poll: another process may have cancelled the flow."""

LOOK_BEFORE = 0.5
"""Seconds. A look that comes before the first poll of a flow that was taken over is not older than that."""

SETTLE = 5.0
"""Seconds for which a process that has taken a flow over waits before it polls or ends it. Meanwhile the process before
it can record that it has received the token."""

RECORD_PAUSE = 2.0
"""Seconds. The longest pause between two tries to record that a token was received."""

FOLLOW_EVERY = 3.0
"""Seconds between two looks at a flow that another process polls or saves the token of."""

GRANTED_GRACE = 90.0
"""Seconds for which a process that has received the token of a flow may be without a lease, and still save it."""

MAX_PAUSE = 30.0
"""Seconds. After failures of a store in a row the pause before the next call doubles, up to this."""

KEPT = 300.0
"""Seconds for which an end is kept after it was delivered, so that those who come late can find it."""

SAVE_LIMIT = 240.0
"""Seconds after which a token that cannot be saved is not tried any more: it is revoked, and the sign-in has failed."""


def started(flow: StoredFlow, lease: Lease, now: Now) -> FlowLife:
    """Return the state of a flow that this process has just created."""
    return FlowLife(flow=flow, start=now, known=now, stored=flow.authorization, lease=lease, looked_at=now.monotonic)


def taken_up(flow: StoredFlow, owner: str, lease: Lease, now: Now, spread: float = 0.0) -> FlowLife:
    """Return the state of a stored flow that this process has just leased.

    Another process may have polled until now, so the next poll is one interval later (RFC 8628 3.5).

    Args:
        flow: as it was stored.
        owner: names this process in the store.
        lease: the lease.
        now: both clocks.
        spread: from 0 to 1, lengthens the wait by up to a tenth: flows that are taken up together do not stay together.
    """
    resumed = attrs.evolve(flow, owner=owner, authorization=polling.resume(flow.authorization, now.wall, spread))
    return FlowLife(flow=resumed, start=now, known=now, stored=flow.authorization, lease=lease, taken_at=now.monotonic)


def pause(failures: int) -> float:
    """Return the seconds to wait after `failures` failures in a row."""
    return min(2.0 ** min(failures - 1, 16), MAX_PAUSE)


def decide(life: FlowLife, now: Now) -> Step:
    """Return what comes next."""
    if life.token is not None and _must_revoke(life):
        return Act.REVOKE
    if now.monotonic < life.retry_at:
        return Rest(life.retry_at)
    if life.is_recorded:
        return Act.REMOVE if life.is_saved and not _is_approved(life) else Act.STOP
    if life.is_disputed:
        return Act.LOOK
    if life.token is not None:
        return _step_with_token(life, now)
    if life.ending is not None:
        return End(life.ending)
    if life.is_lost or life.is_stopping:
        return Act.STOP
    if life.lease is None or life.lease.left(now) <= 0:
        return Act.LEASE
    return _step_of_pending(life, now)


def _is_approved(life: FlowLife) -> bool:
    return life.ending is not None and life.ending.state == "approved"


def _must_revoke(life: FlowLife) -> bool:
    """Return whether the flow has ended, or ends, without the token that this process holds."""
    if life.is_refused or (life.ending is not None and not _is_approved(life)):
        return True
    return life.is_recorded and not life.is_saved


def _step_with_token(life: FlowLife, now: Now) -> Step:
    if not life.is_granted:
        return Act.GRANT
    if life.is_saved:
        return End(APPROVED)
    # After the grace another process may have ended the flow without the token.
    return Act.LOOK if _seconds_since(life.known, now) >= GRANTED_GRACE / 2 else Act.SAVE_TOKEN


def _step_of_pending(life: FlowLife, now: Now) -> Step:
    if life.flow.state == "granted":
        # Another process has received the token. It may be about to save it, although its lease has ended.
        look_at = life.looked_at + FOLLOW_EVERY
        if life.granted_since is not None and now.monotonic >= life.granted_since + GRANTED_GRACE:
            return End(TOKEN_LOST)
        return Act.LOOK if now.monotonic >= look_at else Rest(look_at)
    if life.looked_at == NEVER and life.taken_at is None:
        return Act.LOOK  # else just before the first poll: thousands may be taken up at once
    if _for_successor(life.stored) != _for_successor(life.flow.authorization) and now.monotonic >= life.save_state_at:
        return Act.SAVE_STATE
    seconds = polling.seconds_to_poll(life.flow.authorization, life.steady(now))
    if seconds is None:
        # No poll is possible any more. But another process may still wait for the response to its last poll.
        left = (life.flow.authorization.expires_at - life.steady(now)).total_seconds()
        return _settled(life, now, left, End(ending_of_error(polling.expired(life.flow.authorization))))
    return _settled(life, now, seconds, Act.POLL)


def _settled(life: FlowLife, now: Now, seconds: float, step: Step) -> Step:
    """Return `step`, which is due in `seconds`, or what comes before it."""
    at = now.monotonic + seconds
    if life.taken_at is not None:
        at = max(at, life.taken_at + SETTLE)
    if at > now.monotonic:
        return Rest(at)
    # The process before this one may have recorded a token since the first look.
    look_every = LOOK_EVERY if life.taken_at is None else LOOK_BEFORE
    return Act.LOOK if now.monotonic >= life.looked_at + look_every else step


def _for_successor(authorization: DeviceAuthorization) -> tuple[float, int, bool]:
    """Return what the next process that polls the flow must know."""
    return authorization.interval, authorization.faults, authorization.answer_lost


def advance(life: FlowLife, outcome: Outcome, now: Now) -> FlowLife:
    """Return the state after `outcome`, which is that of the last step or an event from outside."""
    match outcome:
        case Happening():
            return _after_happening(life, outcome, now)
        case Leased(lease):
            return _worked(_with_lease(life, lease, now))
        case Looked():
            return _after_look(life, outcome, now)
        case Polled(Approved(token)):
            return attrs.evolve(life, token=token, received=now)
        case Polled(step):
            assert not isinstance(step, Approved)
            return _after_poll(life, step.authorization, now)
        case PollFailed(error):
            return life if life.ending is not None else attrs.evolve(life, ending=ending_of_error(error))
        case Recorded(ending):
            return _worked(attrs.evolve(life, ending=ending, is_recorded=True))
        case CallFailed():
            return _after_failure(life, outcome, now)


def _with_lease(life: FlowLife, lease: Lease, now: Now) -> FlowLife:
    """Return the state with a lease that was given."""
    if life.lease is None or life.lease.left(now) <= 0:
        # It had ended. Another process may have polled the flow since: this is as if it was taken up.
        resumed = polling.resume(life.flow.authorization, life.steady(now))
        flow = attrs.evolve(life.flow, authorization=resumed)
        life = attrs.evolve(life, flow=flow, looked_at=NEVER, taken_at=now.monotonic)
    elif life.is_granted:
        # A granted flow is not cancelled, and no other process has had it.
        life = attrs.evolve(life, known=now)
    return attrs.evolve(life, lease=lease, is_lost=False)


def _after_poll(life: FlowLife, authorization: DeviceAuthorization, now: Now) -> FlowLife:
    taken_at = life.taken_at
    if taken_at is not None and now.monotonic >= taken_at + LEASE:
        taken_at = None  # no request of the process before this one can be under way any more
    return attrs.evolve(life, flow=attrs.evolve(life.flow, authorization=authorization), taken_at=taken_at)


def _worked(life: FlowLife) -> FlowLife:
    """Return `life` after a call of a store that worked."""
    return attrs.evolve(life, failures=0, retry_at=NEVER) if life.failures else life


def _after_happening(life: FlowLife, happening: Happening, now: Now) -> FlowLife:
    match happening:
        case Happening.LOST:
            return _worked(attrs.evolve(life, lease=None, is_lost=True))
        case Happening.STOPPING:
            return attrs.evolve(life, is_stopping=True)
        case Happening.STATE_SAVED:
            return _worked(attrs.evolve(life, stored=life.flow.authorization))
        case Happening.STATE_OUTDATED:
            # It is read again before the next poll, which tells who polls the flow or how it ended.
            return _worked(attrs.evolve(life, stored=life.flow.authorization, looked_at=NEVER))
        case Happening.GRANTED:
            return _worked(attrs.evolve(life, is_granted=True, known=now))
        case Happening.NOT_GRANTED:
            return _worked(attrs.evolve(life, is_disputed=True))
        case Happening.TOKEN_SAVED:
            return _worked(attrs.evolve(life, is_saved=True))
        case Happening.SIGNED_OUT:
            return _worked(attrs.evolve(life, ending=SIGNED_OUT))
        case Happening.REVOKED:
            return attrs.evolve(life, token=None, is_refused=False)
        case Happening.REMOVED:
            return _worked(attrs.evolve(life, is_saved=False))
        case Happening.NOT_RECORDED:
            return _worked(attrs.evolve(life, is_disputed=True))


def _after_look(life: FlowLife, looked: Looked, now: Now) -> FlowLife:
    flow, was_disputed = looked.flow, life.is_disputed
    if life.failures and life.taken_at is not None:
        # The store was down, also for a process that has received the token.
        life = attrs.evolve(life, taken_at=now.monotonic)
    life = attrs.evolve(_worked(life), looked_at=now.monotonic, is_disputed=False)
    if flow is None:
        return _after_look_at_nothing(life, looked, now)
    if flow.has_ended:
        # Another process ends it as approved if it finds the token, which this one saved in a call that seemed to fail.
        is_saved = life.is_saved or flow.state == "approved"
        return attrs.evolve(life, ending=ending_of_flow(flow), is_recorded=True, is_saved=is_saved)
    life = attrs.evolve(life, flow=attrs.evolve(life.flow, state=flow.state), known=now)
    if looked.has_token:
        # This process saved it in a call that seemed to fail; or the one before this saved it and was killed, and then
        # a second exchange of the code would revoke it.
        saved = life.token is not None
        return attrs.evolve(life, is_granted=True, is_saved=saved, ending=None if saved else APPROVED)
    is_ours = flow.granted_to == life.flow.owner
    if life.token is not None and flow.state == "granted" and not is_ours:
        return attrs.evolve(life, is_refused=True)
    if was_disputed:
        # The store contradicts itself. A pause, so that this is no loop.
        failures = life.failures + 1
        return attrs.evolve(life, ending=None, failures=failures, retry_at=now.monotonic + pause(failures))
    if flow.owner != life.flow.owner:
        return attrs.evolve(life, lease=None, is_lost=True)
    since = life.granted_since
    return attrs.evolve(life, granted_since=now.monotonic if flow.state == "granted" and since is None else since)


def _after_look_at_nothing(life: FlowLife, looked: Looked, now: Now) -> FlowLife:
    """Return the state if the flow is not stored: its end was reported some time ago, or the store has lost it."""
    is_deleted = _seconds_since(life.known, now) >= KEPT  # an end is kept for longer than that
    if life.token is not None and not life.is_saved and not is_deleted:
        return attrs.evolve(
            life, is_granted=True, known=now
        )  # no process has cancelled the flow: the store has lost it
    is_saved = life.is_saved or looked.has_token
    ending = APPROVED if is_saved else life.ending or DELETED
    return attrs.evolve(life, ending=ending, is_recorded=True, is_deleted=is_deleted, is_saved=is_saved)


def _after_failure(life: FlowLife, failed: CallFailed, now: Now) -> FlowLife:
    if failed.act is Act.SAVE_STATE:
        # It can wait: the user is about to approve, and the lease tells that the flow is polled.
        return attrs.evolve(life, save_state_at=now.monotonic + life.flow.authorization.interval)
    if _can_wait(life, failed):
        return attrs.evolve(life, looked_at=now.monotonic - LOOK_EVERY + FOLLOW_EVERY)
    failures = life.failures + 1
    seconds = min(pause(failures), RECORD_PAUSE) if failed.act is Act.GRANT else pause(failures)
    life = attrs.evolve(life, failures=failures, retry_at=now.monotonic + seconds)
    is_late = life.received is not None and _seconds_since(life.received, now) >= SAVE_LIMIT
    if failed.act is Act.SAVE_TOKEN and is_late:
        return attrs.evolve(life, ending=ending_of_error(failed.error), failures=0, retry_at=NEVER)
    return life


def _can_wait(life: FlowLife, failed: CallFailed) -> bool:
    """Return whether a look that failed was only one of those that are made from time to time."""
    is_taken_over = life.looked_at == NEVER or life.taken_at is not None or life.granted_since is not None
    return failed.act is Act.LOOK and not (is_taken_over or life.is_disputed or life.token is not None)


def _seconds_since(before: Now, now: Now) -> float:
    """Return the seconds since `before`, by the clock that says more: one of them stands still during suspend."""
    return max(now.monotonic - before.monotonic, (now.wall - before.wall).total_seconds())


def ended_as(life: FlowLife, ending: Ending) -> FlowLife:
    """Return the state after this process has recorded `ending` in the flow store on demand, or has found it there."""
    return attrs.evolve(life, ending=ending, is_recorded=True)
