from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_oauth_async import errors
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import DeviceCode, Token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = Token(access_token="a")
PENDING = errors.AuthorizationPendingError(status=400)
SLOW_DOWN = errors.SlowDownError(status=400)
UNREADABLE = errors.ProtocolError("not JSON", status=502)


def begin(expires_in=300.0, interval=5.0, now=NOW):
    code = DeviceCode(
        device_code="d", user_code="u", verification_uri="https://e", expires_in=expires_in, interval=interval
    )
    return polling.begin(code, client_sid="OQ1", scopes=["openid"], audiences=["x"], now=now)


def seconds(delta):
    return delta.total_seconds()


def gap(step, now=NOW):
    return seconds(step.authorization.next_poll_at - now)


def test_begin_returns_first_state():
    state, warnings = begin()
    assert warnings == []
    assert (state.client_sid, state.scopes, state.audiences, state.device_code) == ("OQ1", ("openid",), ("x",), "d")
    assert (state.interval, state.faults, state.answer_lost) == (5.0, 0, False)
    assert seconds(state.expires_at - NOW) == 300
    assert seconds(state.next_poll_at - NOW) == pytest.approx(5.05)


@pytest.mark.parametrize(
    ("interval", "used", "warns"),
    [(None, 5, False), (0.0, 5, True), (-3.0, 5, True), (5.5, 5.5, False), (1.0, 1, False), (0.2, 1, True)],
)
def test_begin_replaces_unusable_interval_and_warns(interval, used, warns):
    state, warnings = begin(interval=interval)
    assert state.interval == used
    assert bool(warnings) is warns


@pytest.mark.parametrize(
    ("expires_in", "lifetime", "warns"),
    [(299.0, 299, False), (None, 900, True), (0.0, 0, False), (-5.0, 0, False), (1e12, 86_400, True)],
)
def test_begin_limits_lifetime_and_warns(expires_in, lifetime, warns):
    state, warnings = begin(expires_in=expires_in)
    assert seconds(state.expires_at - NOW) == lifetime
    assert bool(warnings) is warns
    if lifetime == 0:
        assert polling.seconds_to_poll(state, NOW) is None


@pytest.mark.parametrize(("expires_in", "first"), [(60.0, 58), (3.0, 1.5)])
def test_begin_with_interval_longer_than_lifetime_polls_once_before_expiry(expires_in, first):
    state, warnings = begin(expires_in=expires_in, interval=3600.0)
    assert len(warnings) == 1
    assert polling.seconds_to_poll(state, NOW) == first
    then = NOW + timedelta(seconds=first)
    step = polling.advance(state, PENDING, then)
    assert polling.seconds_to_poll(step.authorization, then) is None


def test_advance_adds_margin_for_a_fast_clock():
    # For a clock that is 1 % fast, 5.05 s pass while 5.0 s pass for the server.
    assert gap(polling.advance(begin()[0], PENDING, NOW)) / 1.01 >= 5
    assert gap(polling.advance(begin(interval=1.0)[0], PENDING, NOW)) == pytest.approx(1.05)
    assert gap(polling.advance(begin(interval=60.0)[0], PENDING, NOW)) == pytest.approx(60.6)


def test_seconds_to_poll_until_expiry():
    state = begin()[0]
    assert polling.seconds_to_poll(state, NOW) == pytest.approx(5.05)
    assert polling.seconds_to_poll(state, state.next_poll_at) == 0
    assert polling.seconds_to_poll(state, state.expires_at - timedelta(microseconds=1)) == 0
    assert polling.seconds_to_poll(state, state.expires_at) is None
    assert polling.seconds_to_poll(state, state.expires_at + timedelta(days=9)) is None
    late = attrs.evolve(state, next_poll_at=state.expires_at)
    assert polling.seconds_to_poll(late, NOW) is None


