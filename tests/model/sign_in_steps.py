"""What a process does in a world of two pools: the steps that the rules choose, performed as the pool does it."""

import attrs

from tests.model.sign_in_invariants import check_delete, check_report, check_save, check_send, check_stop
from tests.model.sign_in_server import process_poll, step_of
from tests.model.sign_in_world import DOWN, NONE, RENEW_BELOW, REQUEST_TIMEOUT, Draft, Process, Sent, at
from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.sign_in.flow_life import KEPT, LEASE, NEVER
from twilio_oauth_async.sign_in.flow_steps import (
    Act,
    CallFailed,
    End,
    Happening,
    Leased,
    Looked,
    Polled,
    PollFailed,
    Recorded,
    Rest,
)
from twilio_oauth_async.sign_in.reporting import Pause, Report, Result, Task
from twilio_oauth_async.stores import rules

PROCESSES = "the server processes the poll"


def usual_step(world, values, p):
    """Return the label and the draft of what process `p` does next if nothing fails; None if it waits."""
    process = world.processes[p]
    if not process.is_up or process.stopped_at is not None:
        return None
    draft = Draft(world, values)
    step = next_step(draft, p)
    if step is None or isinstance(step, (Rest, Pause)):
        return None
    return _label(step), perform(draft, p, step)


def _label(step):
    if isinstance(step, str):
        return step
    return f"end it as {step.ending.state}" if isinstance(step, End) else step.value


def next_step(draft, p):
    """Return what process `p` does next, whose work is not stopped; None: it waits for a response, or for nothing."""
    process, values = draft.processes[p], draft.values
    if must_renew(draft, p):
        return "renews its lease"
    if process.sent is not None:
        is_late = draft.now >= process.sent.at + REQUEST_TIMEOUT
        if process.sent.response:
            return "the response arrives"
        if is_late:
            return "the poll times out"
        return None if process.sent.is_slow else PROCESSES
    if process.seen != NONE:
        return "leases the flow that was due" if process.life == NONE else "reads the token store"
    if process.is_closing and (process.life == NONE or process.report != NONE):
        return "is closed"
    if process.life != NONE:
        return values.decide(process.life, draft.clocks(p))
    if process.report != NONE:
        return values.decide(process.report, draft.clocks(p))
    if process.kept_until is not None and draft.now >= process.kept_until:
        return "deletes the flow that it has reported"
    return None


def idle_step(draft, p):
    """Return what process `p` finds in the store when it looks for work; None if there is none."""
    process, flow = draft.processes[p], draft.flow
    is_busy = process.is_closing or not process.is_up or process.stopped_at is not None
    if draft.is_down("flows"):
        return None
    if is_busy or (process.life, process.report, process.seen) != (NONE, NONE, NONE) or flow is None:
        return None
    if draft.is_due():
        return "finds the flow due"
    now = draft.clocks(p).wall
    if flow.has_ended and not rules.is_leased(flow, at(draft.now)):
        if draft.values.rules.may_delete(flow, now):
            return "deletes the flow"
        if process.has_callback:
            return "finds the end"
    return None


def must_renew(draft, p):
    life = draft.life(p)
    if life is None or life.lease is None or draft.is_down("flows"):
        return False
    left = life.lease.left(draft.clocks(p))
    # A lease that has ended is asked for by the rules, unless a token is held: then it is renewed as the others.
    return left < RENEW_BELOW and (left > 0 or life.token is not None)


def perform(draft, p, step):
    """Perform `step` of process `p`, with the usual outcome."""
    if draft.outage is not None and draft.outage.store == _store_of(step):
        fail(draft, p, step)
        return draft
    match step:
        case Act.STOP:
            _stop(draft, p)
        case Act.POLL:
            check_send(draft, p)
            draft.server = draft.server._replace(polled_at=draft.now)
            draft.change(p, sent=Sent(draft.now))
        case Act.LOOK:
            _look(draft, p)
        case Act() | End():
            draft.tell(p, effect(draft, p, step))
        case Task.DONE:
            draft.change(p, report=NONE, end="", is_own=False)
        case Task():
            draft.tell_report(p, report_effect(draft, p, step))
        case _:
            _WORK[step](draft, p)
    return draft


def _store_of(step):
    if isinstance(step, End) or step in _OF_FLOWS:
        return "flows"
    return "tokens" if step in {Act.SAVE_TOKEN, Act.REMOVE, "reads the token store"} else None


_OF_FLOWS = {
    Act.LEASE,
    Act.LOOK,
    Act.SAVE_STATE,
    Act.GRANT,
    Task.LEASE,
    Task.MARK,
    "leases the flow that was due",
    "deletes the flow that it has reported",
}


def fail(draft, p, step):
    """Let the call of a store fail that `step` makes."""
    if isinstance(step, End):
        draft.tell(p, CallFailed(End, DOWN))
    elif isinstance(step, Act):
        draft.tell(p, CallFailed(step, DOWN))
    elif isinstance(step, Task):
        draft.tell_report(p, Result.FAILED)
    elif draft.processes[p].seen != NONE:
        draft.change(p, seen=NONE)
        if draft.processes[p].life != NONE:
            draft.tell(p, CallFailed(Act.LOOK, DOWN))
    else:
        draft.change(p, kept_until=draft.now + 5.0)


