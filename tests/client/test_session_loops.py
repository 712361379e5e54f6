"""Fault 39 (docs/reliability.md): one session in several event loops, one after the other."""

import asyncio
import contextlib
import gc
import ssl
import threading

import aiohttp
import pytest

from tests.helpers.raw_server import RawServer, http, silence
from tests.helpers.scripted_server import session_for
from twilio_oauth_async import ConfigurationError, OAuthSession, SystemClock, TransportError

CERTS = http(200, {"keys": []})


@pytest.fixture
def session():
    return OAuthSession("a", "b", base_url="http://127.0.0.1:9", clock=SystemClock())


async def fetch(session, *responses):
    """Open `session` in this event loop and send a request."""
    async with RawServer(*(responses or (CERTS,))) as server:
        session.base_url = server.base_url
        async with session:
            return await session.fetch_certs()


def test_session_that_is_closed_and_opened_in_each_loop_works(session):
    for _ in range(3):
        assert asyncio.run(fetch(session)).keys == ()
        assert "closed" in repr(session)


def test_session_works_after_a_loop_that_ended_during_a_request(session):
    async def leave():
        async with RawServer(silence) as server:
            session.base_url = server.base_url
            async with session:
                call = asyncio.create_task(session.fetch_certs())
                while not server.requests:
                    await asyncio.sleep(0.001)
                asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
                await call

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(leave())
    assert asyncio.run(fetch(session)).keys == ()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the socket of the first loop
@pytest.mark.parametrize("sends", [False, True])
def test_session_that_was_not_closed_can_be_opened_again_after_its_loop(session, sends):
    async def leave_open():
        async with RawServer(CERTS) as server:
            session.base_url = server.base_url
            await session.open()
            if sends:
                await session.fetch_certs()
            await session.open()  # in the same loop: nothing to do

    asyncio.run(leave_open())
    assert "closed" in repr(session)
    assert asyncio.run(fetch(session)).keys == ()
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_session_that_was_not_closed_can_be_closed_in_the_next_loop(session):
    asyncio.run(session.open())
    asyncio.run(session.close())
    assert "closed" in repr(session)
    asyncio.run(session.close())


def test_session_that_was_opened_in_an_ended_loop_sends_nothing(session):
    asyncio.run(session.open())
    with pytest.raises(ConfigurationError, match="was opened in another event loop"):
        asyncio.run(session.fetch_certs())
    asyncio.run(session.close())


@pytest.mark.asyncio
async def test_session_that_is_open_in_a_running_loop_is_refused_in_another_one():
    async with RawServer(CERTS) as server, session_for(server) as session:
        await session.fetch_certs()
        errors = []

        async def use_elsewhere():
            for call in (session.open, session.fetch_certs):
                with pytest.raises(ConfigurationError, match="another event loop") as caught:
                    await call()
                errors.append(caught.value)

        await asyncio.to_thread(asyncio.run, use_elsewhere())
        assert len(errors) == 2
        await session.fetch_certs()
    assert len(server.requests) == 2


def test_lent_session_of_another_loop_is_refused_and_not_touched():
    """aiohttp would send over a connection that the other loop had kept open, and never get the response."""
    received = []

    async def lend():
        async with RawServer(CERTS) as server:
            lent = aiohttp.ClientSession()
            async with session_for(server, http=lent) as session:
                await session.fetch_certs()
            received.append(len(server.requests))
            return lent, session, server.base_url

    loop = asyncio.new_event_loop()
    lent, session, _ = loop.run_until_complete(lend())

    async def use():
        with pytest.raises(ConfigurationError, match="belongs to another event loop"):
            await session.open()

    asyncio.run(use())
    assert not lent.closed
    loop.run_until_complete(lent.close())
    loop.close()
    assert received == [1]


@pytest.mark.asyncio
async def test_certificates_for_a_lent_session_are_loaded_in_a_thread_and_once(monkeypatch):
    threads, create = [], ssl.create_default_context

    def counted():
        threads.append(threading.current_thread())
        return create()

    monkeypatch.setattr(ssl, "create_default_context", counted)
    async with aiohttp.ClientSession() as lent, RawServer(CERTS) as server:
        session = session_for(server, http=lent)
        for _ in range(2):
            async with session:
                await session.fetch_certs()
        concurrent = session_for(server, http=lent)
        await asyncio.gather(*(concurrent.open() for _ in range(3)))
        await concurrent.fetch_certs()
        await concurrent.close()
        assert not lent.closed
    assert threading.main_thread() not in threads
    assert 2 <= len(threads) <= 4


@pytest.mark.asyncio
async def test_certificates_that_cannot_be_loaded_raise_configuration_error(monkeypatch):
    def fail():
        raise FileNotFoundError(2, "No such file or directory", "/secret")

    monkeypatch.setattr(ssl, "create_default_context", fail)
    async with aiohttp.ClientSession() as lent:
        with pytest.raises(ConfigurationError, match="cannot be loaded: No such file") as caught:
            await OAuthSession(base_url="https://a.invalid", http=lent).open()
    assert caught.value.__context__ is None


def test_refused_request_in_each_loop_raises_transport_error():
    """The deadlines of a session belong to no loop."""
    session = OAuthSession("a", "b", base_url="http://127.0.0.1:9", timeout=0.1)

    async def use():
        async with session:
            with pytest.raises(TransportError):
                await session.fetch_certs()

    for _ in range(2):
        asyncio.run(use())