@pytest.mark.parametrize(
    ("polled_until", "next_poll"),
    [
        pytest.param(-60, 5.05, id="released before the next poll was due: time as stored"),
        pytest.param(2, 7.05, id="one interval after the last possible poll"),
        pytest.param(290, 295.05, id="one interval later is just before expiry"),
        pytest.param(296, 301.05, id="one interval later is after expiry: no further poll"),
        pytest.param(4000, 4005.05, id="lease ends after expiry"),
    ],
)
def test_taken_up_schedules_poll_one_interval_later(polled_until, next_poll):
    state, _ = begin()
    later = polling.resume(state, NOW + timedelta(seconds=polled_until))
    assert seconds(later.next_poll_at - NOW) == pytest.approx(next_poll)
    assert attrs.evolve(later, next_poll_at=state.next_poll_at) == state


def test_advance_with_token_returns_approved():
    assert polling.advance(begin()[0], TOKEN, NOW) == polling.Approved(TOKEN)


def test_advance_with_pending_keeps_interval_and_resets_faults():
    state = attrs.evolve(begin()[0], faults=3, answer_lost=True, interval=10.0)
    step = polling.advance(state, PENDING, NOW)
    assert type(step) is polling.Pending
    assert (step.authorization.faults, step.authorization.answer_lost, step.authorization.interval) == (0, False, 10.0)


def test_advance_with_slow_down_adds_five_seconds_to_all_later_polls():
    state = begin()[0]
    for expected in (10, 15, 20):
        step = polling.advance(state, SLOW_DOWN, NOW)
        assert type(step) is polling.SlowedDown
        state = step.authorization
        assert state.interval == expected
        assert gap(step) >= expected
    assert polling.advance(state, PENDING, NOW).authorization.interval == 20


@pytest.mark.parametrize(
    "outcome",
    [
        errors.TransportError("x"),
        errors.AnswerLostError("x"),
        UNREADABLE,
        errors.ProtocolError("x", status=200),
        errors.RateLimitedError(status=429),
        errors.ServerError(status=500),
        errors.ApiError(status=408),
    ],
)
def test_advance_with_transient_error_doubles_wait_up_to_limit(outcome):
    state, gaps = begin()[0], []
    for faults in range(1, 8):
        step = polling.advance(state, outcome, NOW)
        assert type(step) is polling.Unreachable
        assert step.error is outcome
        state = step.authorization
        assert state.faults == faults
        assert state.interval == 5
        gaps.append(gap(step))
    assert gaps == pytest.approx([10.1, 20.2, 40.4, 60.6, 60.6, 60.6, 60.6])
    assert gap(polling.advance(state, PENDING, NOW)) == pytest.approx(5.05)


def test_advance_with_transient_error_waits_at_least_the_interval():
    step = polling.advance(begin(expires_in=900.0, interval=120.0)[0], UNREADABLE, NOW)
    assert gap(step) >= 120


def test_advance_with_a_million_faults_waits_the_maximum():
    state = attrs.evolve(begin(expires_in=86_400.0)[0], faults=10**6)
    assert gap(polling.advance(state, UNREADABLE, NOW)) == pytest.approx(60.6)


@pytest.mark.parametrize(("retry_after", "expected"), [(3.0, 5.05), (30.0, 30.3)])
@pytest.mark.parametrize("kind", [errors.RateLimitedError, errors.ServerError, errors.AuthorizationPendingError])
def test_advance_waits_for_retry_after_but_at_least_the_interval(kind, retry_after, expected):
    step = polling.advance(begin()[0], kind(status=503, retry_after=retry_after), NOW)
    assert gap(step) == pytest.approx(expected)


@pytest.mark.parametrize(
    "outcome",
    [
        errors.AccessDeniedError(status=400, error="access_denied"),
        errors.DeviceCodeExpiredError(status=400, error="expired_token"),
        errors.InvalidGrantError(status=400),
        errors.InvalidClientError(status=401),
        errors.ApiError(status=400, error="foo"),
        errors.ApiError(status=403),
        errors.ApiError(status=404),
    ],
)
def test_advance_with_any_other_error_ends_the_flow(outcome):
    assert polling.advance(begin()[0], outcome, NOW) is outcome


