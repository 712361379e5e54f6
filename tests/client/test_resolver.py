"""`ThreadResolver` gives the results and errors of aiohttp's `ThreadedResolver`, without the default executor."""

import asyncio
import socket
import threading

import aiohttp
import pytest

from tests.helpers.event_loop import needs_event_loop_of_asyncio
from tests.helpers.raw_server import RawServer, http
from tests.helpers.scripted_server import session_for
from twilio_oauth_async import OAuthSession, RetryPolicy, TransportError
from twilio_oauth_async.client import resolver
from twilio_oauth_async.client.resolver import ThreadResolver

CERTS = http(200, {"keys": []})
V4, V6 = socket.AF_INET, socket.AF_INET6
STREAM = socket.SOCK_STREAM
ADDRESSES = [
    (V4, STREAM, 6, "", ("127.0.0.1", 443)),
    (V6, STREAM, 6, "", ("::1", 443, 0, 0)),
    (V6, STREAM, 6, "", ("fe80::1", 443, 0, 1)),  # link-local, on the first network interface
    (V6, STREAM, 6, "", (10, b"\x00" * 16)),  # a Python without IPv6
]


@pytest.fixture
def look_ups(monkeypatch):
    """The arguments of each look-up, which returns `ADDRESSES`, and the threads that made them."""

    class Calls(list):
        def __init__(self):
            self.threads = set()

    calls = Calls()

    def look_up(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        calls.append((host, port, family, type, proto, flags))
        calls.threads.add(threading.current_thread().name)
        return ADDRESSES

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket, "getnameinfo", lambda address, flags: (f"{address[0]}%lo", f"{address[1]}"))
    return calls


@needs_event_loop_of_asyncio
@pytest.mark.asyncio
@pytest.mark.parametrize("family", [socket.AF_UNSPEC, V4, V6])
async def test_result_and_look_up_are_those_of_aiohttp(look_ups, family):
    ours = await ThreadResolver().resolve("localhost", 443, family)
    assert look_ups.threads == {"twilio-oauth-async names"}
    theirs = await aiohttp.ThreadedResolver().resolve("localhost", 443, family)
    assert ours == theirs
    assert [address["host"] for address in ours] == ["127.0.0.1", "::1", "fe80::1%lo"]
    assert look_ups[0] == look_ups[1]


@pytest.mark.asyncio
async def test_result_for_localhost_without_a_fake_is_that_of_aiohttp():
    ours = await ThreadResolver().resolve("localhost", 80, socket.AF_UNSPEC)
    assert ours == await aiohttp.ThreadedResolver().resolve("localhost", 80, socket.AF_UNSPEC)
    assert ours


@pytest.mark.asyncio
async def test_unknown_host_name_raises_the_error_of_aiohttp():
    for one in (ThreadResolver(), aiohttp.ThreadedResolver()):
        with pytest.raises(socket.gaierror) as caught:
            await one.resolve("unknown.invalid", 443)
        assert caught.value.errno == socket.EAI_NONAME
        await one.close()


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "is_retried"), [("localhost", True), ("LocalHost.", True), ("a.invalid", False)])
async def test_localhost_on_windows_without_network_is_resolved(monkeypatch, name, is_retried):
    """aiohttp does the same since 3.14."""
    flags_of_calls = []

    def look_up(host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        flags_of_calls.append(flags)
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "no network")
        return ADDRESSES[:1]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(socket.gaierror):
        await ThreadResolver().resolve(name, 443)
    monkeypatch.setattr(resolver, "_IS_WINDOWS", True)
    if is_retried:
        assert (await ThreadResolver().resolve(name, 443))[0]["host"] == "127.0.0.1"
        assert flags_of_calls[1:] == [socket.AI_ADDRCONFIG, 0]
    else:
        with pytest.raises(socket.gaierror):
            await ThreadResolver().resolve(name, 443)


@pytest.mark.asyncio
async def test_session_resolves_in_the_threads_of_the_package(monkeypatch):
    threads, getaddrinfo = set(), socket.getaddrinfo

    def look_up(*args, **options):
        threads.add(threading.current_thread().name)
        return getaddrinfo(*args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with RawServer(CERTS) as server:
        by_name = server.base_url.replace("127.0.0.1", "localhost")
        async with session_for(server, base_url=by_name) as session:
            await session.fetch_certs()
    assert threads == {"twilio-oauth-async names"}


@pytest.mark.asyncio
async def test_resolver_of_aiohttp_without_threads_is_kept(monkeypatch):
    """With aiodns installed, aiohttp's default is the `AsyncResolver`."""
    monkeypatch.setattr(aiohttp, "DefaultResolver", aiohttp.AsyncResolver)
    assert resolver.create_resolver() is None


@pytest.mark.asyncio
async def test_session_is_closed_while_a_look_up_hangs(monkeypatch):
    begun, released = threading.Event(), threading.Event()

    def look_up(*_, **__):
        begun.set()
        assert released.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    session = OAuthSession("a", "b", base_url="https://hangs.invalid", retry=RetryPolicy.none())
    await session.open()
    call = asyncio.create_task(session.fetch_certs())
    while not begun.is_set():
        await asyncio.sleep(0.001)
    try:
        async with asyncio.timeout(5):
            await session.close()
        call.cancel()
        await asyncio.wait([call], timeout=5)
        assert call.done()
    finally:
        released.set()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["a..invalid", "a" * 64 + ".invalid"])
@pytest.mark.parametrize("is_lent", [False, True])
async def test_name_that_cannot_be_looked_up_raises_transport_error(monkeypatch, name, is_lent):
    # The guard of the suite replaces the real function, whose first step is this.
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: host.encode("idna"))
    async with aiohttp.ClientSession() as lent:
        options = {"http": lent} if is_lent else {}
        async with OAuthSession("a", "b", **options) as session:
            session.base_url = f"https://{name}"  # the constructor refuses it; an endpoint may be discovered there
            with pytest.raises(TransportError, match="host name of the server is not valid") as caught:
                await session.fetch_certs()
    assert caught.value.attempts == 1
    assert caught.value.__context__ is None


@pytest.mark.asyncio
async def test_refresh_at_a_name_that_cannot_be_decoded_raises_transport_error(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with OAuthSession("a", "b") as session:
        session.base_url = "https://xn--a.invalid"
        with pytest.raises(TransportError):
            await session.create_token(grant_type="refresh_token", client_sid="OQ1", refresh_token="r")
