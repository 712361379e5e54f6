"""What can happen next in a world of two pools: every step with every outcome, and everything that comes from outside.

Each function yields pairs of a label and a `Draft`; `successors` returns the worlds that they lead to.
"""

from tests.model.search import NO_PROCESS
from tests.model.sign_in_invariants import CLOCKS, LOST, check_world
from tests.model.sign_in_server import ask_for_less, process_poll
from tests.model.sign_in_steps import (
    PROCESSES,
    effect,
    fail,
    idle_step,
    mark,
    next_step,
    perform,
    report_effect,
    respond,
    usual_step,
)
from tests.model.sign_in_time import next_moment, pass_time, set_clock, wake
from tests.model.sign_in_world import NONE, Draft, Outage, Process, Sent
from twilio_oauth_async.sign_in.endings import CANCELLED
from twilio_oauth_async.sign_in.flow_life import ended_as
from twilio_oauth_async.sign_in.flow_steps import Act, End, Happening
from twilio_oauth_async.sign_in.reporting import Task

SLOWLY = "the server processes the slow poll"

CLOCK_STEP = 100.0
"""Seconds by which a wall clock is set forward or back."""


def successors(world, values):
    """Return the next worlds: tuples of the label, the process, the world, False, and what is violated."""
    urgent = urgent_process(world)
    if urgent is not None:
        found = [(label, urgent, draft) for label, draft in _of_poll(world, values, urgent)]
    else:
        found = [(label, p, draft) for p in (0, 1) for label, draft in _of_process(world, values, p)]
        found += [(label, NO_PROCESS, draft) for label, draft in _from_outside(world, values)]
    worlds = []
    for label, p, draft in found:
        after = draft.world()
        if (after != world or draft.violation) and CLOCKS not in after.reasons:
            worlds.append((label, p, after, False, draft.violation or check_world(world, after, values)))
    return worlds


def urgent_process(world):
    """Return the process that has sent a poll which the server processes at once, before anything else; or None.

    A process looks into the store just before it polls. Nothing can exclude another process between the two.
    """
    for p, process in enumerate(world.processes):
        if process.sent is not None and not process.sent.response and not process.sent.is_slow:
            return p
    return None


def _of_poll(world, values, p):
    yield PROCESSES, perform(Draft(world, values), p, PROCESSES)
    if world.budget.faults:
        spending = _Spending(world, values)
        yield from _kills(spending, p)
        yield from _failed_polls(spending, p)


def _of_process(world, values, p):
    process = world.processes[p]
    if not process.is_up:
        if world.flow != NONE:
            yield "starts", start(Draft(world, values), p)
        return
    if process.stopped_at is not None:
        if world.now > process.stopped_at:
            yield "goes on", wake(Draft(world, values), p)
        if process.sent is not None and not process.sent.response:
            yield SLOWLY, perform(Draft(world, values), p, PROCESSES)
        return
    usual = usual_step(world, values, p)
    if usual is not None:
        yield usual
    draft = Draft(world, values)
    idle = idle_step(draft, p)
    if idle is not None:
        yield idle, perform(draft, p, idle)
    if process.sent is not None and not process.sent.response and process.sent.is_slow:
        yield SLOWLY, perform(Draft(world, values), p, PROCESSES)
    spending = _Spending(world, values)
    if world.budget.faults:
        yield from _faults(spending, p)
    if world.budget.events:
        yield from _events(spending, p)
    if process.life == NONE and process.report == NONE:
        return
    if world.budget.stops:
        for is_suspended in (True, False):
            draft = spending("stops")
            draft.change(p, stopped_at=draft.now, is_suspended=is_suspended)
            yield "is suspended" if is_suspended else "makes no step for some time", draft
    if world.budget.steps:
        for step in (CLOCK_STEP, -CLOCK_STEP):
            yield f"its wall clock is set by {step:+g} s", set_clock(spending("steps"), p, step)


class _Spending:
    """Makes new drafts of one world."""

    def __init__(self, world, values):
        self._world, self._values = world, values

    def __call__(self, kind):
        draft = Draft(self._world, self._values)
        draft.spend(kind)
        return draft


def start(draft, p):
    draft.change(p, is_up=True)
    return draft


# Faults.


def _faults(spending, p):
    process = spending("faults").processes[p]
    yield from _kills(spending, p)
    if process.sent is not None:
        yield from _failed_polls(spending, p)
        return
    draft = spending("faults")
    step = next_step(draft, p)
    if step is Act.POLL:
        respond(draft, p, "not sent")
        yield "the poll cannot be sent", draft
    elif step is Act.REVOKE:
        draft.excuse("not revoked")
        draft.tell(p, Happening.REVOKED)
        yield "the token cannot be revoked", draft
    elif step is Act.LOOK or (process.seen != NONE and isinstance(step, str)):
        fail(draft, p, step)
        yield f"{_name(step)}: fails", draft
    elif isinstance(step, (Act, End, Task)) and step not in {Act.STOP, Task.DONE}:
        for is_done in (False, True):
            draft = spending("faults")
            if is_done and step is Task.MARK:
                mark(draft)  # and the lease fails
            elif is_done:
                report_effect(draft, p, step) if isinstance(step, Task) else effect(draft, p, step)
            fail(draft, p, step)
            yield f"{_name(step)}: fails" + (", but it is done" if is_done else ""), draft


