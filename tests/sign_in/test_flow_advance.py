"""`flow_life.advance`, outcome by outcome. See tests/faults/README.md.

The tests compare the whole state, so that nothing else may change.
"""

import attrs
import pytest

from tests.helpers.flow_states import (
    DOWN,
    TOKEN,
    authorization,
    check,
    flow,
    holding,
    lease,
    life,
    monotonic,
    with_authorization,
)
from tests.helpers.token_states import moment
from twilio_oauth_async.errors import AccessDeniedError, DeviceCodeExpiredError, InvalidGrantError
from twilio_oauth_async.protocol.polling import Approved, Pending, SlowedDown, Unreachable
from twilio_oauth_async.sign_in.endings import APPROVED, CANCELLED, DELETED, SIGNED_OUT, Ending
from twilio_oauth_async.sign_in.flow_life import KEPT, LEASE, NEVER, SAVE_LIMIT, advance, ended_as
from twilio_oauth_async.sign_in.flow_steps import (
    Act,
    CallFailed,
    End,
    Happening,
    Leased,
    Looked,
    Polled,
    PollFailed,
    Recorded,
)

FAILED = {"failures": 3, "retry_at": monotonic(50)}
WORKS = {"failures": 0, "retry_at": NEVER}
"""The fields of a state whose store has failed, and of one whose store works."""

AGAIN = {"failures": 1, "retry_at": monotonic(11)}
"""The fields of a state whose store has failed once, at 10 s."""

TAKEN = life(taken_at=monotonic(0))
LATE = authorization(next_poll_at=moment(20).wall)
DENIED = Ending("denied", "no")


@pytest.mark.parametrize(
    ("state", "happening", "changes"),
    [
        pytest.param(life(**FAILED), Happening.LOST, {"lease": None, "is_lost": True, **WORKS}, id="55: lease lost"),
        pytest.param(holding(), Happening.LOST, {"lease": None, "is_lost": True}, id="60: lease lost with a token"),
        pytest.param(life(**FAILED), Happening.STOPPING, {"is_stopping": True}, id="50: closing"),
        pytest.param(
            with_authorization(life(**FAILED), interval=10.0),
            Happening.STATE_SAVED,
            {"stored": authorization(interval=10.0), **WORKS},
            id="2: state saved",
        ),
        pytest.param(
            with_authorization(life(), interval=10.0),
            Happening.STATE_OUTDATED,
            {"stored": authorization(interval=10.0), "looked_at": NEVER},
            id="48: the store has another state: look before the next poll",
        ),
        pytest.param(
            holding(**FAILED), Happening.GRANTED, {"is_granted": True, "known": moment(10), **WORKS}, id="60: recorded"
        ),
        pytest.param(holding(**FAILED), Happening.NOT_GRANTED, {"is_disputed": True, **WORKS}, id="48: not recorded"),
        pytest.param(holding(**FAILED), Happening.TOKEN_SAVED, {"is_saved": True, **WORKS}, id="saved"),
        pytest.param(holding(**FAILED), Happening.SIGNED_OUT, {"ending": SIGNED_OUT, **WORKS}, id="42: signed out"),
        pytest.param(holding(is_refused=True), Happening.REVOKED, {"token": None, "is_refused": False}, id="revoked"),
        pytest.param(life(is_saved=True, **FAILED), Happening.REMOVED, {"is_saved": False, **WORKS}, id="removed"),
        pytest.param(
            life(ending=DENIED, **FAILED), Happening.NOT_RECORDED, {"is_disputed": True, **WORKS}, id="49: another end"
        ),
    ],
)
def test_happening(state, happening, changes):
    check(state, happening, 10, **changes)


def test_lease_that_is_renewed_in_time_changes_nothing_else():
    check(life(**FAILED), Leased(lease(40)), 10, lease=lease(40), **WORKS)


def test_60_lease_that_is_renewed_in_time_tells_that_a_granted_flow_is_still_there():
    check(holding(is_granted=True), Leased(lease(40)), 10, lease=lease(40), known=moment(10))


@pytest.mark.parametrize(
    "state",
    [
        life(is_lost=True, lease=None),
        life(),
        life(lease=attrs.evolve(lease(60), monotonic=monotonic(30))),
        life(lease=attrs.evolve(lease(60), wall=moment(30).wall)),
    ],
    ids=["lost", "ended", "ended by the monotonic clock", "ended by the wall clock"],
)
def test_60_lease_that_had_ended_is_as_one_of_a_flow_that_is_taken_up(state):
    check(
        state,
        Leased(lease(60)),
        30,
        lease=lease(60),
        is_lost=False,
        looked_at=NEVER,
        taken_at=monotonic(30),
        flow=flow(authorization=authorization(next_poll_at=moment(35.05).wall)),
    )


# Polls.


@pytest.mark.parametrize(
    "step", [Pending(LATE), SlowedDown(LATE), Unreachable(LATE, DOWN)], ids=["pending", "slowed down", "unreachable"]
)
def test_poll_without_a_decision_sets_the_next_one(step):
    check(life(), Polled(step), 10, flow=flow(authorization=LATE))


