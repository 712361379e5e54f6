"""`flow_life.decide`, branch by branch: what a process does next with a flow. See tests/faults/README.md."""

import attrs
import pytest

from tests.helpers.flow_states import (
    authorization,
    flow,
    holding,
    lease,
    life,
    monotonic,
    rest,
    with_authorization,
)
from tests.helpers.token_states import moment
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.sign_in.endings import APPROVED, CANCELLED, DELETED, SIGNED_OUT, TOKEN_LOST, ending_of_error
from twilio_oauth_async.sign_in.flow_life import (
    GRANTED_GRACE,
    LEASE,
    MAX_PAUSE,
    NEVER,
    SETTLE,
    decide,
    pause,
    started,
    taken_up,
)
from twilio_oauth_async.sign_in.flow_steps import Act, End

DENIED = ending_of_error(polling.expired(authorization()))
EXPIRED = End(ending_of_error(polling.expired(authorization())))
UNREACHABLE = End(ending_of_error(polling.expired(authorization(faults=1))))
GRANTED = life(flow=flow("granted"), looked_at=monotonic(0))
TAKEN = taken_up(flow(), "me", lease(LEASE), moment(0))
LOOKED = attrs.evolve(TAKEN, looked_at=monotonic(0))
ONE_CLOCK = lease(60)
LONGER = with_authorization(life(save_state_at=monotonic(3)), interval=10.0)
AT_THE_END = {"expires_at": moment(7).wall, "next_poll_at": moment(8).wall}
"""Of a code that expires before the next poll."""

LAST = with_authorization(life(), **AT_THE_END)
TAKEN_LAST = with_authorization(LOOKED, **AT_THE_END)