def _name(step):
    if isinstance(step, str):
        return step
    return f"end it as {step.ending.state}" if isinstance(step, End) else step.value


def _failed_polls(spending, p):
    sent = spending("faults").processes[p].sent
    if sent.response:
        draft = spending("faults")
        if sent.response == "token":
            draft.excuse("response lost")
        respond(draft, p, "lost")
        yield "the response is lost", draft
        return
    for response, label in (("overload", "the server has too much to do"), ("lost", "the request is lost")):
        draft = spending("faults")
        respond(draft, p, response)
        yield label, draft
    draft = spending("faults")
    draft.change(p, sent=sent._replace(response=ask_for_less(draft)))
    yield "the server asks for fewer polls", draft
    if not sent.is_slow:
        draft = spending("faults")
        draft.change(p, sent=sent._replace(is_slow=True))
        yield "the request is slow", draft


def _kills(spending, p):
    draft = spending("faults")
    process = draft.processes[p]
    if (process.life, process.report, process.kept_until) == (NONE, NONE, None):
        return
    if process.sent is None or process.sent.response:
        life = draft.life(p)
        if (process.sent and process.sent.response == "token") or (life is not None and life.token is not None):
            draft.excuse("killed with the token")
        yield "is killed", _kill(draft, p)
        return
    yield "is killed, and its poll is lost", _kill(draft, p)
    draft = spending("faults")
    if process_poll(draft, process.sent) == "token":
        draft.excuse("killed with the token")
    yield "is killed, and its poll is processed", _kill(draft, p)
    draft = spending("faults")
    draft.late += (process.sent.at,)
    yield "is killed, and its poll is slow", _kill(draft, p)


def _kill(draft, p):
    process = draft.processes[p]
    draft.processes[p] = Process(
        process.run + 1, is_up=False, has_callback=process.has_callback, asleep=process.asleep, shift=process.shift
    )
    return draft


# Events.


def _events(spending, p):
    draft = spending("events")
    process = draft.processes[p]
    if not process.is_closing and draft.flow is not None:
        draft.change(p, is_closing=True)
        if process.life != NONE:
            draft.tell(p, Happening.STOPPING)
        yield "begins to close", draft
    draft = spending("events")
    if draft.flow is not None and draft.flow.state == "pending" and not process.is_closing:
        draft.end("cancelled", CANCELLED.problem)
        draft.excuse("cancelled")
        if process.life != NONE and not draft.life(p).is_recorded:
            life = ended_as(draft.life(p), CANCELLED)
            draft.change(p, life=draft.values.number(life))
        yield "cancels the sign-in", draft


def _from_outside(world, values):
    if not world.server.decision and world.now < world.server.expires_at:
        for decision in ("approved", "denied"):
            draft = Draft(world, values)
            draft.server = draft.server._replace(decision=decision)
            yield f"the user decides: {decision}", draft
    if world.budget.events and _can_sign_out(world):
        draft = Draft(world, values)
        draft.spend("events")
        draft.token = "" if world.token == "other" and not world.server.is_exchanged else "out"
        if draft.token == "out":
            draft.excuse("signed out")
        yield "the user signs out", draft
    if world.outage is not None:
        draft = Draft(world, values)
        draft.outage, draft.works_since = None, world.now
        yield f"the store of {world.outage.store} works again", draft
    elif world.budget.outages:
        for store in ("flows", "tokens"):
            draft = Draft(world, values)
            draft.spend("outages")
            draft.outage = Outage(store, world.now)
            yield f"the store of {store} is down", draft
    if world.budget.faults and world.flow != NONE:
        draft = Draft(world, values)
        draft.spend("faults")
        draft.flow = None
        draft.excuse(LOST)
        yield "the flow store loses its data", draft
    for sent_at in world.late:
        draft = Draft(world, values)
        draft.late = tuple(at for at in draft.late if at != sent_at)
        if process_poll(draft, Sent(sent_at, is_slow=True)) == "token":
            draft.excuse("killed with the token")
        yield "the server processes the slow poll of a killed process", draft
    until = next_moment(world, values)
    if until is not None:
        yield f"it becomes {until:g} s", pass_time(Draft(world, values), until)


def _can_sign_out(world):
    return world.token in {"other", "new"} or (world.token == "" and world.server.is_exchanged)
