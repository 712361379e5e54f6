"""`decide`, branch by branch: what a caller gets, and what comes next. See tests/faults/README.md."""

import math

import attrs
import pytest

from tests.helpers.token_states import (
    LIMITED,
    LOST,
    MONOTONIC,
    STORE_DOWN,
    holding,
    login,
    moment,
    received,
    second_sign_in,
    stored,
    wait,
)
from twilio_oauth_async.errors import AnswerLostError
from twilio_oauth_async.tokens.lifetime import MAX_CONFLICTS, MAX_PAUSE, MAX_SAVE_PAUSE, decide, pause
from twilio_oauth_async.tokens.state import Saving, TokenState, WaitUntil, Work
from twilio_oauth_async.tokens.validity import hold

UNREAD = {"has_read": False}
LOCKED = {"is_locked": True}
NO_REFRESH = stored(refresh=None)
MARKED = stored(unanswered=1)
REFUSED = attrs.evolve(stored(refresh=None, generation=2))
NEVER = TokenState(has_read=True)
GRANT = TokenState(interactive=False, has_read=True)


def issued(**changes):
    """Return the state of a manager that has just received and saved a token."""
    token = hold(stored(), moment(0), is_new=True, is_issued=True)
    return holding(held=token, used=token, **changes)


def down(failures, **changes):
    """Return the fields of a state whose store failed at 3500 s."""
    return {"store_failures": failures, "store_failed_at": MONOTONIC + 3500, "store_error": STORE_DOWN, **changes}


def asked(until, **changes):
    """Return the fields of a state in which no request is sent before `until`."""
    return {"ask_at": MONOTONIC + until, "error": LIMITED, **changes}


