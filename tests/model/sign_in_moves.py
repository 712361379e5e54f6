"""What can happen next in a world of two pools: every step with every outcome, and everything that comes from outside.

Each function yields pairs of a label and a `Draft`; `successors` returns the worlds that they lead to.
"""

import math

from tests.model.search import NO_PROCESS
from tests.model.sign_in_invariants import CLOCKS, check_world
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
from tests.model.sign_in_world import NONE, REQUEST_TIMEOUT, Draft, Outage, Process, Sent, lease_left, seconds
from twilio_oauth_async.sign_in.endings import CANCELLED
from twilio_oauth_async.sign_in.flow_life import KEPT, ended_as
from twilio_oauth_async.sign_in.flow_steps import Act, End, Happening, Rest
from twilio_oauth_async.sign_in.reporting import GIVE_UP_AFTER, Pause, Task

SLOWLY = "the server processes the slow poll"

CLOCK_STEP = 100.0
"""Seconds by which a wall clock is set forward or back."""

TAKE_UP_EVERY = 15.0
"""Seconds between two looks of a pool into its store."""

LONGEST_OUTAGE = 200.0
"""Seconds."""

LONG_STOP = 60.0
"""Seconds for which a process has stopped after which another process may end the flow without its token."""


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
            yield f"its wall clock is set by {step:+g} s", _set_clock(spending("steps"), p, step)


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


def wake(draft, p):
    """Let process `p` go on."""
    process = draft.processes[p]
    stopped_for = draft.now - process.stopped_at
    asleep = process.asleep + (stopped_for if process.is_suspended else 0.0)
    draft.change(p, stopped_at=None, is_suspended=False, asleep=asleep, moves_since=draft.now)
    return _judge_clocks(draft, p)


def _set_clock(draft, p, step):
    draft.change(p, shift=draft.processes[p].shift + step)
    return _judge_clocks(draft, p)


def _judge_clocks(draft, p):
    """Note if both clocks of process `p` are wrong: then it cannot know how much time has passed."""
    process = draft.processes[p]
    if process.asleep and process.shift < 0:
        draft.excuse(CLOCKS)
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
        draft.outage = None
        yield f"the store of {world.outage.store} works again", draft
    elif world.budget.outages:
        for store in ("flows", "tokens"):
            draft = Draft(world, values)
            draft.spend("outages")
            draft.outage = Outage(store, world.now)
            yield f"the store of {store} is down", draft
    for sent_at in world.late:
        draft = Draft(world, values)
        draft.late = tuple(at for at in draft.late if at != sent_at)
        if process_poll(draft, Sent(sent_at, is_slow=True)) == "token":
            draft.excuse("killed with the token")
        yield "the server processes the slow poll of a killed process", draft
    draft = Draft(world, values)
    if all(is_at_rest(draft, p) for p in (0, 1)):
        ahead = moments(world, values)
        latest = world.now + TAKE_UP_EVERY if any(idle_step(draft, p) for p in (0, 1)) else math.inf
        if world.outage is not None:
            latest = min(latest, world.outage.since + LONGEST_OUTAGE)
        if ahead and ahead[0] <= latest:
            yield f"it becomes {ahead[0]:g} s", pass_time(draft, ahead[0])


def _can_sign_out(world):
    return world.token in {"other", "new"} or (world.token == "" and world.server.is_exchanged)


# Time.


def is_at_rest(draft, p):
    """Return whether nothing happens to process `p` before some time has passed."""
    process = draft.processes[p]
    if not process.is_up or process.stopped_at is not None:
        return True
    step = next_step(draft, p)
    return step is None or isinstance(step, (Rest, Pause))


def moments(world, values):
    """Return the times at which something changes by itself."""
    draft, found = Draft(world, values), set()
    for p, process in enumerate(world.processes):
        if not process.is_up:
            continue
        if process.sent is not None:
            found.add(process.sent.at + REQUEST_TIMEOUT)
        found.add(process.kept_until or 0.0)
        if process.life != NONE and draft.life(p).lease is not None:
            left = draft.life(p).lease.left(draft.clocks(p))
            found |= {world.now + left, world.now + lease_left(left)}
        if process.stopped_at is None:
            step = next_step(draft, p)
            if isinstance(step, (Rest, Pause)):
                found.add(world.now + step.at - draft.clocks(p).monotonic)
    flow = draft.flow
    if flow is not None:
        if flow.leased_until is not None:
            found.add(seconds(flow.leased_until))
        if flow.ended_at is not None:
            found |= {seconds(flow.ended_at) + KEPT, seconds(flow.ended_at) + GIVE_UP_AFTER.total_seconds() + 3601.0}
    if not world.server.decision:
        found.add(world.server.expires_at)
    return sorted(round(one, 3) for one in found if world.now < round(one, 3) < math.inf)


def pass_time(draft, until):
    """Let it become `until`."""
    for p, process in enumerate(draft.processes):
        if process.stopped_at is not None:
            is_known = draft.holds_token(p) and draft.life(p).is_granted
            has_token = draft.holds_token(p) or (process.sent and process.sent.response == "token")
            if has_token and (not is_known or until - process.stopped_at >= LONG_STOP):
                draft.excuse("stopped with the token")
    draft.now = until
    draft.late = tuple(sent_at for sent_at in draft.late if sent_at + REQUEST_TIMEOUT > until)
    return draft
