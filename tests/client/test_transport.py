import asyncio
import contextlib
import functools
import gzip
import ssl

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from tests.helpers import scripted_server
from tests.helpers.raw_server import RawServer, drip, hang_up, http, reset, send_and_close, silence
from tests.helpers.scripted_server import PASSWORD
from twilio_oauth_async import AnswerLostError, OAuthSession, ProtocolError, RetryPolicy, SystemClock, TransportError
from twilio_oauth_async.client.connections import Body, KeptConnections

CERTS = http(200, {"keys": []})
TOKEN = http(201, {"access_token": "a"})


OPTIONS = {"clock": SystemClock(), "retry": RetryPolicy.none()}
"""The system clock, because these tests need real socket timeouts."""
session_for = functools.partial(scripted_server.session_for, **OPTIONS)
scripted = functools.partial(scripted_server.scripted, **OPTIONS)


def create_token(session, **arguments):
    return session.create_token(grant_type="g", client_sid="OQ1", **arguments)


def chain(error):
    """Return `error` and the exceptions that it is chained to."""
    errors = []
    while error is not None:
        errors.append(error)
        error = error.__cause__ or error.__context__
    return errors


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fault", [reset, hang_up, send_and_close(b"HTTP/1.1 200 OK\r\nContent-Le"), send_and_close(TOKEN[:-3])]
)
async def test_lost_response_has_its_own_error_for_token_requests_only(fault):
    async with scripted(fault) as (_, session):
        with pytest.raises(AnswerLostError) as caught:
            await create_token(session, device_code="d")
        assert chain(caught.value) == [caught.value]
        with pytest.raises(TransportError) as caught:
            await session.fetch_certs()
        assert type(caught.value) is TransportError
        assert chain(caught.value) == [caught.value]


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", [silence, drip(TOKEN)])
async def test_response_incomplete_at_the_deadline_raises(fault):
    async with scripted(fault, timeout=0.1) as (_, session):
        with pytest.raises(AnswerLostError, match="time limit"):
            await create_token(session, device_code="d")


@pytest.mark.asyncio
async def test_refused_connection_raises_plain_transport_error():
    async with RawServer(TOKEN) as server:
        pass
    async with session_for(server) as session:
        with pytest.raises(TransportError, match="no connection to the server") as caught:
            await create_token(session, refresh_token="r")
    assert type(caught.value) is TransportError


@pytest.mark.asyncio
async def test_unresolvable_host_name_raises_transport_error():
    async with OAuthSession(base_url="https://oauth.invalid", retry=RetryPolicy.none()) as session:
        with pytest.raises(TransportError, match="could not be resolved"):
            await session.fetch_certs()


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_raises_protocol_error_and_is_not_followed(status):
    async with RawServer(TOKEN) as target:
        redirect = http(status, b"", None, Location=target.base_url + "/v1/token")
        async with scripted(redirect) as (_, session):
            with pytest.raises(ProtocolError) as caught:
                await create_token(session, device_code="d")
            assert caught.value.status == status
            with pytest.raises(ProtocolError):
                await session.fetch_certs()
    assert target.requests == []


@pytest.mark.asyncio
async def test_request_with_code_or_refresh_token_uses_a_new_connection():
    async with scripted(TOKEN) as (server, session):
        for arguments in (
            {"device_code": "d"},
            {"device_code": "d"},
            {"refresh_token": "r"},
            {"code": "c"},
            {"device_code": "d"},
        ):
            await create_token(session, **arguments)
    assert [request.connection for request in server.requests] == [0, 0, 1, 2, 0]
    assert [request.headers.get("connection") for request in server.requests] == [
        None,
        None,
        ["close"],
        ["close"],
        None,
    ]


@pytest.mark.asyncio
async def test_body_over_the_size_limit_raises_protocol_error():
    body = b"[" + b" " * 5_000_000 + b"]"
    async with scripted(http(200, body), max_response_bytes=1000) as (_, session):
        with pytest.raises(ProtocolError, match="more than 1000 bytes") as caught:
            await session.fetch_certs()
    assert caught.value.status == 200


@pytest.mark.asyncio
async def test_body_size_limit_is_inclusive_and_counts_decoded_bytes():
    body = b'{"keys":[]}'
    compressed = http(200, gzip.compress(body), Content_Encoding="gzip")
    async with RawServer(compressed) as server:
        async with session_for(server, max_response_bytes=len(body)) as session:
            assert (await session.fetch_certs()).keys == ()
        async with session_for(server, max_response_bytes=len(body) - 1) as session:
            with pytest.raises(ProtocolError):
                await session.fetch_certs()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "head",
    [
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
    ],
)
async def test_invalid_or_too_large_response_head_raises_protocol_error(head):
    async with scripted(head) as (_, session):
        with pytest.raises(ProtocolError, match="head"):
            await create_token(session, device_code="d")