@pytest.mark.parametrize(
    ("state", "seconds", "step", "token"),
    [
        # Nothing is held.
        pytest.param(TokenState(), 0, Work.LOAD, None, id="nothing known: read the store"),
        pytest.param(NEVER, 0, login("never_signed_in"), None, id="no token: login"),
        pytest.param(attrs.evolve(NEVER, reason="scopes"), 0, login("scopes"), None, id="41: fewer scopes: login"),
        pytest.param(attrs.evolve(NEVER, **LOCKED), 0, Work.UNLOCK, None, id="no token under the lock: release it"),
        pytest.param(GRANT, 0, Work.LOCK, None, id="grant without user: lock first"),
        pytest.param(attrs.evolve(GRANT, **LOCKED), 0, Work.OBTAIN, None, id="grant without user: run it"),
        pytest.param(attrs.evolve(GRANT, **asked(5)), 4.5, wait(5), None, id="34: grant without user failed: wait"),
        pytest.param(attrs.evolve(GRANT, **asked(5)), 5, Work.LOCK, None, id="34: run it again after the wait"),
        # A token is fresh, due, expired.
        pytest.param(holding(), 0, wait(3540), "a1", id="fresh"),
        pytest.param(holding(**LOCKED), 0, Work.UNLOCK, "a1", id="fresh under the lock: release it"),
        pytest.param(holding(stored(lifetime=None)), 10.0**6, wait(math.inf), "a1", id="16: expiry unknown"),
        pytest.param(holding(**UNREAD), 3540, Work.LOAD, "a1", id="due: read first"),
        pytest.param(holding(), 3540, Work.LOCK, "a1", id="due and read: lock"),
        pytest.param(holding(**LOCKED, **UNREAD), 3540, Work.LOAD, "a1", id="22: due under the lock: read again"),
        pytest.param(holding(**LOCKED), 3540, Work.MARK, "a1", id="26: due: save the mark first"),
        pytest.param(holding(MARKED, **LOCKED, is_marked=True), 3540, Work.REFRESH, "a1", id="marked: send it"),
        pytest.param(holding(), 3599.5, Work.LOCK, "a1", id="half a second before expiry it is used"),
        pytest.param(holding(), 3600, Work.LOCK, None, id="36: expired: never returned"),
        pytest.param(holding(interactive=False, **LOCKED), 3540, Work.OBTAIN, "a1", id="grant without user: run again"),
        pytest.param(
            holding(NO_REFRESH, interactive=False),
            3540,
            Work.LOCK,
            "a1",
            id="no refresh token is needed",
        ),
        # There is no refresh token, or it has expired.
        pytest.param(holding(NO_REFRESH), 3540, wait(3600), "a1", id="25: no refresh token: used until it expires"),
        pytest.param(holding(NO_REFRESH, **UNREAD), 3600, Work.LOAD, None, id="25: then the store is read"),
        pytest.param(holding(NO_REFRESH), 3600, login("expired"), None, id="25: then a login"),
        pytest.param(
            holding(stored(refresh_expires=3000.0)), 3600, login("expired"), None, id="25: refresh token expired: login"
        ),
        pytest.param(
            holding(stored(refresh_expires=3601.0)), 3600, Work.LOCK, None, id="25: refresh token still valid: refresh"
        ),
        pytest.param(
            holding(REFUSED, refused_epoch="first", was_lost=True),
            3600,
            login("refused", was_lost=True),
            None,
            id="25: refused: login that says if a response was lost",
        ),
        pytest.param(
            holding(NO_REFRESH, refused_epoch="other", was_lost=True),
            3600,
            login("expired"),
            None,
            id="25: another sign-in was refused: not this one",
        ),
        pytest.param(
            holding(NO_REFRESH, refusal=NO_REFRESH, **UNREAD), 3590, Work.LOAD, "a1", id="23: refused: read the store"
        ),
        pytest.param(
            holding(MARKED, refusal=MARKED, **UNREAD), 3540, Work.LOAD, "a1", id="25: refused: at once, not at expiry"
        ),
        # A request failed.
        pytest.param(holding(MARKED), 3599.5, wait(3600), "a1", id="25: response lost: used until it expires"),
        pytest.param(holding(MARKED, **UNREAD), 3600, Work.LOAD, None, id="25: response lost, expired: try again"),
        pytest.param(holding(MARKED, **asked(3700)), 3600, wait(3700), None, id="25: response lost: not before ask_at"),
        pytest.param(holding(**asked(3550)), 3540, wait(3550), "a1", id="10: 429, valid: wait and use it"),
        pytest.param(holding(**asked(3550)), 3550, Work.LOCK, "a1", id="10: 429, valid: try again after the wait"),
        pytest.param(holding(**asked(9000), **UNREAD), 3600, Work.LOAD, None, id="36: wait, expired: read the store"),
        pytest.param(holding(**asked(9000)), 3600, wait(9000), None, id="36: wait, expired: nothing is returned"),
        pytest.param(
            holding(interactive=False, **LOCKED, **asked(3605)),
            3604,
            Work.UNLOCK,
            None,
            id="34: unlock to wait",
        ),
        # A resource server rejected the token.
        pytest.param(holding(rejected="a1"), 100, Work.LOCK, None, id="rejected: refresh"),
        pytest.param(holding(rejected="other"), 100, wait(3540), "a1", id="another one rejected: fresh"),
        pytest.param(issued(rejected="a1"), 0.5, wait(1), "a1", id="17: rejected, just issued: used for 1 s"),
        pytest.param(issued(rejected="a1"), 1, Work.LOCK, None, id="17: rejected, issued 1 s ago: not used"),
        pytest.param(
            holding(MARKED, rejected="a1"), 100, Work.LOCK, None, id="25: rejected after a lost response: refresh"
        ),
        # It is not saved.
        pytest.param(received(stored("a2"), before=stored()), 0, Work.SAVE, "a1", id="new: save, the old one is used"),
        pytest.param(received(stored(), **UNREAD), 0, Work.LOAD, "a1", id="new: read under the lock"),
        pytest.param(received(stored(), is_locked=False), 0, Work.LOCK, "a1", id="new: lock"),
        pytest.param(
            received(NO_REFRESH, is_locked=False), 9000, Work.LOCK, None, id="new: saved even if it has expired"
        ),
        pytest.param(holding(saving=Saving.UNSAVED), 0, Work.LOCK, "a1", id="24: unsaved and fresh: save"),
        pytest.param(
            holding(NO_REFRESH, saving=Saving.UNSAVED),
            3599.5,
            Work.LOCK,
            "a1",
            id="24: unsaved, no refresh token, valid: save",
        ),
        pytest.param(holding(saving=Saving.UNSAVED, **LOCKED), 3600, Work.SAVE, None, id="24: save before a refresh"),
        pytest.param(
            holding(NO_REFRESH, saving=Saving.UNSAVED),
            3600,
            login("expired"),
            None,
            id="24: of no use: not saved",
        ),
        pytest.param(
            holding(NO_REFRESH, saving=Saving.UNSAVED, refused_epoch="first", **LOCKED),
            3600,
            Work.SAVE,
            None,
            id="25: a refused refresh token is removed from the store although the rest is of no use",
        ),
        # The store failed.
        pytest.param(holding(**down(1)), 3500.5, wait(3501), "a1", id="44: first failure: 1 s"),
        pytest.param(holding(**down(1)), 3501, wait(3540), "a1", id="44: then as before"),
        pytest.param(holding(**down(0)), 3500.25, wait(3540), "a1", id="44: the store works again: no wait"),
        pytest.param(holding(**down(3)), 3503.5, wait(3504), "a1", id="44: third failure: 4 s"),
        pytest.param(holding(**down(9)), 3529, wait(3530), "a1", id="44: at most 30 s"),
        pytest.param(attrs.evolve(NEVER, **down(9)), 3500.5, wait(3501), None, id="44: 1 s without a valid token"),
        pytest.param(holding(**down(9, **LOCKED)), 3500.5, Work.UNLOCK, "a1", id="44: release the lock to wait"),
        # Logout.
        pytest.param(holding(is_signing_out=True), 0, Work.LOCK, "a1", id="42: logout: lock"),
        pytest.param(holding(is_signing_out=True, **LOCKED, **UNREAD), 0, Work.LOAD, "a1", id="42: logout: read"),
        pytest.param(holding(is_signing_out=True, **LOCKED), 0, Work.REVOKE, "a1", id="42: logout: revoke"),
        pytest.param(
            TokenState(is_signing_out=True, has_read=True, **LOCKED),
            0,
            Work.DELETE,
            None,
            id="42: logout: delete at last",
        ),
        pytest.param(
            holding(is_signing_out=True, **down(9)),
            3500.5,
            Work.LOCK,
            "a1",
            id="42: logout does not wait",
        ),
    ],
)
def test_step_and_token(state, seconds, step, token):
    decision = decide(state, moment(seconds), 60.0)
    assert (decision.next, decision.use and decision.use.token.access_token) == (step, token)