@pytest.mark.parametrize(
    ("state", "seconds", "step"),
    [
        # A pending flow is polled.
        pytest.param(life(), 0, rest(5), id="not due: wait"),
        pytest.param(life(), 4.99, rest(5), id="not due by a hundredth: wait"),
        pytest.param(life(), 5, Act.POLL, id="due: poll"),
        pytest.param(life(10), 24.9, Act.POLL, id="48: looked lately: poll"),
        pytest.param(life(10, lease=lease(60)), 25, Act.LOOK, id="48: not looked for 15 s: look before the poll"),
        pytest.param(life(10, lease=lease(60)), 4, rest(5), id="48: not due: no look"),
        pytest.param(life(looked_at=NEVER), 0, Act.LOOK, id="60: never looked: look at once"),
        pytest.param(life(is_stopping=True), 5, Act.STOP, id="50: closing: no poll"),
        pytest.param(life(is_lost=True, lease=None), 5, Act.STOP, id="55: another process polls it: stop"),
        # The lease.
        pytest.param(life(), 29.9, Act.LOOK, id="lease of 30 s at 29.9 s"),
        pytest.param(life(), 30, Act.LEASE, id="lease has ended: ask for it first"),
        pytest.param(life(lease=None), 0, Act.LEASE, id="no lease: ask for it"),
        pytest.param(
            life(20, lease=attrs.evolve(ONE_CLOCK, monotonic=monotonic(25))),
            25,
            Act.LEASE,
            id="18: ended by the monotonic clock",
        ),
        pytest.param(
            life(20, lease=attrs.evolve(ONE_CLOCK, wall=moment(25).wall)),
            25,
            Act.LEASE,
            id="18: ended by the wall clock",
        ),
        pytest.param(life(flow=flow("granted"), lease=lease(0)), 0, Act.LEASE, id="no lease of a granted flow: ask"),
        # What a successor must know.
        pytest.param(with_authorization(life(), interval=10.0), 0, Act.SAVE_STATE, id="2: longer interval: save it"),
        pytest.param(with_authorization(life(), faults=1), 0, Act.SAVE_STATE, id="a fault: save it"),
        pytest.param(with_authorization(life(), answer_lost=True), 0, Act.SAVE_STATE, id="a lost response: save it"),
        pytest.param(with_authorization(life(), next_poll_at=moment(10).wall), 0, rest(10), id="next poll: not saved"),
        pytest.param(
            LONGER,
            2.9,
            rest(5),
            id="60: it could not be saved: later",
        ),
        pytest.param(
            LONGER,
            3,
            Act.SAVE_STATE,
            id="60: it is later",
        ),
        # The code expires.
        pytest.param(LAST, 6.9, rest(7), id="51: no poll is possible: wait"),
        pytest.param(LAST, 7, EXPIRED, id="51: expired: end it"),
        pytest.param(
            with_authorization(life(10, lease=lease(60)), **AT_THE_END),
            26,
            Act.LOOK,
            id="48: expired: look",
        ),
        pytest.param(
            attrs.evolve(with_authorization(life(), **AT_THE_END, faults=1), stored=authorization(faults=1)),
            7,
            UNREACHABLE,
            id="51: expired while the server could not be reached",
        ),
        pytest.param(with_authorization(life(), expires_at=moment(5).wall), 5, EXPIRED, id="5: due at expiry: no poll"),
        # It was taken up.
        pytest.param(TAKEN, 0, rest(5.05), id="60: taken up: look just before the poll"),
        pytest.param(TAKEN, 5.1, Act.LOOK, id="60: taken up: look before the first poll"),
        pytest.param(LOOKED, 0, rest(5.05), id="1: taken up: the next poll is an interval later"),
        pytest.param(LOOKED, 5.1, Act.LOOK, id="60: taken up: look again just before the poll"),
        pytest.param(attrs.evolve(LOOKED, looked_at=monotonic(5)), 5.1, Act.POLL, id="60: looked just before: poll"),
        pytest.param(attrs.evolve(LOOKED, looked_at=monotonic(4.6)), 5.1, Act.LOOK, id="60: looked 0.5 s before"),
        pytest.param(
            with_authorization(LOOKED, interval=5.0, next_poll_at=moment(1).wall),
            4.9,
            rest(SETTLE),
            id="60: no poll for 5 s",
        ),
        pytest.param(TAKEN_LAST, 6.9, rest(7), id="60: taken up, expires: wait"),
        pytest.param(TAKEN_LAST, 7, Act.LOOK, id="60: taken up, expired: look"),
        pytest.param(
            attrs.evolve(TAKEN_LAST, taken_at=monotonic(4)),
            7,
            rest(9),
            id="60: taken up, expired: wait",
        ),
        # Another process has received the token.
        pytest.param(GRANTED, 2.9, rest(3), id="60: granted elsewhere: wait"),
        pytest.param(GRANTED, 3, Act.LOOK, id="60: granted elsewhere: look every 3 s"),
        pytest.param(
            attrs.evolve(GRANTED, granted_since=monotonic(0), lease=lease(200), looked_at=monotonic(88)),
            GRANTED_GRACE - 0.1,
            rest(91),
            id="60: granted elsewhere for less than the grace",
        ),
        pytest.param(
            attrs.evolve(GRANTED, granted_since=monotonic(0), lease=lease(200), looked_at=monotonic(88)),
            GRANTED_GRACE,
            End(TOKEN_LOST),
            id="60: granted elsewhere for the grace: its token is lost",
        ),
        # This process has received the token.
        pytest.param(holding(), 0, Act.GRANT, id="60: token: record it first"),
        pytest.param(holding(is_lost=True, lease=None), 0, Act.GRANT, id="60: token without a lease: record it too"),
        pytest.param(holding(is_stopping=True), 0, Act.GRANT, id="50: token while closing: record it too"),
        pytest.param(holding(is_granted=True), 0, Act.SAVE_TOKEN, id="60: recorded: save it"),
        pytest.param(holding(is_granted=True), 44.9, Act.SAVE_TOKEN, id="60: recorded 44.9 s ago: save it"),
        pytest.param(holding(is_granted=True), 45, Act.LOOK, id="60: recorded 45 s ago: look first"),
        pytest.param(holding(is_granted=True, is_saved=True), 45, End(APPROVED), id="saved: end it as approved"),
        pytest.param(holding(is_granted=True, is_disputed=True), 0, Act.LOOK, id="48: the store has another end: look"),
        # It is not kept.
        pytest.param(holding(is_refused=True), 0, Act.REVOKE, id="48: another process has the token: revoke this one"),
        pytest.param(holding(ending=CANCELLED, is_recorded=True), 0, Act.REVOKE, id="48: cancelled: revoke"),
        pytest.param(holding(ending=SIGNED_OUT), 0, Act.REVOKE, id="42: signed out: revoke before the end is recorded"),
        pytest.param(holding(ending=APPROVED, is_recorded=True), 0, Act.REVOKE, id="approved with another token"),
        pytest.param(holding(ending=APPROVED, is_recorded=True, is_saved=True), 0, Act.STOP, id="approved: stop"),
        pytest.param(
            holding(ending=TOKEN_LOST, is_recorded=True, is_saved=True), 0, Act.REVOKE, id="saved too late: revoke"
        ),
        pytest.param(
            life(ending=TOKEN_LOST, is_recorded=True, is_saved=True), 0, Act.REMOVE, id="saved too late: remove"
        ),
        pytest.param(holding(is_refused=True, retry_at=monotonic(9)), 0, Act.REVOKE, id="revoke without waiting"),
        # The end.
        pytest.param(life(ending=DENIED), 0, End(DENIED), id="49: record the end"),
        pytest.param(life(ending=DENIED, is_lost=True, lease=None), 0, End(DENIED), id="49: record it without a lease"),
        pytest.param(life(ending=DENIED, is_stopping=True), 0, End(DENIED), id="50: record it while closing"),
        pytest.param(life(ending=DENIED, is_disputed=True), 0, Act.LOOK, id="49: the store has another end: look"),
        pytest.param(life(ending=DENIED, is_recorded=True), 0, Act.STOP, id="49: recorded: stop"),
        pytest.param(life(ending=DELETED, is_recorded=True, is_disputed=True), 0, Act.STOP, id="deleted: stop"),
        # A store failed.
        pytest.param(life(retry_at=monotonic(9)), 8.9, rest(9), id="60: wait after a failure"),
        pytest.param(life(retry_at=monotonic(9)), 9, Act.POLL, id="60: go on after the wait"),
        pytest.param(holding(retry_at=monotonic(9)), 8.9, rest(9), id="60: a token waits too"),
        pytest.param(
            life(ending=CANCELLED, is_recorded=True, is_saved=True, retry_at=monotonic(9)),
            0,
            rest(9),
            id="60: remove later",
        ),
    ],
)
def test_decide(state, seconds, step):
    assert decide(state, moment(seconds)) == step


