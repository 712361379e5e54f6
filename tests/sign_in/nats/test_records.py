"""The rules of the turns in which a sign-in is polled: `choose`, and the states that it leads to. Without NATS."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.sign_in.endings import TOKEN_REVOKED
from twilio_oauth_async.sign_in.flow_life import GRANTED_GRACE, LEASE
from twilio_oauth_async.sign_in.nats.records import (
    OVERDUE,
    Choice,
    Delivered,
    QueuedFlow,
    after_turn,
    choose,
    claimed,
    seconds_to_turn,
    taken_over,
    with_revoked_token,
)
from twilio_oauth_async.stores.base import StoredFlow

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INTERVAL = 5.0
NEXT = Delivered(sequence=7, number=4)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def queued(state="pending", *, next_in=0.0, expires_in=600.0, problem=None, **changes):
    """Return the state after the third delivery of message 7 was saved."""
    authorization = DeviceAuthorization(
        device_code="d" * 40,
        user_code="ABCD-EFGH",
        verification_uri="https://example.com/activate",
        verification_uri_complete=None,
        expires_at=at(expires_in),
        interval=INTERVAL,
        client_sid="client",
        next_poll_at=at(next_in),
        scopes=("openid",),
    )
    flow = StoredFlow(
        id="id", user="ada", server="https://example.com", authorization=authorization, state=state, problem=problem
    )
    return QueuedFlow(flow=flow, **{"sequence": 7, "delivery": 3, **changes})


@pytest.mark.parametrize(
    ("state", "delivered", "choice"),
    [
        (queued(), NEXT, Choice.POLL),
        (queued(sequence=0, delivery=0), Delivered(7, 1), Choice.POLL),
        (queued(next_in=1), NEXT, Choice.WAIT),
        (queued(next_in=601), NEXT, Choice.WAIT),
        (queued(next_in=10, expires_in=0), NEXT, Choice.EXPIRE),
        (queued(contested_at=at(-INTERVAL)), NEXT, Choice.CLAIM),
        (queued(contested_at=at(-1)), NEXT, Choice.WAIT),
        # The turn before this one was not saved, or it is not known whether it was.
        (queued(), Delivered(7, 5), Choice.TAKE_OVER),
        (queued(), Delivered(7, 3), Choice.TAKE_OVER),
        (queued(), Delivered(7, 4, is_certain=False), Choice.TAKE_OVER),
        (queued(), Delivered(8, 4), Choice.TAKE_OVER),
        (queued(next_in=60), Delivered(7, 5), Choice.TAKE_OVER),
        # A message that was replaced by a newer one of the same sign-in.
        (queued(), Delivered(6, 9), Choice.DROP),
        (queued("granted", granted_at=NOW), NEXT, Choice.LOOK),
        (queued("granted", granted_at=at(-GRANTED_GRACE)), NEXT, Choice.LOSE),
        (queued("granted"), Delivered(6, 9), Choice.DROP),
        *[(queued(end), NEXT, Choice.FINISH) for end in ("approved", "denied", "expired", "cancelled", "failed")],
        (queued("approved"), Delivered(6, 1, is_certain=False), Choice.FINISH),
    ],
)
def test_choice(state, delivered, choice):
    assert choose(state, delivered, NOW) is choice


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        (queued(next_in=-5), 0),
        (queued(next_in=3), 3),
        (queued(next_in=20, expires_in=10), 10),
        (queued(next_in=0, contested_at=at(-2)), INTERVAL - 2),
        (queued(next_in=9, contested_at=at(-2)), 9),
    ],
)
def test_seconds_to_turn(state, seconds):
    assert seconds_to_turn(state, NOW) == pytest.approx(seconds)


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_taken_over_sign_in_rests_for_an_interval_at_least(spread):
    """RFC 8628 3.5: the worker before this one may have polled a moment ago."""
    state = taken_over(queued(next_in=-1), Delivered(7, 9), "me", NOW, spread)
    assert seconds_to_turn(state, NOW) >= INTERVAL
    assert (state.contested_at, state.sequence, state.delivery, state.flow.owner) == (NOW, 7, 9, "me")
    assert choose(state, Delivered(7, 10), at(3 * INTERVAL)) is Choice.CLAIM


def test_claim_counts_polls_and_does_not_end_the_turn():
    state = claimed(queued(contested_at=at(-60)), "me")
    assert (state.claims, state.delivery, state.flow.owner) == (1, 3, "me")


@pytest.mark.parametrize(("age", "is_contested"), [(LEASE - 1, True), (LEASE, False)])
def test_sign_in_is_contested_as_long_as_the_request_of_another_worker_can_be_under_way(age, is_contested):
    state = after_turn(queued(contested_at=at(-age)), NEXT, "me", NOW)
    assert (state.contested_at is not None) is is_contested


def test_next_turn_continues_after_one_that_was_saved():
    state = after_turn(queued(), NEXT, "me", NOW)
    assert choose(state, Delivered(7, 5), NOW) is Choice.POLL


@pytest.mark.parametrize("state", ["granted", "approved"])
def test_approval_is_taken_back_after_a_second_exchange(state):
    before = queued(state, granted_at=at(-1), delivered_at=at(-1))
    before = attrs.evolve(before, flow=attrs.evolve(before.flow, delivered=True, ended_at=at(-1)))
    after = with_revoked_token(before, NOW)
    assert (after.flow.state, after.flow.problem, after.flow.ended_at) == ("failed", TOKEN_REVOKED.problem, NOW)
    assert (after.flow.delivered, after.delivered_at) == (False, None), "the end is reported once more"
    assert with_revoked_token(after, NOW) is None


@pytest.mark.parametrize("state", ["pending", "denied", "expired", "cancelled", "failed"])
def test_nothing_is_taken_back_where_no_worker_has_received_a_token(state):
    assert with_revoked_token(queued(state), NOW) is None


def test_sign_in_that_no_worker_polls_is_shown_with_a_problem():
    assert queued(next_in=-OVERDUE + 1).seen(NOW).problem is None
    assert queued(next_in=-OVERDUE).seen(NOW).problem is not None
    assert queued("approved", next_in=-OVERDUE).seen(NOW).problem is None
