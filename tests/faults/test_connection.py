"""Rows 1 to 4 and 8: the network and TLS."""

import asyncio
import ssl

import pytest

from tests.helpers import tls as certificates
from tests.helpers.calls import EVERY_CALL, REPEATABLE, SENT_ONCE
from tests.helpers.raw_server import RawServer, drip, hang_up, http, reset, silence, then_reset
from tests.helpers.scripted_flow import PENDING, TOKEN, ScriptedFlow
from twilio_oauth_async import AnswerLostError, OAuthSession, ProtocolError, RetryPolicy, TransportError, VirtualClock
from twilio_oauth_async.client import transport

GOOD = http(201, {"access_token": "a", "keys": []})
CUT = [
    then_reset(b"HTTP/1.1 201 Created\r\nContent-Type: applic"),
    then_reset(GOOD[:-4]),
    then_reset(http(201, b'{"access_token":"a"}', Content_Length="2000")),
    then_reset(b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a'),
    reset,
    hang_up,
]


def session_for(server, **options):
    return OAuthSession("AC1", "pw-canary", base_url=server.base_url, **{"clock": VirtualClock(), **options})


@pytest.mark.asyncio
@pytest.mark.parametrize("name", EVERY_CALL)
async def test_refused_connection(name):
    async with RawServer(GOOD) as server:
        pass
    async with session_for(server) as session:
        with pytest.raises(TransportError) as caught:
            await EVERY_CALL[name][0](session)
    assert type(caught.value) is TransportError
    assert caught.value.attempts == (4 if name in REPEATABLE else 1)


@pytest.mark.asyncio
async def test_dns_failure_is_retried_inside_the_budget():
    clock = VirtualClock()
    async with OAuthSession(base_url="https://oauth.invalid", clock=clock, retry=RetryPolicy(attempts=50)) as session:
        with pytest.raises(TransportError, match="could not be resolved") as caught:
            await session.fetch_certs()
    assert 5 < caught.value.attempts < 50
    assert caught.value.elapsed == clock.monotonic() <= session.timeout


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", CUT)
@pytest.mark.parametrize("name", REPEATABLE)
async def test_lost_answer_of_what_may_be_repeated(name, fault):
    call, good = REPEATABLE[name]
    async with RawServer(fault, good) as server, session_for(server) as session:
        await call(session)
        assert len(server.requests) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", CUT)
@pytest.mark.parametrize("name", SENT_ONCE)
async def test_lost_answer_of_a_token_request_is_told_and_not_sent_again(name, fault):
    call, good = SENT_ONCE[name]
    async with RawServer(fault, good) as server, session_for(server) as session:
        with pytest.raises(AnswerLostError):
            await call(session)
        assert len(server.requests) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", CUT)
async def test_lost_answer_of_a_poll_is_polled_again_on_schedule(fault):
    async with ScriptedFlow(PENDING, fault, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 5.05, 10.1])


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [silence, drip(GOOD), drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100)])
@pytest.mark.parametrize("name", ["certs", "refresh"])
async def test_a_slow_or_silent_server_meets_the_total_deadline(name, fault):
    async with RawServer(fault) as server, session_for(server, timeout=0.06, retry=RetryPolicy.none()) as session:
        with pytest.raises(TransportError, match="time limit"):
            await EVERY_CALL[name][0](session)


@pytest.mark.asyncio
async def test_a_silent_server_meets_the_read_time_out_first(monkeypatch):
    monkeypatch.setattr(transport, "READ_TIMEOUT", 0.03)
    async with RawServer(silence, REPEATABLE["certs"][1]) as server, session_for(server) as session:
        # Well before the deadline of 30 s, so that a second attempt fits in.
        await asyncio.wait_for(session.fetch_certs(), 5)
        assert len(server.requests) == 2


@pytest.mark.asyncio
async def test_a_host_that_does_not_answer_meets_the_connect_time_out(monkeypatch):
    monkeypatch.setattr(transport, "CONNECT_TIMEOUT", 0.03)

    async def never(*_, **__):
        await asyncio.Event().wait()

    async with OAuthSession(base_url="http://127.0.0.1:9", clock=VirtualClock()) as session:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
        with pytest.raises(TransportError, match="no connection within the time limit") as caught:
            await EVERY_CALL["refresh"][0](session)
    # Nothing was sent: a refresh token is as good as before.
    assert type(caught.value) is TransportError


async def every_call_fails_at_once(base_url, context):
    async with OAuthSession(
        "AC1", "pw-canary", base_url=base_url, ssl_context=context, clock=VirtualClock()
    ) as session:
        for call, _ in EVERY_CALL.values():
            with pytest.raises(TransportError, match="TLS") as caught:
                await call(session)
            assert type(caught.value) is TransportError
            assert caught.value.attempts == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["untrusted", "expired"])
async def test_tls_error_is_immediate(fault, tls, tmp_path):
    used = certificates.make(tmp_path, expired=True) if fault == "expired" else tls
    context = ssl.create_default_context(cafile=None if fault == "untrusted" else str(used.ca))
    async with RawServer(GOOD, ssl_context=used.server) as server:
        await every_call_fails_at_once(server.base_url, context)
    assert server.bytes_received == 0


@pytest.mark.asyncio
async def test_a_server_that_speaks_no_tls():
    async def answer_in_the_clear(_, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer_in_the_clear, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        await every_call_fails_at_once(f"https://{host}:{port}", ssl.create_default_context())


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", EVERY_CALL)
async def test_redirect_is_an_error_and_its_target_gets_no_request(name, status):
    async with RawServer(GOOD) as target:
        answer = http(status, b"", None, Location=target.base_url + "/v1/token")
        async with RawServer(answer) as server, session_for(server) as session:
            with pytest.raises(ProtocolError) as caught:
                await EVERY_CALL[name][0](session)
            assert len(server.requests) == 1
    assert caught.value.status == status
    assert target.requests == []
