import asyncio
import functools
import gzip
import ssl

import aiohttp
import pytest

from tests.helpers import scripted_server
from tests.helpers.raw_server import RawServer, drip, hang_up, http, reset, send_and_close, silence
from tests.helpers.scripted_server import PASSWORD
from twilio_oauth_async import AnswerLostError, OAuthSession, ProtocolError, RetryPolicy, SystemClock, TransportError

CERTS = http(200, {"keys": []})
TOKEN = http(201, {"access_token": "a"})


OPTIONS = {"clock": SystemClock(), "retry": RetryPolicy.none()}
"""The system's clock, since these tests are about time-outs of real sockets."""
session_for = functools.partial(scripted_server.session_for, **OPTIONS)
scripted = functools.partial(scripted_server.scripted, **OPTIONS)


def token(session, **given):
    return session.create_token(grant_type="g", client_sid="OQ1", **given)


def chain(error):
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault", [reset, hang_up, send_and_close(b"HTTP/1.1 200 OK\r\nContent-Le"), send_and_close(TOKEN[:-3])]
)
async def test_an_answer_that_was_lost(fault):
    async with scripted(fault) as (_, session):
        with pytest.raises(AnswerLostError) as caught:
            await token(session, device_code="d")
        assert chain(caught.value) == [caught.value]
        with pytest.raises(TransportError) as caught:
            await session.fetch_certs()
        assert type(caught.value) is TransportError
        assert chain(caught.value) == [caught.value]


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [silence, drip(TOKEN)])
async def test_the_deadline_holds_for_the_whole_answer(fault):
    async with scripted(fault, timeout=0.1) as (_, session):
        with pytest.raises(AnswerLostError, match="time limit"):
            await token(session, device_code="d")


@pytest.mark.asyncio
async def test_a_refused_connection_was_never_sent():
    async with RawServer(TOKEN) as server:
        pass
    async with session_for(server) as session:
        with pytest.raises(TransportError, match="no connection to the server") as caught:
            await token(session, refresh_token="r")
    assert type(caught.value) is TransportError


@pytest.mark.asyncio
async def test_a_name_that_does_not_resolve():
    async with OAuthSession(base_url="https://oauth.invalid", retry=RetryPolicy.none()) as session:
        with pytest.raises(TransportError, match="could not be resolved"):
            await session.fetch_certs()


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_never_followed(status):
    async with RawServer(TOKEN) as target:
        elsewhere = http(status, b"", None, Location=target.base_url + "/v1/token")
        async with scripted(elsewhere) as (_, session):
            with pytest.raises(ProtocolError) as caught:
                await token(session, device_code="d")
            assert caught.value.status == status
            with pytest.raises(ProtocolError):
                await session.fetch_certs()
    assert target.requests == []


@pytest.mark.asyncio
async def test_what_can_be_used_once_never_shares_a_connection():
    async with scripted(TOKEN) as (server, session):
        for given in (
            {"device_code": "d"},
            {"device_code": "d"},
            {"refresh_token": "r"},
            {"code": "c"},
            {"device_code": "d"},
        ):
            await token(session, **given)
    assert [request.connection for request in server.requests] == [0, 0, 1, 2, 0]
    assert [request.headers.get("connection") for request in server.requests] == [
        None,
        None,
        ["close"],
        ["close"],
        None,
    ]


@pytest.mark.asyncio
async def test_a_body_over_the_limit_is_not_read_on():
    body = b"[" + b" " * 5_000_000 + b"]"
    async with scripted(http(200, body), max_response_bytes=1000) as (_, session):
        with pytest.raises(ProtocolError, match="more than 1000 bytes") as caught:
            await session.fetch_certs()
    assert caught.value.status == 200


@pytest.mark.asyncio
async def test_the_limit_is_inclusive_and_counts_decoded_bytes():
    body = b'{"keys":[]}'
    packed = http(200, gzip.compress(body), Content_Encoding="gzip")
    async with RawServer(packed) as server:
        async with session_for(server, max_response_bytes=len(body)) as session:
            assert (await session.fetch_certs()).keys == ()
        async with session_for(server, max_response_bytes=len(body) - 1) as session:
            with pytest.raises(ProtocolError):
                await session.fetch_certs()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    ],
)
async def test_a_head_that_is_not_http_or_too_large(answer):
    async with scripted(answer) as (_, session):
        with pytest.raises(ProtocolError, match="head"):
            await token(session, device_code="d")


@pytest.mark.asyncio
async def test_a_body_that_is_not_what_its_encoding_says():
    async with scripted(http(200, b"plain", Content_Encoding="gzip")) as (_, session):
        with pytest.raises(AnswerLostError):
            await token(session, device_code="d")


@pytest.mark.asyncio
@pytest.mark.parametrize("lent", [False, True])
async def test_an_untrusted_certificate_gets_not_a_byte(tls, lent):
    async with RawServer(CERTS, ssl_context=tls.server) as server:
        # A connector with verification switched off is lent: it does not count.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as theirs:
            http_session = theirs if lent else None
            async with session_for(server, http=http_session, retry=RetryPolicy()) as session:
                with pytest.raises(TransportError, match="certificate") as caught:
                    await session.fetch_certs()
    assert caught.value.attempts == 1
    assert server.bytes_received == 0
    assert PASSWORD not in "".join(map(repr, chain(caught.value)))


@pytest.mark.asyncio
async def test_a_trusted_certificate_is_accepted(tls):
    context = ssl.create_default_context(cafile=str(tls.ca))
    async with scripted(CERTS, server_ssl=tls.server, ssl_context=context) as (_, session):
        assert (await session.fetch_certs()).keys == ()


@pytest.mark.asyncio
async def test_a_proxy_is_used_only_where_it_is_given(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with scripted(CERTS) as (_, session):
        await session.fetch_certs()
    async with RawServer(CERTS) as proxy, OAuthSession(base_url="http://127.0.0.1:9", proxy=proxy.base_url) as session:
        await session.fetch_certs()
    assert proxy.requests[0].target == "http://127.0.0.1:9/v1/certs"


@pytest.mark.asyncio
async def test_trace_configs_are_handed_on():
    seen = []
    trace = aiohttp.TraceConfig()

    async def started(_, __, params):
        seen.append(params.url.path)

    trace.on_request_start.append(started)
    async with scripted(CERTS, trace_configs=[trace]) as (_, session):
        await session.fetch_certs()
    assert seen == ["/v1/certs"]


@pytest.mark.asyncio
async def test_cancelling_comes_out_as_cancelling():
    async with scripted(silence) as (server, session):
        task = asyncio.create_task(session.fetch_certs())
        while not server.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
