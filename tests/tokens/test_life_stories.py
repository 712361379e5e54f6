"""The life of a token, outcome by outcome: what must come next, and what callers get. See tests/faults/README.md.

A row has the outcome, the seconds since the start, the next step and the access token for callers. The token `a1`
expires at 3600 s; a refresh is due at 3540 s.
"""

import attrs
import pytest

from tests.helpers.token_states import (
    Row,
    failed,
    holding,
    is_down,
    is_in_conflict,
    is_limited,
    is_lost,
    is_marked,
    is_refused,
    is_saved,
    is_unchanged,
    login,
    play,
    refreshed,
    second_sign_in,
    signed_in,
    stored,
    until_request,
    wait,
)
from twilio_oauth_async.tokens.failures import login_required
from twilio_oauth_async.tokens.state import Event, Kind, Loaded, Work

REFRESH = [
    *until_request(3600),
    Row(refreshed(), 3601, Work.SAVE, None),
    Row(is_saved, 3602, Work.UNLOCK, "a2"),
    Row(Event.UNLOCKED, 3602, wait(7141), "a2"),
]
"""Of an expired token."""

BEHIND = [
    *until_request(3540, "a1"),
    Row(refreshed(), 3541, Work.SAVE, "a1"),
    Row(is_saved, 3542, Work.UNLOCK, "a2"),
    Row(Event.UNLOCKED, 3542, wait(7081), "a2"),
]
"""Of a token that is still valid: callers get it until its successor is saved."""

LOST_ONCE = [
    *until_request(3540, "a1"),
    Row(is_lost, 3550, Work.UNLOCK, "a1"),
    Row(Event.UNLOCKED, 3550, wait(3600), "a1"),
]
"""The response to the refresh is lost while the access token is valid."""


def rejected(kind, seconds, gap, error=None):
    """Return the rows of a refresh of an expired token that fails with a response."""
    outcome = failed(kind) if error is None else error
    return [
        *until_request(seconds),
        Row(outcome, seconds, Work.SAVE, None),
        Row(is_saved, seconds, Work.UNLOCK, None),
        Row(Event.UNLOCKED, seconds, wait(seconds + gap), None),
    ]


def lost(seconds, gap):
    """Return the rows of a refresh of an expired token whose response is lost."""
    return [
        *until_request(seconds),
        Row(is_lost, seconds, Work.UNLOCK, None),
        Row(Event.UNLOCKED, seconds, wait(seconds + gap), None),
        Row(Event.STARTED, seconds + gap / 2, Work.LOAD, None),
        Row(is_unchanged, seconds + gap / 2, wait(seconds + gap), None),
    ]


def saving_fails(seconds, gap, before):
    """Return the rows of another attempt to save `a2` that fails; the store has `before`."""
    return [
        Row(Event.STARTED, seconds, Work.LOCK, "a2"),
        Row(Event.LOCKED, seconds, Work.LOAD, "a2"),
        Row(Loaded(before), seconds, Work.SAVE, "a2"),
        Row(is_down, seconds, Work.UNLOCK, "a2"),
        Row(Event.UNLOCKED, seconds, wait(seconds + gap), "a2"),
    ]


MARKED = stored(unanswered=1)
SIBLING = stored("a9", obtained=3500.0, refresh="r9", generation=2)
LATER_SIBLING = attrs.evolve(SIBLING, generation=3)

SAVE_FAILED = [
    *until_request(3600),
    Row(refreshed(), 3600, Work.SAVE, None),
    Row(is_down, 3600, Work.UNLOCK, "a2"),
    Row(Event.UNLOCKED, 3600, wait(3601), "a2"),
]

