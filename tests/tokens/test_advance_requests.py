"""`advance` after requests, sign-ins and rejected tokens: held, another one held meanwhile, nothing held.

See tests/faults/README.md. The tests compare the whole state, so that nothing else may change.
"""

import math
from datetime import timedelta

import attrs
import pytest

from tests.helpers.token_states import (
    FAILED,
    LOST,
    MONOTONIC,
    NOT_FAILED,
    NOTHING,
    UNSAVED,
    at,
    check,
    holding,
    moment,
    received,
    second_sign_in,
    stored,
)
from twilio_oauth_async.tokens.lifetime import advance
from twilio_oauth_async.tokens.state import Kind, Refreshed, Rejected, RequestFailed, RevokeFailed, Saving, SignedIn
from twilio_oauth_async.tokens.validity import hold

NOW = moment(100)
MARKED = stored(unanswered=1)
NEXT = stored("a2", obtained=100.0, refresh="r2", generation=2)
OTHER = second_sign_in()
ISSUED = hold(NEXT, NOW, is_new=True, is_issued=True)
MICROSECOND = timedelta(microseconds=1)


def of_marked(**changes):
    """Return the state in which a refresh is on its way."""
    return holding(MARKED, is_marked=True, is_locked=True, **changes)


@pytest.mark.parametrize(
    ("state", "changes"),
    [
        pytest.param(
            of_marked(**FAILED, conflicts=2, refusal=MARKED),
            {
                "held": ISSUED,
                "saving": Saving.NEW,
                "is_marked": False,
                "conflicts": 0,
                "refusal": None,
                **NOT_FAILED,
            },
            id="it is held, and the old one is used until it is saved",
        ),
        pytest.param(holding(OTHER, is_marked=True), {"is_marked": False}, id="42: another sign-in is held"),
        pytest.param(holding(NEXT, is_marked=True), {"is_marked": False}, id="another generation is held"),
        pytest.param(attrs.evolve(NOTHING, is_marked=True), {"is_marked": False}, id="42: none is held"),
    ],
)
def test_refreshed(state, changes):
    check(state, Refreshed(MARKED, NEXT.token), NOW, **changes)


def test_refreshed_token_that_keeps_its_refresh_token_keeps_the_expiry_of_it():
    old = stored(refresh_expires=9000.0)
    token = attrs.evolve(NEXT.token, refresh_token="r1", refresh_token_expires_at=at(9000))
    # The wall clock has jumped ahead since the old one was loaded.
    after = advance(holding(old), Refreshed(old, token), moment(100, wall=8000))
    assert after.held.refresh_expires == MONOTONIC + 9000


def unmarked(unanswered, **changes):
    """Return the fields after a response: the mark is taken back, which must be saved."""
    held = holding(stored(unanswered=unanswered)).held
    return {"held": held, "used": held, "saving": Saving.UNSAVED, **changes}


def first_failure(seconds=1.0, **changes):
    return {"is_marked": False, "failures": 1, "ask_at": NOW.monotonic + seconds, "error": LOST, **changes}