def test_60_flow_that_was_taken_up_stays_so_while_a_request_of_another_process_may_be_under_way():
    check(TAKEN, Polled(Pending(LATE)), LEASE - 0.1, flow=flow(authorization=LATE))
    check(TAKEN, Polled(Pending(LATE)), LEASE, flow=flow(authorization=LATE), taken_at=None)


def test_poll_with_a_token_keeps_it_whatever_else_is_known():
    for state in (life(), life(is_lost=True, lease=None), life(ending=CANCELLED, is_recorded=True)):
        check(state, Polled(Approved(TOKEN)), 10, token=TOKEN, received=moment(10))


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (AccessDeniedError(description="no"), "denied"),
        (DeviceCodeExpiredError(description="no"), "expired"),
        (InvalidGrantError(description="no"), "failed"),
    ],
)
def test_poll_that_fails_ends_the_flow(error, end):
    after = check(life(), PollFailed(error), 10, ending=Ending(end, "no"))
    assert after.ending.error is error


def test_48_poll_that_fails_after_the_end_changes_nothing():
    check(life(ending=CANCELLED, is_recorded=True), PollFailed(AccessDeniedError()), 10)


# Looks.


@pytest.mark.parametrize(
    ("state", "looked", "changes"),
    [
        pytest.param(life(**FAILED), Looked(flow()), {**WORKS, "known": moment(10)}, id="pending"),
        pytest.param(
            life(), Looked(flow(owner="other")), {"lease": None, "is_lost": True, "known": moment(10)}, id="55: lost"
        ),
        pytest.param(
            attrs.evolve(TAKEN, **FAILED),
            Looked(flow()),
            {**WORKS, "known": moment(10), "taken_at": monotonic(10)},
            id="60: the store works again: the process before gets time to record its token",
        ),
        pytest.param(TAKEN, Looked(flow()), {"known": moment(10)}, id="60: taken up, the store works"),
        # It has ended.
        pytest.param(
            life(**FAILED),
            Looked(flow("cancelled", problem="p")),
            {**WORKS, "ending": Ending("cancelled", "p"), "is_recorded": True},
            id="48: cancelled by another process",
        ),
        pytest.param(
            life(ending=DENIED, is_disputed=True),
            Looked(flow("expired", problem="p")),
            {"ending": Ending("expired", "p"), "is_recorded": True, "is_disputed": False},
            id="49: it has ended otherwise: that end counts",
        ),
        pytest.param(
            life(), Looked(flow("approved")), {"ending": APPROVED, "is_recorded": True, "is_saved": True}, id="approved"
        ),
        pytest.param(
            holding(is_saved=True, is_disputed=True),
            Looked(flow("failed", problem="p")),
            {"ending": Ending("failed", "p"), "is_recorded": True, "is_disputed": False},
            id="60: saved too late",
        ),
        # The token is stored.
        pytest.param(
            life(),
            Looked(flow("granted"), has_token=True),
            {"flow": flow("granted"), "known": moment(10), "is_granted": True, "ending": APPROVED},
            id="60: saved by a process that was killed",
        ),
        pytest.param(
            holding(is_disputed=True),
            Looked(flow("granted"), has_token=True),
            {
                "flow": flow("granted"),
                "known": moment(10),
                "is_granted": True,
                "is_saved": True,
                "is_disputed": False,
            },
            id="60: saved in a call that seemed to fail",
        ),
        # Another process has received it.
        pytest.param(
            life(),
            Looked(flow("granted")),
            {"flow": flow("granted"), "known": moment(10), "granted_since": monotonic(10)},
            id="60: granted to another process",
        ),
        pytest.param(
            life(granted_since=monotonic(4)),
            Looked(flow("granted")),
            {"flow": flow("granted"), "known": moment(10)},
            id="60: still granted to another process",
        ),
        pytest.param(
            holding(is_disputed=True),
            Looked(flow("granted", granted_to="other")),
            {"flow": flow("granted"), "known": moment(10), "is_refused": True, "is_disputed": False},
            id="60: granted to another process, which keeps its token",
        ),
        pytest.param(
            holding(is_granted=True),
            Looked(flow("granted", granted_to="me")),
            {"flow": flow("granted"), "known": moment(10), "granted_since": monotonic(10)},
            id="60: granted to this process",
        ),
        # The store contradicts itself.
        pytest.param(
            holding(is_disputed=True),
            Looked(flow()),
            {"known": moment(10), "is_disputed": False, **AGAIN},
            id="it did not record the token, but nothing else either: wait",
        ),
        pytest.param(
            life(ending=DENIED, is_disputed=True),
            Looked(flow()),
            {"known": moment(10), "is_disputed": False, "ending": None, **AGAIN},
            id="it did not record the end, but has no other: wait",
        ),
        # It is not stored.
        pytest.param(life(), Looked(None), {"ending": DELETED, "is_recorded": True}, id="lost by the store"),
        pytest.param(
            life(ending=DENIED), Looked(None), {"is_recorded": True}, id="lost by the store after it has ended"
        ),
        pytest.param(
            life(),
            Looked(None, has_token=True),
            {"ending": APPROVED, "is_recorded": True, "is_saved": True},
            id="lost by the store, its token is stored",
        ),
        pytest.param(
            holding(is_disputed=True),
            Looked(None),
            {"is_granted": True, "known": moment(10), "is_disputed": False},
            id="lost by the store, this process has the token: save it",
        ),
        pytest.param(
            holding(is_saved=True, is_disputed=True),
            Looked(None),
            {"ending": APPROVED, "is_recorded": True, "is_disputed": False},
            id="lost by the store, this process has saved the token",
        ),
    ],
)
def test_look(state, looked, changes):
    check(state, looked, 10, looked_at=monotonic(10), **changes)


