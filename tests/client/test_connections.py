"""Which connection a request uses: the share of polls (fault 53), and kept connections (fault 54)."""

import asyncio
import contextlib
import re

import aiohttp
import pytest

from tests.helpers.faulty_responses import http
from tests.helpers.raw_server import RawServer
from tests.helpers.scripted_server import CODE_BODY, PENDING, TOKEN, scripted
from twilio_oauth_async import DEVICE_CODE_GRANT, ConfigurationError, OAuthSession, RetryPolicy, TransportError
from twilio_oauth_async.errors import AuthorizationPendingError

pytestmark = pytest.mark.asyncio


async def poll(session):
    with contextlib.suppress(AuthorizationPendingError):
        await session.create_token(grant_type=DEVICE_CODE_GRANT, client_sid="OQ1", device_code="d")


class SlowPolls:
    """A server that responds to polls when `respond` is called, and to all other requests at once."""

    def __init__(self):
        self.waiting, self.most = 0, 0
        self._respond = asyncio.Event()

    def respond(self):
        self._respond.set()

    async def __call__(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                if b"DeviceCode" in body:
                    self.waiting += 1
                    self.most = max(self.most, self.waiting)
                    await self._respond.wait()
                    self.waiting -= 1
                    writer.write(PENDING)
                elif b"/device/code" in head:
                    writer.write(http(201, CODE_BODY))
                else:
                    writer.write(TOKEN)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def slow_polls(**options):
    polls = SlowPolls()
    server = await asyncio.start_server(polls, "127.0.0.1", 0, backlog=1024)
    host, port = server.sockets[0].getsockname()
    try:
        async with OAuthSession(base_url=f"http://{host}:{port}", retry=RetryPolicy.none(), **options) as session:
            yield polls, session
    finally:
        server.close()


@pytest.mark.parametrize("is_lent", [False, True], ids=["own", "lent"])
async def test_53_polls_leave_connections_to_other_requests(is_lent):
    async with contextlib.AsyncExitStack() as stack:
        options = {"max_connections": 8}
        if is_lent:
            connector = aiohttp.TCPConnector(limit=8)
            options = {"http": await stack.enter_async_context(aiohttp.ClientSession(connector=connector))}
        polls, session = await stack.enter_async_context(slow_polls(**options))
        tasks = [asyncio.create_task(poll(session)) for _ in range(50)]
        while polls.waiting < 6:
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            assert (await session.create_device_code(client_sid="OQ1", scopes=["openid"])).user_code
            assert (
                await session.create_token(grant_type="refresh_token", client_sid="OQ1", refresh_token="r")
            ).access_token
        polls.respond()
        await asyncio.gather(*tasks)
        assert polls.most == 6


async def test_53_wait_for_a_connection_is_reported_as_that():
    async with slow_polls(max_connections=4, timeout=0.05) as (polls, session):
        places = session._transport._poll_places
        for _ in range(3):
            await places.acquire()
        with pytest.raises(TransportError, match="no free connection within the time limit"):
            await poll(session)
        places.release()
        polls.respond()
        await poll(session)


async def test_lent_session_without_a_limit_has_no_limit_for_polls():
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as lent, slow_polls(http=lent) as slow:
        polls, session = slow
        tasks = [asyncio.create_task(poll(session)) for _ in range(220)]
        while polls.waiting < 220:
            await asyncio.sleep(0)
        polls.respond()
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("number", [3, 0, -1])
async def test_too_few_connections(number):
    with pytest.raises(ConfigurationError, match="at least 4"):
        OAuthSession(max_connections=number)


def closing(response):
    """Return a behaviour: send a response that allows the connection to be kept, and close it at once."""

    async def respond(writer):
        writer.write(response)
        await writer.drain()
        writer.close()

    return respond


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 20])
async def test_54_connection_that_was_closed_while_it_was_kept_is_no_fault(turns):
    """However much of its end the event loop has seen when the next poll is sent."""
    async with scripted(closing(PENDING), closing(PENDING), TOKEN) as (server, session):
        for _ in range(3):
            await poll(session)
            for _ in range(turns):
                await asyncio.sleep(0)
        assert len(server.requests) == 3
        assert server.connections == 3


async def test_54_end_that_the_event_loop_has_not_seen_is_seen_before_the_request_is_sent(monkeypatch):
    async with scripted(PENDING, TOKEN) as (server, session):
        await poll(session)
        [task] = server._tasks
        connector = session._transport._session.connector
        [[(protocol, _)]] = connector._conns.values()
        protocol.transport.pause_reading()  # so that the loop does not see it
        task.cancel()
        await asyncio.sleep(0.01)
        assert not protocol.transport.is_closing()
        await poll(session)
        assert (len(server.requests), server.connections) == (2, 2)


async def test_kept_connection_is_used_again():
    async with scripted(PENDING, PENDING, TOKEN) as (server, session):
        for _ in range(3):
            await poll(session)
        assert server.connections == 1


async def test_54_nothing_is_repeated_twice():
    async with RawServer(PENDING) as server:
        base_url = server.base_url
        async with OAuthSession(base_url=base_url, retry=RetryPolicy.none(), timeout=1) as session:
            await poll(session)
            await server.__aexit__()
            with pytest.raises(TransportError, match="no connection to the server"):
                await poll(session)
            await asyncio.sleep(0)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "proxy",
    [
        "",
        "proxy",
        "proxy:3128",
        "socks5://proxy:1080",
        "http://",
        "http://:3128",
        "http://p:x",
        "http://p:99999",
        "http://p/path",
        "http://p:3128\t",
        "http://u:canary@p :3128",
        "http://u:canary@a..example:3128",
        f"http://{'a' * 64}.example:3128",
        "http://xn--a.example:3128",
        "http://xn--.example",
        "http://a\u2028b.example",
        5,
    ],
)
async def test_invalid_proxy_is_refused_without_its_password(proxy):
    with pytest.raises(ConfigurationError, match="proxy must be") as caught:
        OAuthSession(proxy=proxy)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [None, "http://proxy:3128", "https://u:canary@proxy.example", "http://[::1]:3128/", "http://ü.example:3128"],
)
async def test_valid_proxy(proxy):
    session = OAuthSession(proxy=proxy)
    assert "canary" not in repr(session)


@pytest.mark.parametrize("host", ["xn--a.example", "www.xn--zzzzzzzz99999.example", "xn--99999999.x"])
async def test_base_url_whose_host_cannot_be_decoded_is_refused(host):
    with pytest.raises(ConfigurationError, match="xn-- cannot be decoded"):
        OAuthSession(base_url=f"https://{host}")


async def test_base_url_with_an_international_host_is_kept_in_ascii():
    assert OAuthSession(base_url="https://xn--fa-hia.example").base_url == "https://xn--fa-hia.example"