@pytest.mark.parametrize(
    ("state", "failed", "changes"),
    [
        pytest.param(
            of_marked(has_read=True),
            RequestFailed(Kind.REFUSED, MARKED, LOST),
            {"is_marked": False, "refusal": MARKED, "has_read": False},
            id="23: refused: the store is read",
        ),
        pytest.param(
            of_marked(),
            RequestFailed(Kind.REFUSED, stored(unanswered=2), LOST),
            {"is_marked": False, "refusal": stored(unanswered=2), "has_read": False, "was_lost": True},
            id="25: refused after a lost response",
        ),
        pytest.param(
            of_marked(),
            RequestFailed(Kind.MAYBE_PROCESSED, MARKED, LOST),
            first_failure(),
            id="25: lost: the mark stays",
        ),
        pytest.param(
            of_marked(), RequestFailed(Kind.UNPROCESSED, MARKED, LOST), first_failure(**unmarked(0)), id="35: not sent"
        ),
        pytest.param(
            holding(stored(unanswered=3)),
            RequestFailed(Kind.UNPROCESSED, stored(unanswered=3), LOST),
            first_failure(**unmarked(2)),
            id="25: 429 after two lost responses: their marks stay",
        ),
        pytest.param(
            holding(),
            RequestFailed(Kind.UNPROCESSED, stored(), LOST),
            first_failure(),
            id="429 without a mark: never below 0, nothing to save",
        ),
        pytest.param(
            holding(stored(unanswered=3)),
            RequestFailed(Kind.CLIENT_REFUSED, stored(unanswered=3), LOST),
            first_failure(**unmarked(0), is_client_refused=True),
            id="34: client refused: no mark stays",
        ),
        pytest.param(
            of_marked(failures=3, is_client_refused=True),
            RequestFailed(Kind.MAYBE_PROCESSED, MARKED, LOST),
            first_failure(8.0, failures=4, is_client_refused=False),
            id="33: fourth failure: 8 s",
        ),
        pytest.param(
            of_marked(failures=20),
            RequestFailed(Kind.MAYBE_PROCESSED, MARKED, LOST),
            first_failure(300.0, failures=21),
            id="33: at most 300 s",
        ),
        pytest.param(
            of_marked(),
            RequestFailed(Kind.MAYBE_PROCESSED, MARKED, LOST, retry_after=7200.0),
            first_failure(7200.0),
            id="36: Retry-After of two hours",
        ),
        pytest.param(
            of_marked(failures=9),
            RequestFailed(Kind.MAYBE_PROCESSED, MARKED, LOST, retry_after=3.0),
            first_failure(300.0, failures=10),
            id="10: Retry-After is shorter than the back-off",
        ),
        pytest.param(
            holding(OTHER, is_marked=True),
            RequestFailed(Kind.REFUSED, MARKED, LOST),
            {"is_marked": False},
            id="42: another sign-in is held",
        ),
        pytest.param(
            NOTHING, RequestFailed(Kind.CLIENT_REFUSED, MARKED, LOST, 7200.0), {}, id="42: none is held: no failure"
        ),
        pytest.param(
            attrs.evolve(NOTHING, interactive=False),
            RequestFailed(Kind.UNPROCESSED, None, LOST),
            first_failure(),
            id="34: grant without user, none is held",
        ),
        pytest.param(
            holding(MARKED, interactive=False),
            RequestFailed(Kind.CLIENT_REFUSED, None, LOST),
            first_failure(is_client_refused=True),
            id="34: grant without user: what is held does not change",
        ),
        pytest.param(
            holding(interactive=False),
            RequestFailed(Kind.REFUSED, None, LOST),
            first_failure(),
            id="34: grant without user: invalid_grant is a failure like others",
        ),
    ],
)
def test_request_failed(state, failed, changes):
    check(state, failed, NOW, **changes)


def new_sign_in(token, now=NOW, **changes):
    """Return the fields after a sign-in with `token`: it is saved before callers get it."""
    return {
        "held": hold(token, now, is_new=True),
        "saving": Saving.NEW,
        "is_marked": False,
        "refusal": None,
        "conflicts": 0,
        "store_failures": 0,
        "signed_in_at": token.signed_in_at,
        **NOT_FAILED,
        **changes,
    }


LATER = second_sign_in(signed_in=9000.0)
JUST_LATER = attrs.evolve(OTHER, signed_in_at=at(9000) + MICROSECOND)