@pytest.mark.parametrize(("seconds", "is_deleted"), [(KEPT - 0.1, False), (KEPT, True)])
def test_48_flow_that_is_missing_for_longer_than_an_end_is_kept_had_ended(seconds, is_deleted):
    after = advance(holding(), Looked(None), moment(seconds))
    assert (after.ending, after.is_recorded, after.is_deleted) == (
        (DELETED, True, True) if is_deleted else (None, False, False)
    )
    after = advance(life(), Looked(None), moment(1, wall=seconds))
    assert (after.ending, after.is_deleted) == (DELETED, is_deleted)


# Ends.


def test_end_that_is_recorded():
    check(life(ending=DENIED, **FAILED), Recorded(DENIED), 10, is_recorded=True, **WORKS)
    check(holding(is_saved=True), Recorded(APPROVED), 10, ending=APPROVED, is_recorded=True)


def test_48_end_that_is_found_takes_the_place_of_the_own_one():
    state = life(ending=DENIED)
    assert ended_as(state, CANCELLED) == attrs.evolve(state, ending=CANCELLED, is_recorded=True)


# Failures of a store.


@pytest.mark.parametrize(
    ("act", "state", "changes"),
    [
        pytest.param(Act.LEASE, life(), AGAIN, id="lease: after 1 s"),
        pytest.param(Act.LEASE, life(failures=4), {"failures": 5, "retry_at": monotonic(26)}, id="lease: after 16 s"),
        pytest.param(Act.LEASE, life(failures=9), {"failures": 10, "retry_at": monotonic(40)}, id="lease: 30 s"),
        pytest.param(End, life(ending=DENIED), AGAIN, id="49: end: after 1 s"),
        pytest.param(Act.GRANT, holding(failures=9), {"failures": 10, "retry_at": monotonic(12)}, id="60: token: 2 s"),
        pytest.param(Act.SAVE_TOKEN, holding(), AGAIN, id="60: save: after 1 s"),
        pytest.param(Act.REMOVE, life(is_saved=True), AGAIN, id="60: remove"),
        pytest.param(Act.SAVE_STATE, life(), {"save_state_at": monotonic(15)}, id="60: state: after an interval"),
        pytest.param(Act.LOOK, life(), {"looked_at": monotonic(-2)}, id="48: look from time to time: after 3 s"),
        pytest.param(Act.LOOK, life(looked_at=NEVER), AGAIN, id="60: first look"),
        pytest.param(Act.LOOK, TAKEN, AGAIN, id="60: look before the first poll"),
        pytest.param(Act.LOOK, life(is_disputed=True), AGAIN, id="48: look for another end"),
        pytest.param(
            Act.LOOK,
            life(granted_since=monotonic(0)),
            AGAIN,
            id="60: look for the token of another process",
        ),
        pytest.param(Act.LOOK, holding(), AGAIN, id="60: look before the save"),
    ],
)
def test_60_failure_of_a_store(act, state, changes):
    check(state, CallFailed(act, DOWN), 10, **changes)


@pytest.mark.parametrize("wall", [None, SAVE_LIMIT], ids=["both clocks", "wall clock"])
def test_60_token_that_cannot_be_saved_for_too_long_is_revoked(wall):
    state = holding(is_granted=True, failures=3)
    now = moment(SAVE_LIMIT if wall is None else 1, wall)
    after = advance(state, CallFailed(Act.SAVE_TOKEN, DOWN), now)
    assert after == attrs.evolve(state, ending=Ending("failed", "the sign-in could not be stored"), **WORKS)
    assert after.ending.error is DOWN


def test_60_token_is_not_revoked_before_the_limit_or_by_another_call():
    late = CallFailed(Act.SAVE_TOKEN, DOWN)
    assert advance(holding(), late, moment(SAVE_LIMIT - 0.1)).ending is None
    assert advance(holding(), CallFailed(Act.GRANT, DOWN), moment(SAVE_LIMIT)).ending is None
    assert advance(life(), late, moment(SAVE_LIMIT)).ending is None
