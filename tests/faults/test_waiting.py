"""Faults 10 to 14 and 18, and rule 36 (docs/reliability.md): when the next request is sent."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from tests.helpers.client_requests import RETRIED
from tests.helpers.raw_server import http
from tests.helpers.scripted_server import CODE_BODY, PENDING, SLOW_DOWN, TOKEN, scripted, scripted_device_flow
from twilio_oauth_async import ApiError, DeviceCodeExpiredError, RateLimitedError, VirtualClock
from twilio_oauth_async.client import retry as retry_module

NO_JITTER = 0.0
START = VirtualClock().now()


def http_date(seconds):
    return format_datetime(START + timedelta(seconds=seconds), usegmt=True)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr(retry_module.random, "uniform", lambda low, high: NO_JITTER)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("retry_after", ["3", http_date(3)])
@pytest.mark.parametrize("name", RETRIED)
async def test_retry_after_delays_the_retry(name, retry_after, status):
    call, success = RETRIED[name]
    async with scripted(http(status, b"", None, Retry_After=retry_after), success) as (_, session):
        await call(session)
        assert session.clock.monotonic() == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("retry_after", "gap"), [("3", 5.05), ("20", 20.2), (http_date(25.05), 20.2)])
async def test_retry_after_delays_a_poll_beyond_the_interval(retry_after, gap, status):
    async with scripted_device_flow(http(status, b"", None, Retry_After=retry_after), TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps[1] == pytest.approx(gap, abs=1)
        assert setup.gaps[1] >= 5


@pytest.mark.asyncio
@pytest.mark.parametrize("retry_after", ["-3", "soon", "1000000000", "", "Thu, 99 Foo"])
async def test_invalid_retry_after_is_ignored(retry_after):
    async with scripted_device_flow(http(503, b"", None, Retry_After=retry_after), TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1])
    async with scripted(http(503, b"", None, Retry_After=retry_after), RETRIED["certs"][1]) as (_, session):
        await session.fetch_certs()
        assert session.clock.monotonic() == NO_JITTER


@pytest.mark.asyncio
async def test_retry_after_beyond_the_time_limit_fails_at_once():
    async with scripted(http(429, b"", None, Retry_After="3000")) as (_, session):
        with pytest.raises(RateLimitedError) as caught:
            await session.fetch_certs()
        assert caught.value.retry_after == 3000
        assert session.clock.monotonic() == 0
    async with scripted_device_flow(http(429, b"", None, Retry_After="3000"), TOKEN) as setup:
        with pytest.raises(RateLimitedError) as caught:
            await setup.flow.run()
        assert caught.value.retry_after == 3000
        assert setup.clock.monotonic() == pytest.approx(5.05)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [500, 502])
async def test_server_error_doubles_the_wait_before_the_next_poll(status):
    async with scripted_device_flow(http(status, b""), http(status, b"<html>", "text/html"), PENDING, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1, 20.2, 5.05])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("interval", "gap", "warnings"),
    [
        (None, 5.05, 0),
        ("absent", 5.05, 0),
        (0, 5.05, 1),
        (-1, 5.05, 1),
        (True, 5.05, 1),
        ("5", 5.05, 0),
        (5.5, 5.555, 0),
        (30, 30.3, 0),
    ],
)
async def test_poll_interval_valid_invalid_or_absent(interval, gap, warnings, caplog):
    code = {**CODE_BODY, "interval": interval}
    if interval == "absent":
        del code["interval"]
    async with scripted_device_flow(PENDING, TOKEN, code=code) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([gap, gap], rel=0.001)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == warnings


@pytest.mark.asyncio
async def test_interval_longer_than_the_code_lifetime_gives_one_poll(caplog):
    async with scripted_device_flow(PENDING, TOKEN, code={**CODE_BODY, "interval": 3600, "expires_in": 60}) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert setup.times == [58]
    assert "polling once" in caplog.text


@pytest.mark.asyncio
async def test_smaller_interval_in_a_later_response_is_ignored():
    slow_down, pending = (http(400, {"error": e, "interval": 1}) for e in ("slow_down", "authorization_pending"))
    async with scripted_device_flow(slow_down, pending, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1, 10.1])


@pytest.mark.asyncio
async def test_endless_slow_down_ends_at_expiry():
    async with scripted_device_flow(SLOW_DOWN, code={**CODE_BODY, "expires_in": 3600}) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert all(later > earlier for earlier, later in zip(setup.gaps, setup.gaps[1:], strict=False))
        assert setup.clock.monotonic() < 3600


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [200, 201, 400, 401, 403, 429])
@pytest.mark.parametrize(
    "body",
    [
        {"error": "authorization_pending"},
        {"code": 20001, "message": "authorization_pending", "status": 400},
        {"code": "authorization_pending", "message": "wait"},
        {"title": "Bad Request", "detail": "authorization_pending", "status": 400},
        {"errors": [{"code": "authorization_pending", "message": "wait"}]},
    ],
)
async def test_authorization_pending_in_each_error_format_continues_polling(body, status):
    async with scripted_device_flow(http(status, body), TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05])


@pytest.mark.asyncio
async def test_error_code_in_a_5xx_response_does_not_end_the_flow():
    async with scripted_device_flow(http(500, {"error": "access_denied"}), TOKEN) as setup:
        await setup.flow.run()
        assert len(setup.times) == 2
    async with scripted_device_flow(http(400, {"error": "access_denied"}), TOKEN) as setup:
        with pytest.raises(ApiError):
            await setup.flow.run()