STORIES = [
    pytest.param(REFRESH, id="an expired token is refreshed"),
    pytest.param(BEHIND, id="a refresh behind a valid token"),
    pytest.param(
        [*LOST_ONCE, *lost(3600, 2), *lost(3602, 4), *lost(3606, 8), *rejected(None, 3614, 16, is_limited)],
        id="25: lost response, the refresh token is sent again after expiry and with growing gaps",
    ),
    pytest.param(
        [
            *LOST_ONCE,
            *lost(3600, 2),
            *until_request(3602),
            Row(is_refused, 3603, Work.LOAD, None),
            Row(is_unchanged, 3603, Work.SAVE, None),
            Row(is_saved, 3603, Work.UNLOCK, None),
            Row(Event.UNLOCKED, 3603, login("refused", was_lost=True), None),
            Row(Event.STARTED, 9000, Work.LOAD, None),
            Row(is_unchanged, 9000, login("refused", was_lost=True), None),
        ],
        id="25: invalid_grant after a lost response requires a login that says so",
    ),
    pytest.param(
        [
            *until_request(3540, "a1"),
            Row(is_refused, 3541, Work.LOAD, "a1"),
            Row(is_unchanged, 3541, Work.SAVE, "a1"),
            Row(is_saved, 3541, Work.UNLOCK, "a1"),
            Row(Event.UNLOCKED, 3541, wait(3600), "a1"),
            Row(Event.STARTED, 3600, Work.LOAD, None),
            Row(is_unchanged, 3600, login("refused"), None),
        ],
        id="25: invalid_grant while the access token is valid, it is used until it expires",
    ),
    pytest.param(
        [
            *until_request(3600),
            Row(failed(Kind.MAYBE_PROCESSED, 7200.0), 3600, Work.UNLOCK, None),
            Row(Event.UNLOCKED, 3600, wait(10800), None),
            Row(signed_in(), 4000, Work.LOCK, None),
            Row(Event.LOCKED, 4000, Work.LOAD, None),
            Row(Loaded(MARKED), 4000, Work.SAVE, None),
            Row(is_saved, 4000, Work.UNLOCK, "b1"),
            Row(Event.UNLOCKED, 4000, wait(7540), "b1"),
        ],
        id="36: Retry-After of two hours does not delay a new sign-in",
    ),
    pytest.param(
        [
            *until_request(3600),
            Row(failed(Kind.MAYBE_PROCESSED, 7200.0), 3600, Work.UNLOCK, None),
            Row(Event.UNLOCKED, 3600, wait(10800), None),
            Row(Event.STARTED, 4000, Work.LOAD, None),
            Row(Loaded(second_sign_in()), 4000, wait(7540), "b1"),
            Row(Event.STARTED, 7540, Work.LOAD, "b1"),
            Row(is_unchanged, 7540, Work.LOCK, "b1"),
        ],
        id="36: Retry-After of two hours hides no sign-in in another process and does not delay its refresh",
    ),
    pytest.param(
        [
            *rejected(Kind.CLIENT_REFUSED, 3600, 1),
            *rejected(Kind.CLIENT_REFUSED, 3601, 2),
            *rejected(Kind.CLIENT_REFUSED, 3603, 4),
            *rejected(Kind.CLIENT_REFUSED, 3607, 8),
            *rejected(Kind.CLIENT_REFUSED, 3615, 16),
            *rejected(Kind.CLIENT_REFUSED, 3631, 32),
            *rejected(Kind.CLIENT_REFUSED, 3663, 64),
            *rejected(Kind.CLIENT_REFUSED, 3727, 128),
            *rejected(Kind.CLIENT_REFUSED, 3855, 256),
            *rejected(Kind.CLIENT_REFUSED, 4111, 300),
            *rejected(Kind.CLIENT_REFUSED, 4411, 300),
        ],
        id="34: client refused, the gaps grow to 300 s",
    ),
    pytest.param(
        [
            *SAVE_FAILED,
            *saving_fails(3601, 2, MARKED),
            *saving_fails(3603, 4, MARKED),
            *saving_fails(3607, 8, None),
            *saving_fails(3615, 16, MARKED),
            *saving_fails(3631, 30, MARKED),
            *saving_fails(3661, 30, MARKED),
            Row(Event.CLOSING, 3662, Work.LOCK, "a2"),
            Row(Event.LOCKED, 3662, Work.LOAD, "a2"),
            Row(Loaded(MARKED), 3662, Work.SAVE, "a2"),
            Row(is_saved, 3662, Work.UNLOCK, "a2"),
            Row(Event.UNLOCKED, 3662, wait(7140), "a2"),
        ],
        id="24 and 44: a save that fails is tried again with gaps up to 30 s, or at once at the end",
    ),
    pytest.param(
        [
            *SAVE_FAILED,
            Row(Event.STARTED, 3601, Work.LOCK, "a2"),
            Row(is_down, 3601, wait(3603), "a2"),
            Row(None, 7200, Work.LOCK, None),
        ],
        id="44: the lock fails, the unsaved token is used until it expires",
    ),
    pytest.param(
        [
            Row(Event.STARTED, 3540, Work.LOAD, "a1"),
            Row(is_down, 3540, wait(3541), "a1"),
            Row(Event.STARTED, 3541, Work.LOAD, "a1"),
            Row(is_down, 3541, wait(3543), "a1"),
            Row(None, 3600, Work.LOAD, None),
            Row(is_down, 3600, wait(3601), None),
            Row(Event.STARTED, 3601, Work.LOAD, None),
            Row(is_down, 3601, wait(3602), None),
            Row(Event.STARTED, 3602, Work.LOAD, None),
            Row(is_unchanged, 3602, Work.LOCK, None),
        ],
        id="44: the store is down, no request is sent, and without a valid token it is tried once a second",
    ),
    pytest.param(
        [
            Row(Event.STARTED, 3540, Work.LOAD, "a1"),
            Row(Loaded(None), 3540, Work.LOCK, "a1"),
            Row(Event.LOCKED, 3540, Work.LOAD, "a1"),
            Row(Loaded(None), 3540, Work.SAVE, "a1"),
            Row(is_saved, 3540, Work.MARK, "a1"),
            Row(is_marked, 3540, Work.REFRESH, "a1"),
        ],
        id="the store has lost its data, the token is saved again and then refreshed",
    ),
    pytest.param(
        [
            *until_request(3600),
            Row(is_refused, 3601, Work.LOAD, None),
            Row(Loaded(SIBLING), 3601, Work.UNLOCK, "a9"),
            Row(Event.UNLOCKED, 3601, wait(7040), "a9"),
        ],
        id="23: invalid_grant, but another process has refreshed",
    ),
    pytest.param(
        [
            Row(Event.STARTED, 3600, Work.LOAD, None),
            Row(is_unchanged, 3600, Work.LOCK, None),
            Row(Event.LOCKED, 3620, Work.LOAD, None),
            Row(Loaded(SIBLING), 3620, Work.UNLOCK, "a9"),
        ],
        id="22: another process has refreshed while this one waited for the lock",
    ),
    pytest.param(
        [
            *SAVE_FAILED,
            Row(Event.STARTED, 3601, Work.LOCK, "a2"),
            Row(Event.LOCKED, 3601, Work.LOAD, "a2"),
            Row(Loaded(LATER_SIBLING), 3601, Work.UNLOCK, "a9"),
        ],
        id="23: the later token of another process replaces one that is not saved",
    ),
    pytest.param(
        [
            *SAVE_FAILED,
            Row(Event.STARTED, 3601, Work.LOCK, "a2"),
            Row(Event.LOCKED, 3601, Work.LOAD, "a2"),
            Row(Loaded(SIBLING), 3601, Work.UNLOCK, "a9"),
        ],
        id="23: of two tokens of the same generation the saved one is used",
    ),
    pytest.param(
        [
            *until_request(3600),
            Row(is_refused, 3601, Work.LOAD, None),
            Row(Loaded(None, is_deleted=True), 3601, Work.UNLOCK, None),
            Row(Event.UNLOCKED, 3601, login("signed_out"), None),
        ],
        id="42: deleted by another process while invalid_grant is on its way",
    ),
    pytest.param(
        [
            *until_request(3600),
            Row(refreshed(), 3601, Work.SAVE, None),
            Row(is_in_conflict, 3601, Work.LOAD, None),
            Row(Loaded(None, is_deleted=True), 3601, Work.UNLOCK, None),
            Row(Event.UNLOCKED, 3601, login("signed_out"), None),
        ],
        id="42: deleted by another process while the refresh is on its way, it does not come back",
    ),
    pytest.param(
        [
            *until_request(3600),
            Row(refreshed(), 3601, Work.SAVE, None),
            Row(is_in_conflict, 3601, Work.LOAD, None),
            Row(Loaded(MARKED), 3601, Work.SAVE, None),
            Row(is_in_conflict, 3601, Work.LOAD, None),
            Row(Loaded(MARKED), 3601, Work.SAVE, None),
            Row(is_in_conflict, 3601, Work.UNLOCK, "a2"),
            Row(Event.UNLOCKED, 3601, wait(3602), "a2"),
        ],
        id="three conflicts in a row count as a store that fails",
    ),
    pytest.param(
        [
            *until_request(3600)[:-1],
            Row(is_in_conflict, 3600, Work.LOAD, None),
            Row(Loaded(SIBLING), 3600, Work.UNLOCK, "a9"),
        ],
        id="22: a conflict while the mark is saved sends nothing and uses the token of another process",
    ),
    pytest.param(
        [
            *until_request(3600),
            Row(refreshed(lifetime=-10.0), 3600, Work.SAVE, None),
            Row(is_saved, 3600, Work.UNLOCK, "a2"),
            Row(Event.UNLOCKED, 3600, wait(3601), "a2"),
            Row(Event.STARTED, 3601, Work.LOAD, None),
        ],
        id="17: a token that has expired at receipt is used for one second",
    ),
    pytest.param(
        [
            Row(None, 3000, wait(3540), "a1"),
            Row(None, 3001, wait(3540), "a1", wall=3001),
            Row(Event.STARTED, 3001, Work.LOAD, None, wall=3600),
            Row(is_unchanged, 3001, Work.LOCK, None, wall=3600),
        ],
        id="18: the machine was suspended, only the wall clock has moved",
    ),
    pytest.param(
        [
            Row(None, 3539, wait(3540), "a1", wall=100),
            Row(Event.STARTED, 3600, Work.LOAD, None, wall=100),
            Row(is_unchanged, 3600, Work.LOCK, None, wall=100),
        ],
        id="18: the wall clock was set back, the token is not valid for longer",
    ),
]


@pytest.mark.parametrize("rows", STORIES)
def test_story_of_a_token(rows):
    play(holding(), rows)


def test_25_message_of_the_login_says_that_a_response_was_lost():
    assert "the response to an earlier refresh was lost" in str(login_required(login("refused", was_lost=True)))
