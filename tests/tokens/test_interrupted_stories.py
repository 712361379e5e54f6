"""Sign-ins, logouts and other events in the middle of the life of a token. See tests/faults/README.md."""

import attrs
import pytest

from tests.helpers.token_states import (
    LOST,
    Row,
    at,
    holding,
    is_down,
    is_limited,
    is_lost,
    is_marked,
    is_refused,
    is_saved,
    is_unchanged,
    login,
    moment,
    play,
    received,
    refreshed,
    second_sign_in,
    signed_in,
    stored,
    until_request,
    wait,
)
from twilio_oauth_async.tokens.lifetime import advance
from twilio_oauth_async.tokens.state import (
    AskForLogin,
    Event,
    Kind,
    Loaded,
    RequestFailed,
    RevokeFailed,
    Saved,
    Saving,
    TokenState,
    Work,
)

MARKED = stored(unanswered=1)

REFRESH = [
    *until_request(3540, "a1"),
    Row(refreshed(), 3540, Work.SAVE, "a1"),
    Row(is_saved, 3540, Work.UNLOCK, "a2"),
    Row(Event.UNLOCKED, 3540, wait(7080), "a2"),
]

POINTS = [
    pytest.param(0, id="before it"),
    pytest.param(1, id="while the store is read"),
    pytest.param(2, id="while the lock is acquired"),
    pytest.param(3, id="while the store is read under the lock"),
    pytest.param(4, id="while the mark is saved"),
    pytest.param(5, id="while the request is on its way"),
    pytest.param(6, id="while the new token is saved"),
    pytest.param(7, id="while the lock is released"),
]


def outcome_of(row, state, now):
    return row.outcome(state, now) if callable(row.outcome) else row.outcome


def interrupted(point, event):
    """Return the state after a refresh whose step after `point` ended only after `event`."""
    state = play(holding(), REFRESH[:point])
    now = moment(4000)
    late = outcome_of(REFRESH[point], state, now)
    return advance(advance(state, event, now), late, now)


def rest_of(state, rows):
    """Return `rows` from the first whose outcome `state` still lacks: the lock, and reading under it."""
    if not state.is_locked:
        return rows
    return rows[1:] if not state.has_read else rows[2:]


@pytest.mark.parametrize("point", POINTS)
def test_42_logout_during_a_refresh_revokes_the_newest_token_and_deletes_it(point):
    state = interrupted(point, Event.LOGOUT)
    newest = state.held.stored.token.access_token
    assert newest == ("a1" if point < 5 else "a2")
    used = state.used.stored.token.access_token if point >= 6 else None
    rows = [
        Row(Event.LOCKED, 4000, Work.LOAD, used),
        Row(is_unchanged, 4000, Work.REVOKE, used),
        Row(Event.REVOKED, 4000, Work.DELETE, None),
        Row(Event.DELETED, 4000, Work.UNLOCK, None),
        Row(Event.UNLOCKED, 4000, login("signed_out"), None),
    ]
    play(state, rest_of(state, rows))


@pytest.mark.parametrize("point", POINTS)
def test_42_sign_in_during_a_refresh_is_saved_and_the_late_outcome_changes_nothing(point):
    state = interrupted(point, signed_in())
    assert state.held.stored == second_sign_in()
    used = "a2" if point >= 7 else None
    rows = [
        Row(Event.LOCKED, 4000, Work.LOAD, used),
        Row(Loaded(MARKED), 4000, Work.SAVE, used),
        Row(is_saved, 4000, Work.UNLOCK, "b1"),
        Row(Event.UNLOCKED, 4000, wait(7540), "b1"),
    ]
    play(state, rest_of(state, rows))


