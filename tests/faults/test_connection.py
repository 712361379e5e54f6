"""Faults 1 to 4 and 8 (docs/reliability.md): the network, TLS and redirects."""

import asyncio
import ssl
import time

import pytest

from tests.helpers import tls as certificates
from tests.helpers.client_requests import ALL_REQUESTS, RETRIED, SENT_ONCE
from tests.helpers.faulty_responses import COMPLETE, CUT_OFF
from tests.helpers.raw_server import RawServer, drip, http, silence
from tests.helpers.scripted_server import PENDING, TOKEN, scripted, scripted_device_flow, session_for
from twilio_oauth_async import (
    AnswerLostError,
    OAuthSession,
    ProtocolError,
    RetryPolicy,
    SystemClock,
    TransportError,
    VirtualClock,
)
from twilio_oauth_async.client import transport


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ALL_REQUESTS)
async def test_refused_connection_raises_transport_error(name):
    async with RawServer(COMPLETE) as server:
        pass
    async with session_for(server) as session:
        with pytest.raises(TransportError) as caught:
            await ALL_REQUESTS[name][0](session)
    assert type(caught.value) is TransportError
    assert caught.value.attempts == (4 if name in RETRIED else 1)


@pytest.mark.asyncio
async def test_dns_failure_is_retried_until_the_time_limit():
    clock = VirtualClock()
    async with OAuthSession(base_url="https://oauth.invalid", clock=clock, retry=RetryPolicy(attempts=50)) as session:
        with pytest.raises(TransportError, match="could not be resolved") as caught:
            await session.fetch_certs()
    assert 5 < caught.value.attempts < 50
    assert caught.value.elapsed == clock.monotonic() <= session.timeout


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", CUT_OFF)
@pytest.mark.parametrize("name", RETRIED)
async def test_lost_response_to_retried_request_is_requested_again(name, fault):
    call, success = RETRIED[name]
    async with scripted(fault, success) as (server, session):
        await call(session)
        assert len(server.requests) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", CUT_OFF)
@pytest.mark.parametrize("name", SENT_ONCE)
async def test_lost_response_to_token_request_is_reported_and_not_retried(name, fault):
    call, success = SENT_ONCE[name]
    async with scripted(fault, success) as (server, session):
        with pytest.raises(AnswerLostError):
            await call(session)
        assert len(server.requests) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", CUT_OFF)
async def test_lost_response_to_poll_is_followed_by_a_later_poll(fault):
    async with scripted_device_flow(PENDING, fault, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05, 10.1])


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [silence, drip(COMPLETE), drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100)])
@pytest.mark.parametrize("name", ["certs", "refresh"])
async def test_slow_or_silent_server_raises_transport_error_at_the_time_limit(name, fault):
    async with scripted(fault, timeout=0.06, retry=RetryPolicy.none()) as (_, session):
        with pytest.raises(TransportError, match="time limit"):
            await ALL_REQUESTS[name][0](session)


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [silence, drip(COMPLETE)])
async def test_silent_or_slow_server_is_retried_after_half_of_the_time_limit(fault):
    # With the system clock: after the whole time limit, there would be no second attempt.
    options = {"clock": SystemClock(), "retry": RetryPolicy(base=0.001, cap=0.001), "timeout": 0.4}
    async with scripted(fault, RETRIED["certs"][1], **options) as (server, session):
        started = time.monotonic()
        await session.fetch_certs()
        assert time.monotonic() - started >= 0.2
        assert len(server.requests) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["certs", *SENT_ONCE])
async def test_request_that_is_sent_once_has_the_whole_time_limit(name):
    """Half of it would make lost responses. `certs` is sent once because its session has no retries."""
    call, success = ALL_REQUESTS[name]

    async def respond_late(writer):
        await asyncio.sleep(0.2)
        writer.write(success)

    async with scripted(respond_late, timeout=0.39, retry=RetryPolicy.none()) as (server, session):
        await call(session)
        assert len(server.requests) == 1


@pytest.mark.asyncio
async def test_host_that_accepts_no_connection_raises_transport_error_after_the_connect_timeout(monkeypatch):
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.03)

    async def never(*_, **__):
        await asyncio.Event().wait()

    async with OAuthSession(base_url="http://127.0.0.1:9", clock=VirtualClock()) as session:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
        with pytest.raises(TransportError, match="no connection within the time limit") as caught:
            await ALL_REQUESTS["refresh"][0](session)
    # Nothing was sent, so a refresh token is still valid.
    assert type(caught.value) is TransportError


async def check_every_request_fails_at_once(base_url, context):
    async with OAuthSession("AC1", "pw", base_url=base_url, ssl_context=context, clock=VirtualClock()) as session:
        for call, _ in ALL_REQUESTS.values():
            with pytest.raises(TransportError, match="TLS") as caught:
                await call(session)
            assert type(caught.value) is TransportError
            assert caught.value.attempts == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["untrusted", "expired"])
async def test_untrusted_or_expired_certificate_raises_transport_error_before_anything_is_sent(fault, tls, tmp_path):
    certificate = certificates.make(tmp_path, expired=True) if fault == "expired" else tls
    context = ssl.create_default_context(cafile=None if fault == "untrusted" else str(certificate.ca))
    async with RawServer(COMPLETE, ssl_context=certificate.server) as server:
        await check_every_request_fails_at_once(server.base_url, context)
    assert server.bytes_received == 0


@pytest.mark.asyncio
async def test_server_without_tls_raises_transport_error():
    async def respond_without_tls(_, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(respond_without_tls, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        await check_every_request_fails_at_once(f"https://{host}:{port}", ssl.create_default_context())


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", ALL_REQUESTS)
async def test_redirect_raises_protocol_error_and_is_not_followed(name, status):
    async with RawServer(COMPLETE) as target:
        redirect = http(status, b"", None, Location=target.base_url + "/v1/token")
        async with scripted(redirect) as (server, session):
            with pytest.raises(ProtocolError) as caught:
                await ALL_REQUESTS[name][0](session)
            assert len(server.requests) == 1
    assert caught.value.status == status
    assert target.requests == []
