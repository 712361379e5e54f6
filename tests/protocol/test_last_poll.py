"""The end of polling (fault 51): the last poll before expiry, and the cause of the end."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from twilio_oauth_async import errors
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.protocol.models import DeviceCode, Token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOST = errors.AnswerLostError("lost")
PENDING = errors.AuthorizationPendingError(status=400)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def state(expires=100.0, interval=5.0, **changes):
    """Return the state of a code that is valid for `expires` seconds."""
    code = DeviceCode(
        device_code="d", user_code="u", verification_uri="https://e", expires_in=expires, interval=interval
    )
    first, _ = polling.begin(code, client_sid="OQ1", scopes=["openid"], audiences=[], now=NOW)
    return attrs.evolve(first, **changes)


def next_poll(step):
    return (step.authorization.next_poll_at - NOW).total_seconds()


@pytest.mark.parametrize(
    ("now", "faults", "expected"),
    [
        pytest.param(50, 0, 60.1, id="the back-off ends before expiry"),
        pytest.param(50, 5, 98, id="the back-off ends after expiry: a last poll before it"),
        pytest.param(90, 5, 98, id="a last poll before expiry"),
        pytest.param(94, 5, 99.05, id="one interval later is after the usual time of the last poll, and before expiry"),
    ],
)
def test_51_back_off_leaves_time_for_a_last_poll(now, faults, expected):
    step = polling.advance(state(faults=faults), LOST, at(now))
    assert next_poll(step) == pytest.approx(expected)


@pytest.mark.parametrize("now", [95, 98, 99.9])
def test_51_last_poll_is_never_earlier_than_one_interval_after_the_one_before(now):
    step = polling.advance(state(faults=5), LOST, at(now))
    assert polling.seconds_to_poll(step.authorization, at(now)) is None
    assert next_poll(step) >= now + 5


@pytest.mark.parametrize("kind", [errors.RateLimitedError, errors.ServerError])
def test_51_retry_after_beyond_expiry_ends_the_flow_with_the_response(kind):
    error = kind(status=503, retry_after=60.0)
    assert polling.advance(state(), error, at(50)) is error
    assert type(polling.advance(state(), error, at(30))) is polling.Unreachable


def test_51_token_that_arrives_after_expiry_is_accepted():
    token = Token(access_token="a")
    assert polling.advance(state(), token, at(120)) == polling.Approved(token)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        pytest.param(PENDING, "before the user approved it", id="pending"),
        pytest.param(LOST, "while the server could not be reached", id="unreachable"),
    ],
)
def test_51_end_names_its_cause(outcome, text):
    step = polling.advance(state(), outcome, at(96))
    error = polling.expired(step.authorization)
    assert type(error) is errors.DeviceCodeExpiredError
    assert text in str(error)


@pytest.mark.parametrize("code", ["temporarily_unavailable", "server_error"])
def test_temporary_code_with_status_400_does_not_end_the_flow(code):
    step = polling.advance(state(), errors.ApiError(status=400, error=code), at(10))
    assert type(step) is polling.Unreachable


@pytest.mark.parametrize(("sent", "expected"), [(None, 10), (7.0, 10), (12.0, 12)])
def test_interval_of_a_slow_down_response_counts_where_it_is_longer(sent, expected):
    error = errors.SlowDownError(status=400)
    error.interval = sent
    assert polling.advance(state(), error, NOW).authorization.interval == expected


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_52_spread_delays_the_first_poll_and_the_first_after_taking_up(spread):
    code = DeviceCode(device_code="d", user_code="u", verification_uri="https://e", expires_in=600.0, interval=10.0)
    first, _ = polling.begin(code, client_sid="OQ1", scopes=["openid"], audiences=[], now=NOW, spread=spread)
    assert (first.next_poll_at - NOW).total_seconds() == pytest.approx(10.1 + spread)
    resumed = polling.resume(first, at(20), spread)
    assert (resumed.next_poll_at - NOW).total_seconds() == pytest.approx(30.1 + spread)
