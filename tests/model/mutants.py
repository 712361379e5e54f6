"""Faulty copies of `lifetime.decide` and `lifetime.advance`. Each breaks one rule."""

import attrs

from twilio_oauth_async.tokens import lifetime
from twilio_oauth_async.tokens.state import Decision, Event, Kind, Loaded, RequestFailed, Saving, Work


def instead(of, step):
    """Return a `decide` that chooses `step` in place of `of`."""

    def decide(state, now, leeway, need=0.0):
        decision = lifetime.decide(state, now, leeway, need)
        return Decision(decision.use, step) if decision.next is of else decision

    return decide


def without_lock(state, now, leeway, need=0.0):
    if state.is_locked:
        return lifetime.decide(state, now, leeway, need)
    decision = lifetime.decide(attrs.evolve(state, is_locked=True), now, leeway, need)
    return decision if decision.next is not Work.UNLOCK else lifetime.decide(state, now, leeway, need)


def without_look_under_lock(state, outcome, now):
    after = lifetime.advance(state, outcome, now)
    return attrs.evolve(after, has_read=state.has_read) if outcome is Event.LOCKED else after


def with_one_clock(state, now, leeway, need=0.0):
    endless = [held and attrs.evolve(held, expires=float("inf")) for held in (state.held, state.used)]
    return lifetime.decide(attrs.evolve(state, held=endless[0], used=endless[1]), now, leeway, need)


def used_before_saved(state, outcome, now):
    after = lifetime.advance(state, outcome, now)
    return attrs.evolve(after, used=after.held) if after.saving is Saving.NEW else after


def without_mark_after_loss(state, outcome, now):
    if isinstance(outcome, RequestFailed) and outcome.kind is Kind.MAYBE_PROCESSED:
        outcome = attrs.evolve(outcome, kind=Kind.CLIENT_REFUSED)
    return lifetime.advance(state, outcome, now)


def refused_by_503(state, outcome, now):
    if isinstance(outcome, RequestFailed):
        outcome = attrs.evolve(outcome, kind=Kind.REFUSED)
    return lifetime.advance(state, outcome, now)


def delayed_by_own_mark(state, now, leeway, need=0.0):
    """Take the mark of the refresh that comes next for a lost response."""
    return lifetime.decide(attrs.evolve(state, is_marked=False), now, leeway, need)


def without_mark_of_others(state, outcome, now):
    """Save over the mark of another process after a failed save."""
    after = lifetime.advance(state, outcome, now)
    is_marked = isinstance(outcome, Loaded) and state.saving is Saving.UNSAVED and after.saving is Saving.SAVED
    return attrs.evolve(state, has_read=True) if is_marked and after.holds(state.held.stored) else after


def deaf_to_logouts(state, outcome, now):
    after = lifetime.advance(state, outcome, now)
    if getattr(outcome, "is_deleted", False) and after.held is None and state.held is not None:
        return attrs.evolve(state, has_read=True)
    return after


def stopped_by_failures(state, outcome, now):
    after = lifetime.advance(state, outcome, now)
    return attrs.evolve(after, ask_at=1e9) if isinstance(outcome, RequestFailed) else after


def never_read(state, outcome, now):
    return attrs.evolve(lifetime.advance(state, outcome, now), has_read=False)
