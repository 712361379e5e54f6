import pytest

from twilio_oauth_async import ConfigurationError, RetryPolicy, VirtualClock
from twilio_oauth_async.client import retry as retry_module
from twilio_oauth_async.client.retry import Attempt, send_with_retry


@pytest.fixture
def jitter(monkeypatch):
    """The bounds that were asked for; the greatest wait is what comes out."""
    asked = []

    def uniform(low, high):
        asked.append((low, high))
        return high

    monkeypatch.setattr(retry_module.random, "uniform", uniform)
    return asked


def script(*attempts):
    left = list(attempts)

    async def send():
        return left.pop(0)

    return send, left


@pytest.mark.asyncio
async def test_a_first_success_never_enters_backoff(monkeypatch):
    monkeypatch.setattr(retry_module.backoff, "on_exception", None)
    send, left = script(Attempt("done", again=False), Attempt("not reached", again=False))
    assert await send_with_retry(send, RetryPolicy(), VirtualClock(), 30) == (Attempt("done", again=False), 1)
    assert len(left) == 1


@pytest.mark.asyncio
async def test_waits_double_up_to_the_cap_with_full_jitter(jitter):
    clock, failed = VirtualClock(), Attempt("failed", again=True)
    send, left = script(*[failed] * 5, Attempt("done", again=False))
    policy = RetryPolicy(attempts=6, base=1, cap=4)
    assert await send_with_retry(send, policy, clock, 1000) == (Attempt("done", again=False), 6)
    assert jitter == [(0, 1), (0, 2), (0, 4), (0, 4), (0, 4)]
    assert clock.monotonic() == 15
    assert left == []


@pytest.mark.asyncio
async def test_retry_after_is_a_floor_under_the_jitter(jitter):
    clock = VirtualClock()
    send, _ = script(Attempt("busy", again=True, retry_after=3.0), Attempt("done", again=False))
    await send_with_retry(send, RetryPolicy(base=0.5), clock, 1000)
    assert clock.monotonic() == 3.5


@pytest.mark.asyncio
async def test_attempts_are_counted_whole(jitter):
    failed = Attempt("failed", again=True)
    for attempts in (1, 2, 4):
        send, left = script(*[failed] * 10)
        assert await send_with_retry(send, RetryPolicy(attempts=attempts), VirtualClock(), 1000) == (failed, attempts)
        assert len(left) == 10 - attempts


@pytest.mark.asyncio
async def test_a_wait_past_the_deadline_is_not_begun(jitter):
    clock = VirtualClock()
    failed = Attempt("busy", again=True, retry_after=60.0)
    send, left = script(failed, failed)
    assert await send_with_retry(send, RetryPolicy(), clock, 30) == (failed, 1)
    assert clock.monotonic() == 0
    assert len(left) == 1


@pytest.mark.asyncio
async def test_backoff_is_handed_nothing_of_the_answer(monkeypatch, caplog):
    details = []
    original = retry_module.backoff.on_exception

    def spy(*args, on_backoff, **options):
        assert options["logger"] is None
        assert options["jitter"] is None

        async def handler(given):
            details.append(repr(given) + repr(vars(given["exception"])))
            await on_backoff(given)

        return original(*args, on_backoff=handler, **options)

    monkeypatch.setattr(retry_module.backoff, "on_exception", spy)
    send, _ = script(Attempt("s3cr3t", again=True), Attempt("s3cr3t", again=False))
    with caplog.at_level(0):
        await send_with_retry(send, RetryPolicy(), VirtualClock(), 30)
    assert len(details) == 1
    assert "s3cr3t" not in details[0] + caplog.text


def test_policies():
    assert RetryPolicy.none().attempts == 1
    assert RetryPolicy() == RetryPolicy(attempts=4, base=0.2, cap=5.0)
    for wrong in ({"attempts": 0}, {"base": 0}, {"base": -1}, {"base": float("nan")}, {"cap": 0.1}):
        with pytest.raises(ConfigurationError):
            RetryPolicy(**wrong)


def test_waits_stay_finite_after_many_failures():
    assert 0 <= RetryPolicy().wait(10**6, None) <= 5