@pytest.mark.asyncio
async def test_body_that_does_not_match_its_encoding_counts_as_lost_response():
    async with scripted(http(200, b"plain", Content_Encoding="gzip")) as (_, session):
        with pytest.raises(AnswerLostError):
            await create_token(session, device_code="d")


@pytest.mark.asyncio
@pytest.mark.parametrize("borrowed", [False, True])
async def test_untrusted_certificate_raises_before_anything_is_sent(tls, borrowed):
    async with RawServer(CERTS, ssl_context=tls.server) as server:
        # The borrowed connector does not verify certificates. This setting must have no effect.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as unverified:
            http_session = unverified if borrowed else None
            async with session_for(server, http=http_session, retry=RetryPolicy()) as session:
                with pytest.raises(TransportError, match="certificate") as caught:
                    await session.fetch_certs()
    assert caught.value.attempts == 1
    assert server.bytes_received == 0
    assert PASSWORD not in "".join(map(repr, chain(caught.value)))


@pytest.mark.asyncio
async def test_trusted_certificate_is_accepted(tls):
    context = ssl.create_default_context(cafile=str(tls.ca))
    async with scripted(CERTS, server_ssl=tls.server, ssl_context=context) as (_, session):
        assert (await session.fetch_certs()).keys == ()


@pytest.mark.asyncio
async def test_proxy_of_the_environment_is_ignored_and_of_the_argument_used(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with scripted(CERTS) as (_, session):
        await session.fetch_certs()
    async with RawServer(CERTS) as proxy, OAuthSession(base_url="http://127.0.0.1:9", proxy=proxy.base_url) as session:
        await session.fetch_certs()
    assert proxy.requests[0].target == "http://127.0.0.1:9/v1/certs"


@pytest.mark.asyncio
async def test_trace_configs_are_passed_to_aiohttp():
    paths = []
    trace = aiohttp.TraceConfig()

    async def started(_, __, params):
        paths.append(params.url.path)

    trace.on_request_start.append(started)
    async with scripted(CERTS, trace_configs=[trace]) as (_, session):
        await session.fetch_certs()
    assert paths == ["/v1/certs"]


@pytest.mark.asyncio
async def test_cancelled_request_raises_cancelled_error():
    async with scripted(silence) as (server, session):
        task = asyncio.create_task(session.fetch_certs())
        while not server.requests:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
@pytest.mark.parametrize(("state", "is_sent"), [("open", True), ("closing", False), ("lost", False)])
async def test_body_is_sent_only_if_the_transport_is_open(state, is_sent):
    """A connection that the server has closed is closing for one turn of the loop; then it is lost."""
    async with RawServer(silence) as server:
        host, port = server.base_url.removeprefix("http://").split(":")
        make_protocol = functools.partial(BaseProtocol, asyncio.get_running_loop())
        connection, protocol = await asyncio.get_running_loop().create_connection(make_protocol, host, int(port))
        if state != "open":
            connection.close()
        if state == "lost":
            await asyncio.sleep(0)
        calls = []
        body = Body(b"a=b", KeptConnections(), lambda: calls.append(True))
        with contextlib.nullcontext() if is_sent else pytest.raises(aiohttp.ClientConnectionResetError):
            await body.write_with_length(aiohttp.http.StreamWriter(protocol, asyncio.get_running_loop()), 3)
        assert body.is_sent is is_sent
        assert calls == [True] * is_sent
        connection.close()


class Writer:
    """The part of a writer of aiohttp that a body uses."""

    transport = None

    def __init__(self):
        self.written = b""

    async def write(self, chunk):
        self.written += chunk


@pytest.mark.asyncio
@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_body_is_not_sent_after_its_caller_was_cancelled(is_cancelled):
    """In Python 3.11, aiohttp sends the body in a task, which may run before the caller gets the CancelledError."""
    bodies, writer = [], Writer()

    async def send():
        # A cancellation before the request does not count: a caller may have caught it, in order to revoke a token.
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
        bodies.append(Body(b"a=b", KeptConnections(), None))
        await asyncio.Event().wait()

    caller = asyncio.create_task(send())
    while not bodies:
        await asyncio.sleep(0)
    if is_cancelled:
        caller.cancel()
    with pytest.raises(aiohttp.ClientConnectionResetError) if is_cancelled else contextlib.nullcontext():
        await bodies[0].write_with_length(writer, 3)
    assert writer.written == (b"" if is_cancelled else b"a=b")
    caller.cancel()
    await asyncio.wait({caller})