@pytest.mark.parametrize(
    "late",
    [
        pytest.param(RequestFailed(Kind.REFUSED, MARKED, LOST), id="invalid_grant"),
        pytest.param(RequestFailed(Kind.MAYBE_PROCESSED, MARKED, LOST, 7200.0), id="lost response"),
        pytest.param(RequestFailed(Kind.UNPROCESSED, MARKED, LOST, 7200.0), id="429"),
        pytest.param(RequestFailed(Kind.CLIENT_REFUSED, MARKED, LOST), id="client refused"),
        pytest.param(Saved(MARKED, is_mark=True), id="mark saved"),
    ],
)
def test_42_failure_of_a_refresh_of_the_sign_in_before_does_not_concern_the_new_one(late):
    state = advance(play(holding(), until_request(3600)), signed_in(), moment(4000))
    expected = attrs.evolve(state, is_marked=False, present="first")
    assert attrs.evolve(advance(state, late, moment(4000)), is_marked=False) == expected


SIGN_IN_WHILE_DOWN = [
    Row(signed_in(), 4000, Work.LOCK, None),
    Row(is_down, 4000, wait(4001), "b1"),
    Row(Event.STARTED, 4001, Work.LOCK, "b1"),
]


@pytest.mark.parametrize(
    ("state", "rows"),
    [
        pytest.param(
            holding(),
            [
                *SIGN_IN_WHILE_DOWN,
                Row(Event.LOCKED, 4001, Work.LOAD, "b1"),
                Row(Loaded(stored(generation=9)), 4001, Work.SAVE, "b1"),
                Row(is_saved, 4001, Work.UNLOCK, "b1"),
            ],
            id="42: a login while the lock fails replaces the older sign-in, whatever its generation",
        ),
        pytest.param(
            holding(),
            [
                Row(signed_in(), 4000, Work.LOCK, None),
                Row(Event.LOCKED, 4000, Work.LOAD, None),
                Row(is_down, 4000, Work.UNLOCK, "b1"),
                Row(Event.UNLOCKED, 4000, wait(4001), "b1"),
                Row(Event.STARTED, 4001, Work.LOCK, "b1"),
                Row(Event.LOCKED, 4001, Work.LOAD, "b1"),
                Row(Loaded(stored()), 4001, Work.SAVE, "b1"),
            ],
            id="42: a login while the load fails replaces the older sign-in",
        ),
        pytest.param(
            TokenState(),
            [
                *SIGN_IN_WHILE_DOWN,
                Row(Event.LOCKED, 4001, Work.LOAD, "b1"),
                Row(Loaded(stored()), 4001, Work.SAVE, "b1"),
            ],
            id="42: a login while the lock fails replaces an older sign-in that was not known",
        ),
        pytest.param(
            holding(stored(signed_in=5000.0)),
            [
                *SIGN_IN_WHILE_DOWN,
                Row(Event.LOCKED, 4001, Work.LOAD, "b1"),
                Row(Loaded(stored(signed_in=5000.0)), 4001, Work.SAVE, "b1"),
            ],
            id="45: a login replaces the sign-in of a host whose clock is ahead",
        ),
        pytest.param(
            holding(),
            [
                *SIGN_IN_WHILE_DOWN,
                Row(Event.LOCKED, 4001, Work.LOAD, "b1"),
                Row(Loaded(second_sign_in("c1", epoch="third", signed_in=4500.0)), 4001, Work.UNLOCK, "c1"),
            ],
            id="42: a later sign-in of another process replaces one that is not saved",
        ),
        pytest.param(
            TokenState(),
            [
                Row(None, 0, Work.LOAD, None),
                Row(Loaded(stored(), unusable="never_signed_in"), 0, login("never_signed_in"), None),
            ],
            id="41: a token of another app requires a login",
        ),
        pytest.param(
            TokenState(),
            [Row(None, 0, Work.LOAD, None), Row(Loaded(stored(), unusable="scopes"), 0, login("scopes"), None)],
            id="41: a token with fewer scopes requires a login that says so",
        ),
        pytest.param(
            TokenState(is_signing_out=True, is_locked=True),
            [
                Row(None, 0, Work.LOAD, None),
                Row(Loaded(stored(), unusable="scopes"), 0, Work.REVOKE, "a1"),
                Row(RevokeFailed(LOST), 0, Work.UNLOCK, "a1"),
            ],
            id="41 and 42: logout revokes a token with fewer scopes, and keeps it if that fails",
        ),
        pytest.param(
            TokenState(is_signing_out=True, is_locked=True),
            [Row(None, 0, Work.LOAD, None), Row(Loaded(stored(), unusable="never_signed_in"), 0, Work.DELETE, None)],
            id="41: logout does not send the token of another app",
        ),
        pytest.param(
            TokenState(is_signing_out=True, is_locked=True),
            [
                Row(None, 0, Work.LOAD, None),
                Row(Loaded(stored()), 0, Work.REVOKE, "a1"),
                Row(Event.REVOKED, 0, Work.DELETE, None),
                Row(is_down, 0, Work.LOAD, None),
                Row(Loaded(stored()), 0, Work.UNLOCK, None),
                Row(Event.UNLOCKED, 0, AskForLogin("signed_out"), None),
            ],
            id="42: logout whose deletion fails has revoked the token and does not use it",
        ),
        pytest.param(
            holding(stored(obtained=5.0)),
            [Row(None, 0, wait(3545), "a1"), Row(None, 3545, Work.LOCK, "a1"), Row(None, 3605, Work.LOCK, None)],
            id="45: a token that was obtained slightly in the future is used",
        ),
        pytest.param(
            holding(),
            [
                *until_request(3600),
                Row(refreshed(), 3600, Work.SAVE, None),
                Row(Event.INTERRUPTED, 3600, Work.LOCK, "a2"),
                Row(Event.STARTED, 3601, Work.LOCK, "a2"),
                Row(Event.LOCKED, 3601, Work.LOAD, "a2"),
                Row(Loaded(MARKED), 3601, Work.SAVE, "a2"),
            ],
            id="39: the event loop ended before the save, the new token is used and saved in the next one",
        ),
        pytest.param(
            holding(),
            [
                *until_request(3600),
                Row(Event.INTERRUPTED, 3600, Work.LOAD, None),
                Row(is_unchanged, 3600, Work.LOCK, None),
            ],
            id="39: the event loop ended during the request, the refresh token is tried again",
        ),
    ],
)
def test_story_of_a_sign_in(state, rows):
    play(state, rows)


