"""Fault 35 (docs/reliability.md): a request that was not sent is no lost response."""

import asyncio
import contextlib
import ssl

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver

from tests.helpers.client_requests import ALL_REQUESTS, SENT_ONCE
from tests.helpers.raw_server import RawServer, hang_up, http, silence
from tests.helpers.scripted_server import PASSWORD, TOKEN
from twilio_oauth_async import AnswerLostError, OAuthSession, RetryPolicy, TransportError, VirtualClock
from twilio_oauth_async.client import failures

TIME_LIMIT = 0.05
"""Seconds."""

LONGER = 0.3
"""Seconds: for tests in which a connection has to be made within the time limit, also on a busy machine."""


class HangingResolver(AbstractResolver):
    async def resolve(self, host, port=0, family=0):
        await asyncio.Event().wait()

    async def close(self):
        pass


def short_session(base_url, **options):
    options = {"timeout": TIME_LIMIT, "retry": RetryPolicy.none(), "clock": VirtualClock(), **options}
    return OAuthSession("AC1", PASSWORD, base_url=base_url, **options)


async def check_not_sent(call, session, message):
    """Check that `call` raises a plain `TransportError`: a refresh token or a code is still unused."""
    with pytest.raises(TransportError, match=f"^{message}$") as caught:
        await call(session)
    assert type(caught.value) is TransportError
    assert caught.value.__context__ is None


@contextlib.asynccontextmanager
async def tcp_server(serve):
    """Run `serve(reader, writer)` for each connection, without any HTTP; yield ``host:port``."""
    writers = []

    async def handle(reader, writer):
        writers.append(writer)
        with contextlib.suppress(OSError):
            await serve(reader, writer)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
        for writer in writers:
            writer.transport.abort()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ALL_REQUESTS)
async def test_name_resolution_that_hangs_is_no_lost_response(name):
    call = ALL_REQUESTS[name][0]
    connector = aiohttp.TCPConnector(resolver=HangingResolver())
    async with RawServer(TOKEN) as server, aiohttp.ClientSession(connector=connector) as lent:
        base_url = server.base_url.replace("127.0.0.1", "localhost")
        async with short_session(base_url, http=lent) as session:
            message = "the host name could not be resolved within the time limit"
            # The second request waits for the same look-up.
            await asyncio.gather(check_not_sent(call, session, message), check_not_sent(call, session, message))
    assert server.connections == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ALL_REQUESTS)
async def test_no_free_connection_is_no_lost_response(name):
    connector = aiohttp.TCPConnector(limit=1)
    async with RawServer(silence) as server, aiohttp.ClientSession(connector=connector) as lent:
        other = asyncio.create_task(lent.get(server.base_url))
        while not server.requests:
            await asyncio.sleep(0.001)
        async with short_session(server.base_url, http=lent) as session:
            await check_not_sent(ALL_REQUESTS[name][0], session, "no free connection within the time limit")
        assert len(server.requests) == 1
        # Nothing of the lent session was changed.
        assert lent.connector is connector
        assert not lent.closed
        assert lent.trace_configs == []
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ALL_REQUESTS)
async def test_tls_handshake_that_stalls_is_no_lost_response(name):
    received = []

    async def never_respond(reader, _):
        received.append(await reader.read(65_536))
        await reader.read()

    async with tcp_server(never_respond) as address:
        async with short_session(
            f"https://{address}", ssl_context=ssl.create_default_context(), timeout=LONGER
        ) as session:
            await check_not_sent(ALL_REQUESTS[name][0], session, "no connection within the time limit")
    assert len(received) == 1  # the ClientHello


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        (silence, "no connection within the time limit"),
        (hang_up, "the connection failed before the request was sent"),
        (http(502, b""), "the proxy refused the connection with status 502"),
    ],
    ids=["silent", "closed", "502"],
)
async def test_proxy_that_makes_no_tunnel_is_no_lost_response(proxy, message):
    async with RawServer(proxy) as server:
        async with short_session("https://oauth.invalid", proxy=server.base_url, timeout=LONGER) as session:
            await check_not_sent(ALL_REQUESTS["refresh"][0], session, message)
    assert [request.method for request in server.requests] == ["CONNECT"]


