"""What can happen next in a world: every step of a process with every outcome, and everything that comes from outside.

Each function yields pairs of a label and a `Draft`; `successors` returns the worlds that they lead to.
"""

import attrs

from tests.model.invariants import check_request, check_step, check_world
from tests.model.machine import FAILED, ORIGIN, STEP, new_token
from tests.model.search import NO_PROCESS
from tests.model.world import Draft, Process
from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.tokens.state import (
    Event,
    Kind,
    Rejected,
    RequestFailed,
    Saving,
    SignedIn,
    StoreFailed,
    Unwanted,
    WaitUntil,
    Work,
)

REJECTED = "the access token is rejected"
UNWANTED = "the access token is unwanted"


def successors(world, machine, refresh_lifetime=None):
    """Return the next worlds: tuples of the label, the process, the world, whether it swapped, and what is violated."""
    found = []
    for p in (0, 1):
        if p == 1 and world.processes[0] == world.processes[1] and world.lock == NO_PROCESS:
            break  # the same again
        for label, draft in _of_process(world, machine, refresh_lifetime, p):
            found.append((label, p, draft))
    found += [(label, NO_PROCESS, draft) for label, draft in _from_outside(world, machine, refresh_lifetime)]
    worlds = []
    for label, p, draft in found:
        draft.end_rounds()
        if p != NO_PROCESS and label not in (
            REJECTED,
            UNWANTED,
        ):  # these are no steps: the next one reads the store first
            check_step(world, draft, p)
        after, is_swapped = draft.world()
        if after != world or draft.violation:
            worlds.append((label, p, after, is_swapped, draft.violation or check_world(after, machine)))
    return worlds


def usual_step(world, machine, refresh_lifetime, p):
    """Return the label and the draft of what process `p` does next if nothing fails; None if it waits."""
    process = world.processes[p]
    draft = Draft(world, machine, refresh_lifetime)
    if process.flight >= 0:
        draft.tell(p, _response(draft, p))
        return "response", draft
    prefix = _start(draft, p)
    for label, effect in _effects(draft, p, _step(draft, p)):
        outcome = effect(draft)
        if outcome is not None:
            draft.tell(p, outcome)
        return prefix + label, draft
    return None


def _start(draft, p):
    """Start a round if there is something to do.

    It is one move with the first step: no other process can see the time between them.
    """
    process = draft.processes[p]
    decision = draft.machine.decide(process.state)
    if process.is_working or not (decision.use is None or isinstance(decision.next, Work)):
        return ""
    draft.start(p)
    return "starts: "


def _step(draft, p):
    process = draft.processes[p]
    if not process.is_working or process.flight >= 0:
        return None
    return draft.machine.decide(process.state).next


def _of_process(world, machine, refresh_lifetime, p):
    usual = usual_step(world, machine, refresh_lifetime, p)
    if usual is not None:
        yield usual

    def new():
        return Draft(world, machine, refresh_lifetime)

    def started():
        draft = new()
        _start(draft, p)
        return draft

    first = started()
    step = _step(first, p)
    if world.budget.faults:
        yield from _crashes(new, p)
        if world.processes[p].flight >= 0:
            yield from _failed_requests(new, p)
        elif isinstance(step, Work):
            for label, effect in _failures(p, step):
                draft = started()
                draft.spend("faults")
                draft.tell(p, effect(draft))
                yield label, draft
    if world.budget.events:
        for name, event in _events(first, p):
            draft = new()
            event(draft, p)
            yield name, draft
            if isinstance(step, Work) and step is not Work.REFRESH:
                for label, effect in _effects(first, p, step):
                    draft = started()
                    outcome = effect(draft)
                    event(draft, p)
                    draft.tell(p, outcome)
                    yield f"{label}, meanwhile: {name}", draft


def _effects(draft, p, step):
    """Yield the successful outcome of `step`: its label, and a function of the draft that returns it."""
    match step:
        case Work.LOAD:
            yield "load", lambda draft: draft.load(p)
        case Work.LOCK if draft.lock == NO_PROCESS:
            yield "lock", lambda draft: _lock(draft, p)
        case Work.MARK:
            yield "save the mark", lambda draft: draft.save(p, is_mark=True)
        case Work.SAVE:
            yield "save", lambda draft: draft.save(p)
        case Work.REFRESH:
            yield "send the refresh token", lambda draft: _send(draft, p)
        case Work.REVOKE:
            yield "revoke", lambda draft: draft.revoke(p)
        case Work.DELETE:
            yield "delete", lambda draft: draft.delete(p)


def _failures(p, step):
    match step:
        case Work.LOAD | Work.LOCK:
            yield f"{step.name.lower()} fails", lambda draft: _fail_before_save(draft, p)
        case Work.MARK | Work.SAVE:
            is_mark = step is Work.MARK
            for is_written in (False, True):
                label = f"{step.name.lower()} fails, {'written' if is_written else 'not written'}"
                yield label, lambda d, w=is_written: d.save(p, is_mark=is_mark, fails=True, is_written=w)
        case Work.REVOKE:
            yield "revoke fails", lambda draft: draft.revoke(p, is_reported=False)
        case Work.DELETE:
            yield "delete fails", lambda _: StoreFailed(FAILED)