@pytest.mark.parametrize(
    ("state", "signed_in", "changes"),
    [
        pytest.param(
            of_marked(**FAILED, conflicts=2, store_failures=3, refusal=MARKED, refused_epoch="first"),
            SignedIn(OTHER),
            new_sign_in(OTHER),
            id="36: while a refresh is on its way, after failures",
        ),
        pytest.param(NOTHING, SignedIn(OTHER), new_sign_in(OTHER), id="none is held"),
        pytest.param(
            holding(signed_in_at=at(9000)),
            SignedIn(OTHER),
            new_sign_in(JUST_LATER),
            id="45: a sign-in in the future is known",
        ),
        pytest.param(
            holding(signed_in_at=at(9000)),
            SignedIn(LATER),
            new_sign_in(attrs.evolve(LATER, signed_in_at=at(9000) + MICROSECOND)),
            id="45: a sign-in at the same time is known",
        ),
        pytest.param(
            holding(signed_in_at=at(9000)),
            SignedIn(OTHER, is_exact=True),
            new_sign_in(OTHER, signed_in_at=at(9000)),
            id="42: the exact time is kept",
        ),
        pytest.param(
            holding(OTHER, store_failures=3, **FAILED, **UNSAVED),
            SignedIn(OTHER),
            {"saving": Saving.NEW, "store_failures": 0},
            id="24: adopted again: saved at once",
        ),
        pytest.param(
            holding(attrs.evolve(OTHER, generation=5)),
            SignedIn(OTHER),
            {"saving": Saving.NEW},
            id="42: adopted again after a refresh: the newer one stays",
        ),
        pytest.param(
            holding(OTHER),
            SignedIn(attrs.evolve(OTHER, generation=2), is_exact=True),
            new_sign_in(attrs.evolve(OTHER, generation=2)),
            id="a later token of the same sign-in",
        ),
    ],
)
def test_signed_in(state, signed_in, changes):
    check(state, signed_in, NOW, **changes)


@pytest.mark.parametrize(
    ("interactive", "issued"),
    [pytest.param(True, -math.inf, id="user"), pytest.param(False, MONOTONIC + 100, id="none")],
)
def test_17_token_of_a_grant_without_user_counts_as_requested_by_the_manager(interactive, issued):
    after = advance(attrs.evolve(NOTHING, interactive=interactive), SignedIn(OTHER), NOW)
    assert after.held.issued == issued


@pytest.mark.parametrize(
    ("state", "access", "changes"),
    [
        pytest.param(holding(), "a1", {"rejected": "a1"}, id="the one in use"),
        pytest.param(holding(), "a0", {}, id="another one: nothing happens"),
        pytest.param(NOTHING, "a0", {"rejected": "a0"}, id="none is in use: remembered"),
        pytest.param(
            received(NEXT, before=stored()), "a1", {"rejected": "a1"}, id="in use while the next one is saved"
        ),
        pytest.param(received(NEXT, before=stored()), "a2", {}, id="not in use yet"),
    ],
)
def test_rejected_by_a_resource_server(state, access, changes):
    check(state, Rejected(access), NOW, **changes)


@pytest.mark.parametrize(
    "state", [holding(is_signing_out=True), attrs.evolve(NOTHING, is_signing_out=True)], ids=["held", "none"]
)
def test_42_token_that_could_not_be_revoked_is_kept(state):
    check(state, RevokeFailed(LOST), NOW, is_signing_out=False, logout_error=LOST)


COUNTING = holding(held=ISSUED, used=ISSUED, rejected="a2", rejections=3)


@pytest.mark.parametrize(
    ("state", "outcome", "rejections"),
    [
        pytest.param(holding(held=ISSUED, used=ISSUED, rejections=3), Rejected("a2"), 4, id="the next one"),
        pytest.param(COUNTING, Rejected("a2"), 3, id="the same one again"),
        pytest.param(holding(rejections=3), Rejected("a1"), 0, id="that of a sign-in"),
        pytest.param(COUNTING, Refreshed(NEXT, OTHER.token), 3, id="refreshed because it was rejected"),
        pytest.param(
            attrs.evolve(COUNTING, rejected="a1"), Refreshed(NEXT, OTHER.token), 0, id="refreshed because it expires"
        ),
        pytest.param(COUNTING, SignedIn(OTHER), 0, id="a sign-in"),
        pytest.param(attrs.evolve(COUNTING, interactive=False), SignedIn(OTHER), 3, id="grant without user: run again"),
    ],
)
def test_tokens_in_a_row_that_were_rejected_are_counted(state, outcome, rejections):
    assert advance(state, outcome, NOW).rejections == rejections
