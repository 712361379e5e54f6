import pytest

from twilio_oauth_async import ConfigurationError, RetryPolicy, VirtualClock
from twilio_oauth_async.client import retry as retry_module
from twilio_oauth_async.client.retry import Attempt, send_with_retry


@pytest.fixture
def jitter(monkeypatch):
    """Replace the random jitter by its maximum; return the list of the requested bounds."""
    bounds = []

    def uniform(low, high):
        bounds.append((low, high))
        return high

    monkeypatch.setattr(retry_module.random, "uniform", uniform)
    return bounds


def script(*attempts):
    """Return a function that returns `attempts` one after the other, and the list of those not returned yet."""
    remaining = list(attempts)

    async def send():
        return remaining.pop(0)

    return send, remaining


@pytest.mark.asyncio
async def test_send_with_retry_first_success_does_not_call_backoff(monkeypatch):
    monkeypatch.setattr(retry_module.backoff, "on_exception", None)
    send, remaining = script(Attempt("done", retryable=False), Attempt("not reached", retryable=False))
    assert await send_with_retry(send, RetryPolicy(), VirtualClock(), 30) == (Attempt("done", retryable=False), 1)
    assert len(remaining) == 1


@pytest.mark.asyncio
async def test_send_with_retry_doubles_waits_up_to_the_cap_with_full_jitter(jitter):
    clock, failed = VirtualClock(), Attempt("failed", retryable=True)
    send, remaining = script(*[failed] * 5, Attempt("done", retryable=False))
    policy = RetryPolicy(attempts=6, base=1, cap=4)
    assert await send_with_retry(send, policy, clock, 1000) == (Attempt("done", retryable=False), 6)
    assert jitter == [(0, 1), (0, 2), (0, 4), (0, 4), (0, 4)]
    assert clock.monotonic() == 15
    assert remaining == []


@pytest.mark.asyncio
async def test_send_with_retry_adds_jitter_to_retry_after(jitter):
    clock = VirtualClock()
    send, _ = script(Attempt("busy", retryable=True, retry_after=3.0), Attempt("done", retryable=False))
    await send_with_retry(send, RetryPolicy(base=0.5), clock, 1000)
    assert clock.monotonic() == 3.5


@pytest.mark.asyncio
async def test_send_with_retry_stops_after_the_given_number_of_attempts(jitter):
    failed = Attempt("failed", retryable=True)
    for attempts in (1, 2, 4):
        send, remaining = script(*[failed] * 10)
        assert await send_with_retry(send, RetryPolicy(attempts=attempts), VirtualClock(), 1000) == (failed, attempts)
        assert len(remaining) == 10 - attempts


@pytest.mark.asyncio
async def test_send_with_retry_wait_past_the_deadline_returns_at_once(jitter):
    clock = VirtualClock()
    failed = Attempt("busy", retryable=True, retry_after=60.0)
    send, remaining = script(failed, failed)
    assert await send_with_retry(send, RetryPolicy(), clock, 30) == (failed, 1)
    assert clock.monotonic() == 0
    assert len(remaining) == 1


@pytest.mark.asyncio
async def test_send_with_retry_passes_no_part_of_the_response_to_backoff(monkeypatch, caplog):
    details = []
    original = retry_module.backoff.on_exception

    def spy(*args, on_backoff, **options):
        assert options["logger"] is None
        assert options["jitter"] is None

        async def handler(backoff_details):
            details.append(repr(backoff_details) + repr(vars(backoff_details["exception"])))
            await on_backoff(backoff_details)

        return original(*args, on_backoff=handler, **options)

    monkeypatch.setattr(retry_module.backoff, "on_exception", spy)
    send, _ = script(Attempt("secret-canary", retryable=True), Attempt("secret-canary", retryable=False))
    with caplog.at_level(0):
        await send_with_retry(send, RetryPolicy(), VirtualClock(), 30)
    assert len(details) == 1
    assert "secret-canary" not in details[0] + caplog.text


def test_retry_policy_has_defaults_and_a_form_without_retries():
    assert RetryPolicy.none().attempts == 1
    assert RetryPolicy() == RetryPolicy(attempts=4, base=0.2, cap=5.0)


@pytest.mark.parametrize(
    "arguments", [{"attempts": 0}, {"base": 0}, {"base": -1}, {"base": float("nan")}, {"cap": 0.1}]
)
def test_retry_policy_with_invalid_value_raises(arguments):
    with pytest.raises(ConfigurationError):
        RetryPolicy(**arguments)


def test_retry_policy_wait_after_many_failures_is_at_most_the_cap():
    assert 0 <= RetryPolicy().wait(10**6, None) <= 5
