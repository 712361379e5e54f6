"""The life of a token as a state machine: `decide` chooses what comes next, `advance` returns the state after it.

Pure. The order that survives a crash at any point is: acquire the lock, read the store again (another process may have
refreshed), save the mark, send the request, save the new token, and only then use it.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import attrs

from twilio_oauth_async.errors import AnswerLostError
from twilio_oauth_async.tokens.precedence import replaces_useless, supersedes
from twilio_oauth_async.tokens.state import (
    NO_FAILURES,
    AskForLogin,
    Decision,
    Event,
    Held,
    Kind,
    Loaded,
    Now,
    Outcome,
    Refreshed,
    Rejected,
    RequestFailed,
    Rest,
    RevokeFailed,
    Saved,
    Saving,
    SignedIn,
    StoreFailed,
    TokenState,
    Unwanted,
    WaitUntil,
    Work,
)
from twilio_oauth_async.tokens.validity import (
    MIN_REFRESH_GAP,
    can_refresh,
    effective_leeway,
    effective_need,
    hold,
    is_rejected,
    pause,
    seconds_left,
)

MAX_PAUSE = 300.0
"""Seconds. After failures in a row the pause before the next request doubles, up to this."""

MAX_SAVE_PAUSE = 30.0
"""Seconds. The same for calls of the store, while callers have a valid token."""

MAX_CONFLICTS = 3
"""Conflicts in a row after which the store is taken to contradict itself."""


def decide(state: TokenState, now: Now, leeway: float, need: float = 0.0) -> Decision:
    """Return what a caller gets now, and what the manager does next.

    Args:
        state: what is known.
        now: both clocks.
        leeway: seconds before expiry at which a refresh is due.
        need: seconds that the token must still be valid.
    """
    used = state.used
    is_usable = used is not None and _is_usable(state, used, now, need)
    step = _next_step(state, now, leeway, need, is_usable)
    if state.is_locked and not isinstance(step, Work):
        step = Work.UNLOCK
    return Decision(used.stored if used is not None and is_usable else None, step)


def _is_usable(state: TokenState, held: Held, now: Now, need: float) -> bool:
    left = seconds_left(state, held, now)
    return left > 0 and (left >= effective_need(held.stored, need) or is_rejected(state, held))


def must_save(state: TokenState, now: Now) -> bool:
    """Return whether the held token is not stored and worth it."""
    held = state.held
    if held is None or state.saving is Saving.SAVED:
        return False
    if state.saving is Saving.NEW or seconds_left(state, held, now) > 0 or can_refresh(held, now):
        return True
    # A refused refresh token is removed from the store, even if the rest is of no use either.
    return state.refused_epoch == held.stored.epoch


def _next_step(state: TokenState, now: Now, leeway: float, need: float, is_usable: bool) -> Work | Rest:
    if state.is_signing_out:
        return _step_of_logout(state)
    if state.store_failures:
        # With a valid token there is time. Without one the store is tried again as soon as a caller asks.
        longest = MAX_SAVE_PAUSE if is_usable else MIN_REFRESH_GAP
        retry_at = state.store_failed_at + pause(state.store_failures, longest)
        if now.monotonic < retry_at:
            return WaitUntil(retry_at, None if is_usable else state.store_error)
    held = state.held
    if held is None:
        return _step_without_token(state, now)
    if must_save(state, now):
        # Always under the lock, and after a look at what other processes have saved.
        return _under_lock(state) or Work.SAVE
    if state.unwanted and not state.has_read:
        return Work.LOAD  # another process may have replaced it
    left = seconds_left(state, held, now)
    is_refused = state.refused_epoch == held.stored.epoch
    margin = (
        math.inf if state.unwanted else max(effective_leeway(held.stored, leeway), effective_need(held.stored, need))
    )
    if is_rejected(state, held):
        margin = 0.0  # fault 17: a token that was just issued is not refreshed at once, whatever a caller needs
    if left > margin:
        return WaitUntil(now.monotonic + left - margin)
    expires = now.monotonic + left
    if is_usable and state.refusal is None and state.interactive and not can_refresh(held, now):
        return WaitUntil(expires)
    # Fault 25: the lost response may have held rotated tokens. What is valid is used until it expires before the old
    # refresh token is sent again, because a strict server would revoke everything then (RFC 9700 4.14.2).
    # The mark of the refresh that comes next counts as no lost response.
    is_lost = held.stored.unanswered > state.is_marked
    ask_at = expires if is_lost and left > 0 else state.ask_at
    if is_usable and state.refusal is None and now.monotonic < ask_at:
        return WaitUntil(ask_at)
    if not state.has_read:
        return Work.LOAD
    if state.interactive and not can_refresh(held, now):
        return AskForLogin("refused" if is_refused else "expired", is_refused and state.was_lost)
    if now.monotonic < ask_at:
        return WaitUntil(ask_at, state.error or AnswerLostError("the response to an earlier refresh was lost"))
    return _step_of_request(state)


def _step_without_token(state: TokenState, now: Now) -> Work | Rest:
    if not state.has_read:
        return Work.LOAD
    if state.interactive:
        return AskForLogin(state.reason)
    return WaitUntil(state.ask_at, state.error) if now.monotonic < state.ask_at else _step_of_request(state)


def _step_of_request(state: TokenState) -> Work:
    step = _under_lock(state)
    if step is not None:
        return step
    if not state.interactive:
        return Work.OBTAIN
    return Work.REFRESH if state.is_marked else Work.MARK


def _step_of_logout(state: TokenState) -> Work:
    return _under_lock(state) or (Work.DELETE if state.held is None else Work.REVOKE)


def _under_lock(state: TokenState) -> Work | None:
    """Return what is missing before the store may be changed."""
    if not state.is_locked:
        return Work.LOCK
    return None if state.has_read else Work.LOAD


def advance(state: TokenState, outcome: Outcome, now: Now) -> TokenState:
    """Return the state after `outcome`, which is that of the last step or an event from outside.

    An event may arrive while a step is performed. So each outcome names the token that it is about, and changes
    nothing if another one is held meanwhile.
    """
    match outcome:
        case Event():
            return _after_event(state, outcome)
        case Loaded():
            return _after_load(state, outcome, now)
        case Saved():
            return _after_save(state, outcome)
        case StoreFailed():
            return _after_store_failure(state, outcome, now)
        case Refreshed(of, token):
            if not state.holds(of):
                return attrs.evolve(state, is_marked=False)
            new = attrs.evolve(of, token=token, generation=of.generation + 1, obtained_at=now.wall, unanswered=0)
            held = hold(new, now, before=state.held, is_new=True, is_issued=True)
            return state.with_new(held, rejections=state.rejections_in_a_row)
        case RequestFailed():
            return _after_request_failure(state, outcome, now)
        case SignedIn():
            return _after_sign_in(state, outcome, now)
        case Rejected(access_token):
            is_current = state.used is None or state.used.stored.token.access_token == access_token
            return state.with_rejected(access_token) if is_current else state
        case Unwanted(access_token):
            return attrs.evolve(state, unwanted=state.unwanted | {access_token}, has_read=False)
        case RevokeFailed(error):
            return attrs.evolve(state, is_signing_out=False, logout_error=error)


def _after_event(state: TokenState, event: Event) -> TokenState:
    match event:
        case Event.STARTED:
            return attrs.evolve(state, has_read=False, conflicts=0)
        case Event.INTERRUPTED:
            state = state.in_use() if state.saving is Saving.NEW else state
            return attrs.evolve(state, is_locked=False, is_marked=False, has_read=False, is_signing_out=False)
        case Event.CLOSING:
            return attrs.evolve(state, store_failures=0)
        case Event.LOCKED:
            return attrs.evolve(state, is_locked=True, has_read=False, is_marked=False)
        case Event.UNLOCKED:
            return attrs.evolve(state, is_locked=False, is_marked=False)
        case Event.LOGOUT:
            return attrs.evolve(state, is_signing_out=True, logout_error=None)
        case Event.REVOKED:
            revoked = None if state.held is None else state.held.stored.epoch
            return attrs.evolve(state.without_token("signed_out"), revoked_epoch=revoked)
        case Event.DELETED:
            return attrs.evolve(state.without_token("signed_out"), is_signing_out=False, present=None)


def _after_load(state: TokenState, loaded: Loaded, now: Now) -> TokenState:
    record = loaded.stored
    state = attrs.evolve(
        state,
        has_read=True,
        present=None if record is None else record.epoch,
        store_failures=0 if state.saving is Saving.SAVED else state.store_failures,
    )
    held = state.held
    if record is not None and record.epoch == state.revoked_epoch:
        return state.without_token("signed_out") if held is None else state
    if record is None:
        if held is None:
            return attrs.evolve(state, reason="signed_out" if loaded.is_deleted else "never_signed_in")
        if loaded.is_deleted and state.used is not None and state.used.stored.epoch != held.stored.epoch:
            state = attrs.evolve(state, used=None)  # of the sign-in before, which another process has signed out
        if state.saving is Saving.SAVED:
            if loaded.is_deleted:
                return state.without_token("signed_out")
            state = attrs.evolve(state, saving=Saving.UNSAVED)  # the store has lost it
        elif loaded.is_deleted and state.conflicts:
            if state.interactive:
                return state.without_token("signed_out")
            # No user has signed out of it. The clock of the host that deleted the one before was ahead.
            later = max(held.stored.signed_in_at, now.wall)
            state = attrs.evolve(state, held=attrs.evolve(held, stored=attrs.evolve(held.stored, signed_in_at=later)))
    elif held is None or supersedes(record, held.stored, state.saving) or replaces_useless(record, held, state, now):
        if loaded.unusable is not None and not (state.is_signing_out and loaded.unusable == "scopes"):
            return state.without_token(loaded.unusable)
        kept: dict[str, Any] = {} if state.holds(record) else NO_FAILURES
        new = hold(record, now, before=held)
        state = attrs.evolve(state, held=new, used=new, saving=Saving.SAVED, **kept)
        state = state.with_sign_in_time(record)
    elif state.saving is Saving.SAVED:
        state = attrs.evolve(state, saving=Saving.UNSAVED)  # the store has fallen back to something older
    return _after_refusal(state.with_unwanted_of_held())


def _after_refusal(state: TokenState) -> TokenState:
    """Drop the refresh token that the server refuses, unless the store had a newer one (fault 23)."""
    refusal, held = state.refusal, state.held
    if refusal is None or held is None or not state.holds(refusal):
        return attrs.evolve(state, refusal=None)
    # It is removed from the store too: a restart must not send it again, because its reuse may revoke what is valid.
    token = attrs.evolve(held.stored.token, refresh_token=None, refresh_token_expires_at=None)
    stored = attrs.evolve(held.stored, token=token, generation=held.stored.generation + 1, unanswered=0)
    return attrs.evolve(state.with_stored(stored), refusal=None, refused_epoch=stored.epoch)


def _after_save(state: TokenState, saved: Saved) -> TokenState:
    state = attrs.evolve(state, present=saved.stored.epoch, store_failures=0, store_error=None, conflicts=0)
    held = state.held
    if held is None or not state.holds(saved.stored):
        return state
    if saved.is_mark:
        state = state.with_stored(saved.stored)
        return attrs.evolve(state, is_marked=True, saving=Saving.SAVED)
    return attrs.evolve(state, saving=Saving.SAVED, used=held) if held.stored == saved.stored else state


def _after_store_failure(state: TokenState, failed: StoreFailed, now: Now) -> TokenState:
    if state.is_signing_out:
        # Other processes may have changed the store while this one waited for it.
        return attrs.evolve(state, is_signing_out=False, logout_error=failed.error, has_read=False)
    if failed.is_conflict and state.conflicts + 1 < MAX_CONFLICTS:
        return attrs.evolve(state, conflicts=state.conflicts + 1, has_read=False, is_marked=False)
    return attrs.evolve(
        state.in_use() if state.saving is Saving.NEW else state,
        is_marked=False,
        store_failures=state.store_failures + 1,
        store_failed_at=now.monotonic,
        store_error=failed.error,
    )


def _after_request_failure(state: TokenState, failed: RequestFailed, now: Now) -> TokenState:
    state = attrs.evolve(state, is_marked=False)
    of, held = failed.of, state.held
    if of is not None and not state.holds(of):
        return state
    if failed.kind is Kind.REFUSED and of is not None:
        # `of` has the mark of this request; a greater number means that an earlier response was lost.
        return attrs.evolve(state, refusal=of, has_read=False, was_lost=of.unanswered > 1)
    failures = state.failures + 1
    state = attrs.evolve(
        state,
        failures=failures,
        ask_at=now.monotonic + max(pause(failures, MAX_PAUSE), failed.retry_after),
        error=failed.error,
        is_client_refused=failed.kind is Kind.CLIENT_REFUSED,
    )
    if of is None or held is None or failed.kind is Kind.MAYBE_PROCESSED:
        return state
    unanswered = of.unanswered - 1 if failed.kind is Kind.UNPROCESSED else 0
    return state.with_stored(attrs.evolve(of, unanswered=max(unanswered, 0)))


def _after_sign_in(state: TokenState, signed_in: SignedIn, now: Now) -> TokenState:
    stored, held = signed_in.stored, state.held
    latest = state.signed_in_at
    if held is not None and held.stored.epoch == stored.epoch and held.stored.generation >= stored.generation:
        # It is adopted again, because the first call failed or was interrupted.
        return attrs.evolve(state, saving=Saving.NEW, store_failures=0)
    if latest is not None and stored.signed_in_at <= latest and not signed_in.is_exact:
        # It is the later one, although the host that saved the one before has a clock that is ahead.
        stored = attrs.evolve(stored, signed_in_at=latest + timedelta(microseconds=1))
    rejections = 0 if state.interactive else state.rejections_in_a_row
    new = hold(stored, now, is_new=True, is_issued=not state.interactive)
    return state.with_new(new, store_failures=0, rejections=rejections)