def _failed_requests(new, p):
    for kind, is_processed in (
        (Kind.MAYBE_PROCESSED, False),
        (Kind.MAYBE_PROCESSED, True),
        (Kind.UNPROCESSED, False),
        (Kind.CLIENT_REFUSED, False),
    ):
        draft = new()
        draft.spend("faults")
        of = draft.machine.values[draft.processes[p].flight]
        _lose_response(draft, p, is_processed=is_processed, is_lost=kind is Kind.MAYBE_PROCESSED)
        draft.tell(p, RequestFailed(kind, of, FAILED))
        yield f"refresh fails: {kind.name}{', processed' if is_processed else ''}", draft


def _crashes(new, p):
    """The end of the process, which loses its memory, and the end of its event loop, which does not."""
    process = new().processes[p]
    if process == Process(new().machine.initial):
        return
    for is_processed in (False, True) if process.flight >= 0 else (False,):
        draft = new()
        draft.spend("faults")
        _lose_response(draft, p, is_processed=is_processed, is_lost=True)
        _release(draft, p)
        draft.processes[p] = Process(draft.machine.initial)
        yield "crash" + (", processed" if is_processed else ""), draft
        if process.is_working:
            draft = new()
            draft.spend("faults")
            _lose_response(draft, p, is_processed=is_processed, is_lost=True)
            state = draft.state(p)
            if state.saving is Saving.NEW and state.is_locked and state.has_read:
                draft.tell(p, draft.save(p))
            if state.saving is Saving.NEW:
                draft.note_try(state.held.stored)  # another loop cannot know whether it was saved: it is in use
            _release(draft, p)
            draft.tell(p, Event.INTERRUPTED)
            draft.change(p, is_working=False)
            yield "its event loop ends" + (", processed" if is_processed else ""), draft


def _events(draft, p):
    state = draft.state(p)
    if not state.is_signing_out:
        yield "logout", _logout
        yield "sign-in", _sign_in
    if state.used is not None and state.rejected is None:
        yield REJECTED, _reject
    if state.used is not None and not state.unwanted:
        yield UNWANTED, _want_another


def _from_outside(world, machine, refresh_lifetime):

    def new():
        return Draft(world, machine, refresh_lifetime)

    if world.budget.jumps:
        for seconds in moments(world, machine):
            draft = new()
            draft.spend("jumps")
            draft.pass_time(monotonic=seconds, wall=seconds, true=seconds)
            yield f"{seconds:g} s pass", draft
    if world.budget.steps:
        for label, wall, true in (
            ("the wall clock is set forward", STEP, 0.0),
            ("the wall clock is set back", -STEP, 0.0),
            ("the machine is suspended", STEP, STEP),
        ):
            draft = new()
            draft.spend("steps")
            draft.pass_time(monotonic=0.0, wall=wall, true=true)
            draft.flags = (draft.flags[0] or true > 0, draft.flags[1] or wall < 0, draft.flags[2])
            yield label, draft
    if world.budget.faults and not world.is_hurt:
        yield "the store loses its data", _hurt(new(), None)
        token = attrs.evolve(new_token("F1", refresh_lifetime), access_token="foreign")
        foreign = StoredToken(token=token, client_sid="other", epoch="F", signed_in_at=ORIGIN, obtained_at=ORIGIN)
        yield "another client saves its token under the key", _hurt(new(), foreign)


def moments(world, machine):
    """Return the seconds to everything that changes by itself: the ends of waits and the expiries."""
    found = {one.left for one in world.issued}
    for process in world.processes:
        step = machine.decide_unlocked(process.state).next
        if isinstance(step, WaitUntil):
            found.add(step.at)
    found |= {grant.left for grant in world.grants if grant.is_alive}
    return sorted(one for one in found if 0 < one < float("inf"))


def _hurt(draft, record):
    draft.spend("faults")
    draft.record = draft.machine.number(record)
    draft.flags = (*draft.flags[:2], True)
    return draft


def _fail_before_save(draft, p):
    state = draft.state(p)
    if state.saving is Saving.NEW:
        draft.note_try(state.held.stored)
    return StoreFailed(FAILED)


def _lock(draft, p):
    draft.lock = p
    return Event.LOCKED


def _release(draft, p):
    if draft.lock == p:
        draft.lock = NO_PROCESS


def _send(draft, p):
    held = draft.state(p).held.stored
    check_request(draft, p, held)
    draft.change(p, flight=draft.machine.number(held))


def _response(draft, p):
    of = draft.machine.values[draft.processes[p].flight]
    draft.change(p, flight=-1)
    return draft.refresh(of)


def _lose_response(draft, p, *, is_processed, is_lost):
    flight = draft.processes[p].flight
    if flight < 0:
        return
    of = draft.machine.values[flight]
    if is_processed:
        _response(draft, p)
    draft.change(p, flight=-1)
    if is_lost:
        draft.lost.add(of.token.refresh_token)


def _logout(draft, p):
    draft.spend("events")
    draft.tell(p, Event.LOGOUT)
    draft.start(p)


def _sign_in(draft, p):
    draft.spend("events")
    token, epoch = draft.sign_in()
    draft.tell(p, SignedIn(StoredToken(token=token, epoch=epoch, signed_in_at=ORIGIN, obtained_at=ORIGIN)))
    draft.start(p)


def _reject(draft, p):
    draft.spend("events")
    draft.tell(p, Rejected(draft.state(p).used.stored.token.access_token))


def _want_another(draft, p):
    draft.spend("events")
    draft.tell(p, Unwanted(draft.state(p).used.stored.token.access_token))