@pytest.mark.parametrize(
    ("lifetime", "seconds", "need", "step", "token"),
    [
        pytest.param(3600.0, 3500, 100.0, Work.LOCK, "a1", id="just long enough: used, refresh behind it"),
        pytest.param(3600.0, 3500.5, 100.0, Work.LOCK, None, id="not long enough: refresh"),
        pytest.param(3600.0, 3000, 100.0, wait(3500), "a1", id="fresh until the need"),
        pytest.param(3600.0, 3000, 30.0, wait(3540), "a1", id="need below the leeway: the leeway counts"),
        pytest.param(3600.0, 0, 9000.0, wait(360), "a1", id="more than the server gives: a new token is enough"),
        pytest.param(3600.0, 361, 9000.0, Work.LOCK, None, id="more than the server gives: not an older one"),
        pytest.param(None, 361, 9000.0, wait(math.inf), "a1", id="16: expiry unknown"),
    ],
)
def test_caller_who_needs_a_token_for_some_time(lifetime, seconds, need, step, token):
    decision = decide(holding(stored(lifetime=lifetime)), moment(seconds), 60.0, need)
    assert (decision.next, decision.use and decision.use.token.access_token) == (step, token)


@pytest.mark.parametrize(
    ("state", "seconds", "error"),
    [
        pytest.param(holding(**asked(3550)), 3540, None, id="valid: none"),
        pytest.param(holding(**asked(9000)), 3600, LIMITED, id="36: of the last request"),
        pytest.param(attrs.evolve(GRANT, **asked(5)), 0, LIMITED, id="34: of the grant"),
        pytest.param(holding(**down(1)), 3500, None, id="44: store failed, valid: none"),
        pytest.param(attrs.evolve(NEVER, **down(1)), 3500, STORE_DOWN, id="44: store failed, no token: of the store"),
        pytest.param(holding(MARKED), 3540, None, id="25: response lost, valid: none"),
        pytest.param(holding(MARKED, ask_at=MONOTONIC + 9000, error=LOST), 3600, LOST, id="25: response lost, expired"),
    ],
)
def test_error_of_a_wait_is_why_there_is_no_valid_token(state, seconds, error):
    step = decide(state, moment(seconds), 60.0).next
    assert isinstance(step, WaitUntil)
    assert step.error is error


def test_25_caller_who_needs_a_token_for_longer_after_a_response_lost_before_the_restart_gets_that_error():
    decision = decide(holding(MARKED), moment(3540), 60.0, 100.0)
    assert decision.use is None
    assert decision.next == wait(3600)
    assert isinstance(decision.next.error, AnswerLostError)


def test_used_token_is_returned_not_the_one_that_is_saved():
    decision = decide(received(second_sign_in(), before=stored()), moment(0), 60.0)
    assert decision.use == stored()


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param(1, 1.0, id="first"),
        pytest.param(2, 2.0, id="second"),
        pytest.param(9, 256.0, id="ninth"),
        pytest.param(10, 300.0, id="34: tenth, the longest"),
        pytest.param(10**6, 300.0, id="33: a million"),
    ],
)
def test_pause_doubles_up_to_the_longest(failures, expected):
    assert pause(failures, MAX_PAUSE) == expected


def test_limits():
    assert (MAX_PAUSE, MAX_SAVE_PAUSE, MAX_CONFLICTS) == (300.0, 30.0, 3)
