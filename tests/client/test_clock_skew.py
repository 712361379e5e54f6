"""`OAuthSession.clock_skew`: measured on token responses, and used for the dates in responses."""

from datetime import timedelta

import pytest

from tests.helpers.raw_server import http
from tests.helpers.scripted_server import CODE_BODY, scripted
from tests.helpers.wrong_clock import emulated_with_wrong_clock
from twilio_oauth_async import IdTokenError, OAuthSession, ProtocolError, RateLimitedError, TwilioOAuthError
from twilio_oauth_async.emulator.messages.response_formats import http_date

pytestmark = pytest.mark.asyncio

BODY = {"access_token": "a"}


def dated(session, seconds, status=201, body=BODY, **headers):
    """Return a response whose ``Date`` differs from the clock of `session` by `seconds`."""
    return http(status, body, Date=http_date(session.clock.now() + timedelta(seconds=seconds)), **headers)


async def poll(session):
    """Send a token request; return the error if there is one."""
    try:
        return await session.create_token(grant_type="g", client_sid="OQ1", device_code="d")
    except TwilioOAuthError as error:
        return error


async def test_clock_skew_is_zero_until_a_token_response():
    assert OAuthSession().clock_skew == 0.0
    async with scripted() as (server, session):
        responses = [(200, {"keys": []}), (201, CODE_BODY), (200, {"email": "ada@example.com"})]
        server.responses += [dated(session, 3600, *response) for response in responses]
        await session.fetch_certs()
        await session.create_device_code(client_sid="OQ1", scopes=["openid"])
        await session.fetch_user_info()
        assert session.clock_skew == 0.0


@pytest.mark.parametrize(
    ("status", "body"),
    [(201, BODY), (400, {"error": "authorization_pending"}), (503, b""), (200, b"not JSON")],
)
async def test_clock_skew_is_measured_on_token_responses_of_every_kind(status, body):
    async with scripted() as (server, session):
        server.responses.append(dated(session, 3600, status, body))
        await poll(session)
        assert session.clock_skew == 3600


async def test_clock_skew_is_measured_on_v2_token_responses():
    async with scripted() as (server, session):
        server.responses.append(dated(session, -3600))
        await session.create_token_v2(grant_type="client_credentials", client_id="OQ1", client_secret="s")
        assert session.clock_skew == -3599


async def test_clock_skew_is_kept_after_a_response_without_usable_date():
    async with scripted() as (server, session):
        server.responses += [
            dated(session, 3600),
            http(201, BODY),
            http(201, BODY, Date="yesterday"),
            dated(session, 7200, Age="0"),
            dated(session, 0),
        ]
        for expected in (3600, 3600, 3600, 3600, 0):
            await poll(session)
            assert session.clock_skew == expected


async def test_token_dates_are_local_and_expires_in_is_counted_from_receipt():
    async with scripted() as (server, session):
        now = session.clock.now()
        expiry = now + timedelta(hours=3)
        body = {**BODY, "access_token_expires_at": expiry.isoformat(), "refresh_token_expires_in": 600}
        server.responses.append(dated(session, 7200, 201, body))
        token = await poll(session)
        assert token.access_token_expires_at == now + timedelta(hours=1)
        assert token.refresh_token_expires_at == now + timedelta(seconds=600)


async def test_retry_after_as_a_date_is_compared_with_the_time_of_the_server():
    async with scripted() as (server, session):
        retry_at = http_date(session.clock.now() + timedelta(seconds=3630))
        server.responses.append(dated(session, 3600, 429, b"", Retry_After=retry_at))
        error = await poll(session)
        assert isinstance(error, RateLimitedError)
        assert error.retry_after == 30


async def test_date_at_the_end_of_the_calendar_raises_nothing_unexpected():
    async with scripted() as (server, session):
        body = {**BODY, "access_token_expires_at": "2026-01-01T01:00:00Z"}
        for date in ("Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0101 00:00:00 GMT"):
            server.responses[:] = [http(201, body, Date=date), http(200, b"")]
            server.requests.clear()
            assert (await poll(session)).access_token == "a"
            session.clock.advance(10)
            assert isinstance(await poll(session), ProtocolError)


@pytest.mark.parametrize("hours", [-30, -2, 2, 30])
async def test_id_token_is_verified_with_the_time_of_the_server(hours):
    async with emulated_with_wrong_clock(hours * 3600) as world:
        token, verifier = await world.flow.run(), world.verifier()
        assert (await verifier.verify(token.id_token)).sub == world.emulator.user.sid
        world.clock.advance(3600 - 10)
        await verifier.verify(token.id_token)
        world.clock.advance(80)
        with pytest.raises(IdTokenError, match="expired"):
            await verifier.verify(token.id_token)
