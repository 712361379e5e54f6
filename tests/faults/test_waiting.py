"""Rows 10 to 14, 18 and rule 36: when the next request is sent."""

from datetime import timedelta
from email.utils import format_datetime

import pytest

from tests.helpers.calls import REPEATABLE
from tests.helpers.raw_server import RawServer, http
from tests.helpers.scripted_flow import CODE, PENDING, SLOW_DOWN, TOKEN, ScriptedFlow
from twilio_oauth_async import ApiError, DeviceCodeExpiredError, OAuthSession, RateLimitedError, VirtualClock
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
@pytest.mark.parametrize("name", REPEATABLE)
async def test_retry_after_is_waited_for(name, retry_after, status):
    call, good = REPEATABLE[name]
    clock = VirtualClock()
    async with RawServer(http(status, b"", None, Retry_After=retry_after), good) as server:
        async with OAuthSession(base_url=server.base_url, clock=clock) as session:
            await call(session)
    assert clock.monotonic() == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("retry_after", "gap"), [("3", 5.05), ("20", 20.2), (http_date(25.05), 20.2)])
async def test_a_poll_waits_for_retry_after_but_never_less_than_the_interval(retry_after, gap, status):
    async with ScriptedFlow(http(status, b"", None, Retry_After=retry_after), TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps[1] == pytest.approx(gap, abs=1)
        assert setup.gaps[1] >= 5


@pytest.mark.asyncio
@pytest.mark.parametrize("retry_after", ["-3", "soon", "1000000000", "", "Thu, 99 Foo"])
async def test_a_senseless_retry_after_leaves_the_own_back_off(retry_after):
    async with ScriptedFlow(http(503, b"", None, Retry_After=retry_after), TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1])
    clock = VirtualClock()
    async with RawServer(http(503, b"", None, Retry_After=retry_after), REPEATABLE["certs"][1]) as server:
        async with OAuthSession(base_url=server.base_url, clock=clock) as session:
            await session.fetch_certs()
    assert clock.monotonic() == NO_JITTER


@pytest.mark.asyncio
async def test_a_retry_after_past_the_deadline_fails_now():
    clock = VirtualClock()
    async with RawServer(http(429, b"", None, Retry_After="3000")) as server:
        async with OAuthSession(base_url=server.base_url, clock=clock) as session:
            with pytest.raises(RateLimitedError) as caught:
                await session.fetch_certs()
    assert caught.value.retry_after == 3000
    assert clock.monotonic() == 0
    async with ScriptedFlow(http(429, b"", None, Retry_After="3000"), TOKEN) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert setup.clock.monotonic() == pytest.approx(5.05)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [500, 502])
async def test_a_server_error_makes_a_poll_slower(status):
    async with ScriptedFlow(http(status, b""), http(status, b"<html>", "text/html"), PENDING, TOKEN) as setup:
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
async def test_every_interval_a_server_may_name(interval, gap, warnings, caplog):
    code = {**CODE, "interval": interval}
    if interval == "absent":
        del code["interval"]
    async with ScriptedFlow(PENDING, TOKEN, code=code) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([gap, gap], rel=0.001)
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == warnings


@pytest.mark.asyncio
async def test_an_interval_longer_than_the_lifetime_gives_one_poll(caplog):
    async with ScriptedFlow(PENDING, TOKEN, code={**CODE, "interval": 3600, "expires_in": 60}) as setup:
        with pytest.raises(DeviceCodeExpiredError):
            await setup.flow.run()
        assert setup.times == [58]
    assert "single poll" in caplog.text


@pytest.mark.asyncio
async def test_an_interval_that_later_decreases_is_ignored():
    smaller = http(400, {"error": "slow_down", "interval": 1})
    async with ScriptedFlow(smaller, http(400, {"error": "authorization_pending", "interval": 1}), TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1, 10.1])


@pytest.mark.asyncio
async def test_a_storm_of_slow_down_ends_at_expiry():
    async with ScriptedFlow(SLOW_DOWN, code={**CODE, "expires_in": 3600}) as setup:
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
async def test_pending_in_every_plausible_dialect(body, status):
    async with ScriptedFlow(http(status, body), TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05])


@pytest.mark.asyncio
async def test_a_code_inside_a_5xx_is_not_believed():
    async with ScriptedFlow(http(500, {"error": "access_denied"}), TOKEN) as setup:
        await setup.flow.run()
        assert len(setup.times) == 2
    async with ScriptedFlow(http(400, {"error": "access_denied"}), TOKEN) as setup:
        with pytest.raises(ApiError):
            await setup.flow.run()