def trace(**handlers):
    """Return a `TraceConfig` of a user, with handlers by the names of the signals."""
    config = aiohttp.TraceConfig()
    for signal, handler in handlers.items():
        getattr(config, signal).append(handler)
    return config


@pytest.mark.asyncio
@pytest.mark.parametrize("name", SENT_ONCE)
async def test_connection_closed_before_the_head_is_written_is_no_lost_response(name):
    closed = asyncio.Event()
    received = []

    async def close_at_once(reader, writer):
        writer.transport.abort()
        closed.set()
        received.append(await reader.read())

    async def wait_until_closed(*_):
        await closed.wait()
        await asyncio.sleep(0.02)  # the client's end of the connection

    async with tcp_server(close_at_once) as address:
        configs = [trace(on_connection_create_end=wait_until_closed)]
        async with short_session(f"http://{address}", trace_configs=configs, timeout=10) as session:
            message = "the connection failed before the request was sent"
            await check_not_sent(ALL_REQUESTS[name][0], session, message)
    assert received == [b""]


@pytest.mark.asyncio
@pytest.mark.parametrize("bytes_read", [0, 1, 65_536])
@pytest.mark.parametrize("name", SENT_ONCE)
async def test_connection_closed_after_the_head_is_written_is_a_lost_response(name, bytes_read):
    """The client cannot know how much of it the server has read and processed."""
    written = asyncio.Event()

    async def read_and_close(reader, writer):
        await written.wait()
        if bytes_read:
            await reader.read(bytes_read)
        writer.transport.abort()

    async def note(*_):
        asyncio.get_running_loop().call_later(0.02, written.set)

    async with tcp_server(read_and_close) as address:
        configs = [trace(on_request_headers_sent=note)]
        async with short_session(f"http://{address}", trace_configs=configs, timeout=10) as session:
            with pytest.raises(AnswerLostError, match=r"^the connection failed$"):
                await ALL_REQUESTS[name][0](session)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", SENT_ONCE)
async def test_silent_server_is_a_lost_response(name):
    async with RawServer(silence) as server, short_session(server.base_url, timeout=LONGER) as session:
        with pytest.raises(AnswerLostError, match=r"^no complete response within the time limit$"):
            await ALL_REQUESTS[name][0](session)
    assert len(server.requests) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("name", SENT_ONCE)
async def test_time_limit_between_connection_and_head_is_no_lost_response(name):
    async def hang(*_):
        await asyncio.Event().wait()

    async with RawServer(TOKEN) as server:
        configs = [trace(on_request_headers_sent=hang)]
        async with short_session(server.base_url, trace_configs=configs, timeout=LONGER) as session:
            await check_not_sent(ALL_REQUESTS[name][0], session, "the request was not sent within the time limit")
    assert server.connections == 1
    assert server.bytes_received == 0


@pytest.mark.asyncio
async def test_only_the_text_depends_on_names_of_functions_in_aiohttp(monkeypatch):
    monkeypatch.setattr(failures, "_WAITS", {})
    connector = aiohttp.TCPConnector(resolver=HangingResolver())
    async with aiohttp.ClientSession(connector=connector) as lent:
        async with short_session("http://localhost:9", http=lent) as session:
            await check_not_sent(ALL_REQUESTS["refresh"][0], session, "the request was not sent within the time limit")


@pytest.mark.asyncio
async def test_trace_config_of_the_user_sees_only_its_own_context():
    seen = []

    async def note(_, context, __):
        seen.append(context.trace_request_ctx)

    signals = ("on_request_start", "on_connection_create_end", "on_request_headers_sent", "on_request_end")
    async with RawServer(TOKEN) as server:
        configs = [trace(**dict.fromkeys(signals, note))]
        async with short_session(server.base_url, trace_configs=configs, timeout=10) as session:
            await ALL_REQUESTS["refresh"][0](session)
    assert seen == [None] * len(signals)