def test_25_rejected_request_after_a_lost_response_keeps_the_mark_of_that_response():
    rows = [
        *until_request(3600),
        Row(is_lost, 3600, Work.UNLOCK, None),
        Row(Event.UNLOCKED, 3600, wait(3601), None),
        *until_request(3601),
        Row(is_limited, 3601, Work.SAVE, None),
    ]
    assert play(holding(), rows).held.stored.unanswered == 1


def test_25_refused_refresh_token_does_not_come_back_with_a_mark_that_is_saved_late():
    refused = [
        *until_request(3600),
        Row(is_refused, 3600, Work.LOAD, None),
        Row(is_unchanged, 3600, Work.SAVE, None),
    ]
    state = play(holding(), refused)
    assert (state.held.stored.token.refresh_token, state.held.stored.generation) == (None, 2)
    rows = [
        Row(Saved(stored(unanswered=1), is_mark=True), 3600, Work.SAVE, None),
        Row(is_saved, 3600, Work.UNLOCK, None),
        Row(Event.STARTED, 3700, Work.LOAD, None),
        # Another process, which does not know of the refusal, has saved its mark.
        Row(Loaded(stored(unanswered=2)), 3700, Work.SAVE, None),
        Row(is_saved, 3700, Work.UNLOCK, None),
        Row(Event.UNLOCKED, 3700, login("refused"), None),
    ]
    play(state, rows)


def test_42_deleted_sign_in_of_a_grant_without_user_is_replaced_although_the_clock_of_the_other_host_is_ahead():
    conflict = received(second_sign_in(), before=stored(), seconds=4000, interactive=False, conflicts=1)
    state = advance(conflict, Loaded(None, is_deleted=True), moment(4700))
    assert state.held.stored.signed_in_at == at(4700)
    assert state.saving is Saving.NEW


def test_25_mark_of_the_refresh_that_comes_next_is_no_lost_response():
    state = play(holding(), until_request(3540, "a1"))
    play(state, [Row(None, 3541, Work.REFRESH, "a1")])
    unknown = attrs.evolve(state, is_marked=False)
    play(unknown, [Row(None, 3541, Work.UNLOCK, "a1")])
    assert is_marked(unknown, None).stored.unanswered == 2