@pytest.mark.parametrize(
    ("error", "answer_lost"),
    [
        (errors.AnswerLostError("x"), True),
        (errors.ProtocolError("x", status=201), True),
        (errors.ServerError(status=502), True),
        (errors.ApiError(status=408), True),
        (errors.TransportError("not sent"), False),
        (errors.RateLimitedError(status=429), False),
    ],
)
def test_advance_with_invalid_grant_after_lost_response_reports_the_loss(error, answer_lost):
    state = polling.advance(begin()[0], error, NOW).authorization
    assert state.answer_lost is answer_lost
    ended = polling.advance(state, errors.InvalidGrantError(status=400), NOW)
    assert type(ended) is (errors.AnswerLostError if answer_lost else errors.InvalidGrantError)
    again = polling.advance(state, errors.RateLimitedError(status=429), NOW).authorization
    assert again.answer_lost is answer_lost


def test_advance_with_slow_down_keeps_the_mark_of_a_lost_response():
    lost = polling.advance(begin()[0], errors.AnswerLostError("x"), NOW).authorization
    slowed = polling.advance(lost, SLOW_DOWN, NOW).authorization
    assert (slowed.faults, slowed.answer_lost) == (0, True)
    assert type(polling.advance(slowed, errors.InvalidGrantError(status=400), NOW)) is errors.AnswerLostError
    assert polling.advance(slowed, PENDING, NOW).authorization.answer_lost is False


def test_expired_returns_error_without_status():
    error = polling.expired()
    assert error.status is None
    assert "expired" in str(error)


retry_afters = st.none() | st.floats(0, 86_400)
outcomes = st.one_of(
    st.just(TOKEN),
    st.just(UNREADABLE),
    st.just(errors.TransportError("x")),
    st.just(errors.AnswerLostError("x")),
    st.just(errors.AccessDeniedError(status=400)),
    st.just(errors.InvalidGrantError(status=400)),
    st.builds(lambda s: errors.AuthorizationPendingError(status=400, retry_after=s), retry_afters),
    st.builds(lambda s: errors.SlowDownError(status=400, retry_after=s), retry_afters),
    st.builds(lambda s: errors.RateLimitedError(status=429, retry_after=s), retry_afters),
    st.builds(lambda s: errors.ServerError(status=503, retry_after=s), retry_afters),
)


@given(
    expires_in=st.none() | st.floats(-10, 600),
    interval=st.none() | st.floats(-10, 0) | st.floats(1, 1e5),
    script=st.lists(st.tuples(outcomes, st.floats(0, 40)), max_size=30),
    last=outcomes,
)
def test_any_sequence_of_outcomes_keeps_the_interval_and_ends_before_expiry(expires_in, interval, script, last):
    """`script` pairs each outcome with the seconds that its request takes. After its end, `last` is repeated."""
    state, _ = begin(expires_in, interval)
    now, received_at, required, polls = NOW, None, state.interval, 0
    while True:
        wait = polling.seconds_to_poll(state, now)
        if wait is None:
            break
        now += timedelta(seconds=wait)
        assert now < state.expires_at
        if received_at is not None:
            assert seconds(now - received_at) >= required
        outcome, took = script[polls] if polls < len(script) else (last, 0.0)
        polls += 1
        now += timedelta(seconds=took)
        step = polling.advance(state, outcome, now)
        if isinstance(step, (polling.Approved, errors.TwilioOAuthError)):
            break
        assert step.authorization.interval >= state.interval
        assert step.authorization.expires_at == state.expires_at
        state, received_at, required = step.authorization, now, step.authorization.interval
        # The number of polls is limited even if the server never decides, so every run ends.
        assert polls <= polling.DEFAULT_LIFETIME


def test_state_after_a_poll_keeps_every_other_field():
    """The next state is built field by field: a field that is added to the class must be kept as well."""
    fields = {field.name for field in attrs.fields(DeviceAuthorization)}
    values = {name: f"https://example.com/{name}" for name in fields} | {
        "interval": 5.0,
        "expires_at": NOW + timedelta(hours=1),
        "next_poll_at": NOW,
        "faults": 2,
        "answer_lost": True,
    }
    state = DeviceAuthorization(**values)
    step = polling.advance(state, errors.AuthorizationPendingError(status=400), NOW)
    changes = {"next_poll_at": step.authorization.next_poll_at, "faults": 0, "answer_lost": False}
    assert step.authorization == attrs.evolve(state, **changes)
    step = polling.advance(state, errors.ServerError(status=500), NOW)
    assert step.authorization == attrs.evolve(state, next_poll_at=step.authorization.next_poll_at, faults=3)