def test_wall_clock_that_is_set_does_not_move_the_polls():
    assert decide(life(), moment(1, wall=-500)) == rest(5)
    assert decide(life(lease=lease(900)), moment(1, wall=600)) == rest(5)


def test_60_time_of_a_token_is_that_of_the_clock_that_says_more():
    state = holding(is_granted=True)
    assert decide(state, moment(1, wall=45)) is Act.LOOK
    assert decide(state, moment(45, wall=1)) is Act.LOOK
    assert decide(state, moment(1, wall=-45)) is Act.SAVE_TOKEN


def test_started_flow_is_polled_as_the_server_says_without_a_look():
    state = started(flow(), lease(LEASE), moment(0))
    assert (state.looked_at, state.taken_at, state.known) == (monotonic(0), None, moment(0))
    assert decide(state, moment(4.9)) == rest(5)
    assert decide(state, moment(5)) is Act.POLL


def test_52_taken_up_flow_has_the_new_owner_and_a_next_poll_with_jitter():
    state = taken_up(flow(owner="other"), "me", lease(LEASE), moment(0), spread=1.0)
    assert state.flow.owner == "me"
    assert state.flow.authorization.next_poll_at == moment(5.55).wall, "an interval, a tenth of it, and 50 ms"
    assert state.stored == flow().authorization
    assert (state.looked_at, state.taken_at, state.token) == (NEVER, monotonic(0), None)


def test_pause_doubles_up_to_its_limit():
    assert [pause(failures) for failures in (1, 2, 3, 5, 6, 1000)] == [1, 2, 4, 16, MAX_PAUSE, MAX_PAUSE]
