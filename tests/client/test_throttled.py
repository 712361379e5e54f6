"""Twilio's v2 says in a member of an error when requests are allowed again, whatever the status."""

from datetime import datetime, timedelta

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import InvalidGrantError, RateLimitedError, ServerError
from twilio_oauth_async.protocol.error_responses import read_error
from twilio_oauth_async.protocol.messages import Context, Response
from twilio_oauth_async.tokens.failures import request_failed
from twilio_oauth_async.tokens.state import Kind


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 403, 429])
async def test_get_is_sent_again_at_that_time(status):
    async with emulated() as world:
        until = world.clock.now() + timedelta(seconds=7)
        world.emulator.faults.on("certs").throttle(until, status=status)
        await world.session.fetch_certs()
        assert 7 <= world.clock.monotonic() < 12
        assert len(world.emulator.requests) == 2


@pytest.mark.asyncio
async def test_token_request_raises_when_it_may_be_sent_again_and_is_not_repeated():
    async with emulated() as world:
        grant = world.client_credentials()
        world.emulator.faults.on("token").throttle(world.clock.now() + timedelta(seconds=90))
        with pytest.raises(RateLimitedError) as caught:
            await grant.obtain()
        assert (caught.value.status, caught.value.retry_after) == (400, 90)
        assert request_failed(caught.value, None).kind is Kind.UNPROCESSED
        assert len(world.emulator.requests) == 1


@pytest.mark.asyncio
async def test_manager_uses_the_valid_token_and_refreshes_later():
    async with emulated(auto=False) as world:
        manager = world.manager(flow=world.client_credentials())
        first = await manager.token()
        world.clock.advance(3600)
        world.emulator.faults.on("token").throttle(world.clock.now() + timedelta(seconds=90))
        with pytest.raises(RateLimitedError):
            await manager.token()
        world.clock.advance(89)
        with pytest.raises(RateLimitedError):
            await manager.token()
        world.clock.advance(1)
        assert (await manager.token()).access_token != first.access_token
        assert len(world.emulator.requests) == 3


@pytest.mark.asyncio
async def test_poll_waits_until_then():
    async with emulated() as world:
        world.emulator.faults.on("poll").throttle(world.clock.now() + timedelta(seconds=40))
        assert (await world.flow.run()).access_token
        first, second = world.emulator.requests.to("poll")
        assert second.received_at >= 40 > first.received_at


NOW = "2026-01-01T00:00:00Z"
LATER = '"throttled_until":"2026-01-01T00:01:30Z"'


@pytest.mark.parametrize(
    ("status", "body", "header", "kind", "retry_after"),
    [
        pytest.param(400, LATER, None, RateLimitedError, 90, id="v2"),
        pytest.param(400, '"code":20001,' + LATER, None, RateLimitedError, 90, id="code"),
        pytest.param(
            400,
            '"error":"invalid_grant",' + LATER,
            None,
            RateLimitedError,
            90,
            id="error",
        ),
        pytest.param(400, LATER, "120", RateLimitedError, 120, id="header later"),
        pytest.param(400, LATER, "5", RateLimitedError, 90, id="header earlier"),
        pytest.param(400, '"throttled_until":"2025-12-31T00:00:00Z"', None, RateLimitedError, 0, id="over"),
        pytest.param(503, LATER, None, ServerError, 90, id="5xx"),
        pytest.param(
            400, '"error":"invalid_grant","throttled_until":"soon"', None, InvalidGrantError, None, id="no date"
        ),
        pytest.param(400, '"error":"invalid_grant","throttled_until":null', None, InvalidGrantError, None, id="null"),
        pytest.param(400, '"error":"invalid_grant","throttled_until":90', None, InvalidGrantError, None, id="number"),
        pytest.param(
            400,
            '"error":"invalid_grant","throttled_until":"2036-01-01T00:00:00Z"',
            None,
            InvalidGrantError,
            None,
            id="years",
        ),
    ],
)
def test_error_with_throttled_until(status, body, header, kind, retry_after):
    headers = {} if header is None else {"Retry-After": header}
    response = Response(status=status, headers=headers, body=("{" + body + "}").encode())
    error = read_error(response, Context(now=datetime.fromisoformat(NOW), base_url=""))
    assert (type(error), error.retry_after) == (kind, retry_after)


def test_it_is_read_in_the_time_of_the_server():
    response = Response(status=400, headers={}, body=b'{"throttled_until":"2026-01-01T00:01:30Z"}')
    error = read_error(response, Context(now=datetime.fromisoformat(NOW), clock_skew=60.0, base_url=""))
    assert error.retry_after == 30