def effect(draft, p, step):
    """Return the outcome of a call of a store or of the server."""
    life = draft.life(p)
    if isinstance(step, End):
        return Recorded(step.ending) if draft.end(step.ending.state, step.ending.problem) else Happening.NOT_RECORDED
    match step:
        case Act.LEASE:
            lease = draft.lease(p)
            return Happening.LOST if lease is None else Leased(lease)
        case Act.SAVE_STATE:
            try:
                draft.flow = rules.saved(draft.flow, life.flow, at(draft.now))
            except StoreConflict:
                return Happening.STATE_OUTDATED
            return Happening.STATE_SAVED
        case Act.GRANT:
            granted = rules.granted(draft.flow, draft.owner(p))
            draft.flow = granted or draft.flow
            return Happening.NOT_GRANTED if granted is None else Happening.GRANTED
        case Act.SAVE_TOKEN:
            if draft.token == "out":
                return Happening.SIGNED_OUT
            check_save(draft)
            draft.token = "new"
            return Happening.TOKEN_SAVED
        case Act.REVOKE:
            draft.server = draft.server._replace(is_alive=False)
            return Happening.REVOKED
        case Act.REMOVE:
            draft.token = "out" if draft.token == "new" else draft.token
            return Happening.REMOVED
    raise AssertionError(step)


def report_effect(draft, p, step):
    match step:
        case Task.LEASE:
            is_lost = draft.flow is None and draft.processes[p].is_own
            return Result.LEASED if is_lost or draft.lease(p) is not None else Result.NOT_LEASED
        case Task.CALL:
            check_report(draft, p)
            draft.reported = draft.processes[p].end
            return Result.CALLED
        case Task.MARK:
            mark(draft)
            if draft.flow is not None and draft.lease(p, KEPT + LEASE):
                draft.change(p, kept_until=draft.now + KEPT)
            return Result.MARKED
        case Task.RELEASE:
            draft.release(p)
            return Result.RELEASED
    raise AssertionError(step)


def mark(draft):
    """Mark the flow as delivered."""
    draft.flow = draft.flow and attrs.evolve(draft.flow, delivered=True)


def _stop(draft, p):
    """End the work on the flow in this process, as `members` does."""
    life = draft.life(p)
    check_stop(draft, life)
    draft.change(p, life=NONE)
    if life.is_deleted:
        return
    if life.is_recorded:
        _begin_report(draft, p, life.flow.ended_at or draft.clocks(p).wall, life.ending.state, is_own=True)
    elif not life.is_lost:
        draft.release(p)


def _look(draft, p):
    life, flow = draft.life(p), draft.flow
    may_be_saved = life.looked_at == NEVER or flow is None or flow.state == "granted"
    if flow is None or not may_be_saved:
        _see(draft, p, flow, has_token=may_be_saved and draft.token == "new")
    else:
        draft.change(p, seen=draft.values.number(flow))


def _look_at_token(draft, p):
    flow = draft.values.of(draft.processes[p].seen)
    draft.change(p, seen=NONE)
    _see(draft, p, flow, has_token=draft.token == "new")


def _see(draft, p, flow, *, has_token):
    """End a look. A poll that follows at once is part of it: nothing excludes the other process between the two."""
    draft.tell(p, Looked(flow, has_token))
    if next_step(draft, p) is Act.POLL:
        perform(draft, p, Act.POLL)


def _find_due(draft, p):
    draft.change(p, seen=draft.values.number(draft.flow))


def _take_up(draft, p):
    flow, lease = draft.values.of(draft.processes[p].seen), draft.lease(p)
    draft.change(p, seen=NONE)
    if lease is not None:
        now = draft.clocks(p)
        life = draft.values.rules.taken_up(flow, draft.owner(p), lease, now)
        draft.change(p, life=draft.values.number(life))


def _find_end(draft, p):
    _begin_report(draft, p, draft.flow.ended_at, draft.flow.state, is_own=False)


def _begin_report(draft, p, ended_at, end, *, is_own):
    report = Report(ended_at=ended_at, has_callback=draft.processes[p].has_callback)
    draft.change(p, report=draft.values.number(report), end=end, is_own=is_own)


def _delete(draft, p):
    check_delete(draft)
    draft.flow = None
    draft.change(p, kept_until=None)


def _renew(draft, p):
    lease = draft.lease(p)
    draft.tell(p, Happening.LOST if lease is None else Leased(lease))


def _process(draft, p):
    sent = draft.processes[p].sent
    draft.change(p, sent=sent._replace(response=process_poll(draft, sent)))


def _respond(draft, p):
    respond(draft, p, draft.processes[p].sent.response)


def respond(draft, p, response):
    """Let process `p` receive `response` to its poll."""
    draft.change(p, sent=None)
    step = step_of(draft.life(p), response, draft.clocks(p))
    draft.tell(p, PollFailed(step) if isinstance(step, Exception) else Polled(step))


def _time_out(draft, p):
    respond(draft, p, "lost")


def _close(draft, p):
    process = draft.processes[p]
    if process.kept_until is None:
        draft.release(p)
    run, has_callback = process.run + 1, process.has_callback
    draft.processes[p] = Process(
        run, is_up=False, has_callback=has_callback, asleep=process.asleep, shift=process.shift
    )


_WORK = {
    "the response arrives": _respond,
    "the poll times out": _time_out,
    PROCESSES: _process,
    "renews its lease": _renew,
    "leases the flow that was due": _take_up,
    "reads the token store": _look_at_token,
    "is closed": _close,
    "deletes the flow that it has reported": _delete,
    "deletes the flow": _delete,
    "finds the flow due": _find_due,
    "finds the end": _find_end,
}
"""The steps that are not those of the rules."""
