"""`JwksCache` while the certs endpoint fails (fault 31, docs/reliability.md)."""

import asyncio

import pytest

from tests.helpers.key_server import DOWN, CacheSetup, certs
from tests.helpers.raw_server import http, reset, silence
from twilio_oauth_async import ApiError, ConfigurationError, ProtocolError, TransportError
from twilio_oauth_async.client.jwks_cache import FRESH_FOR, REFRESH_TIMEOUT, RETRY_GAP, USABLE_FOR
from twilio_oauth_async.client.search_budget import SEARCH_BURST, SEARCH_GAP
from twilio_oauth_async.oidc.jwa import ALGORITHMS


@pytest.mark.asyncio
@pytest.mark.parametrize("down", [DOWN, reset, http(200, {}), http(200, {"keys": None}), http(200, b"<html>")])
async def test_find_during_outage_uses_cached_keys_for_an_hour(down, caplog):
    async with CacheSetup(certs("a"), down) as setup:
        await setup.find()
        for _ in range(59):
            setup.clock.advance(60)
            assert await setup.has("a")
        assert "still using the cached keys" in caplog.text
        # After the first five minutes the cache fetches once a minute.
        assert 50 <= len(setup.timeouts) <= 57
        setup.clock.advance(60)
        with pytest.raises((TransportError, ApiError, ProtocolError)):
            await setup.find("a")


@pytest.mark.asyncio
async def test_find_after_failed_fetch_does_not_fetch_for_a_minute():
    async with CacheSetup(certs("a"), DOWN, certs("b")) as setup:
        await setup.find()
        setup.clock.advance(FRESH_FOR)
        for _ in range(10):
            await setup.find("a")
        assert setup.fetches == 2
        setup.clock.advance(RETRY_GAP)
        assert await setup.has("b")
        assert setup.fetches == 3


@pytest.mark.asyncio
async def test_find_unknown_key_id_during_outage_raises_the_error_of_the_fetch():
    """The key may exist, so `IdTokenError` would be wrong, also for a call that sends no request itself."""
    async with CacheSetup(certs("a"), *[DOWN] * (SEARCH_BURST + 1), certs("b")) as setup:
        await setup.find()
        errors = []
        for _ in range(SEARCH_BURST + 2):
            with pytest.raises(ApiError) as caught:
                await setup.find("b")
            errors.append(caught.value)
        assert setup.fetches == 1 + SEARCH_BURST
        assert len({id(error) for error in errors}) == SEARCH_BURST + 2
        setup.clock.advance(SEARCH_GAP)
        with pytest.raises(ApiError):
            await setup.find("b")
        setup.clock.advance(SEARCH_GAP)
        assert await setup.has("b")
        # After a successful fetch an unknown key ID is an `IdTokenError` again.
        assert not await setup.has("c")


@pytest.mark.asyncio
async def test_find_without_cached_keys_fetches_on_every_call():
    async with CacheSetup(DOWN, http(200, {}), certs("a")) as setup:
        for kind in (ApiError, ProtocolError):
            with pytest.raises(kind):
                await setup.find()
        assert await setup.has("a")


@pytest.mark.asyncio
async def test_find_with_unusable_old_keys_fetches_on_every_call():
    """Each fetch has the full timeout of the session, as without any keys."""
    async with CacheSetup(certs("a"), DOWN, DOWN, certs("b")) as setup:
        await setup.find()
        setup.clock.advance(USABLE_FOR)
        for _ in range(2):
            with pytest.raises(ApiError):
                await setup.find("a")
        assert await setup.has("b")
        assert setup.timeouts == [None] * 4


@pytest.mark.asyncio
async def test_find_after_empty_key_set_drops_cached_keys():
    async with CacheSetup(certs("a"), http(200, {"keys": []})) as setup:
        await setup.find()
        setup.clock.advance(FRESH_FOR)
        assert not await setup.has("a")


@pytest.mark.asyncio
async def test_find_with_cached_keys_limits_the_wait_for_newer_ones():
    async with CacheSetup(certs("a"), silence, timeout=0.15) as setup:
        await setup.find()
        setup.clock.advance(FRESH_FOR)
        # The timeout of the session is shorter than REFRESH_TIMEOUT, so that the test is fast.
        assert await setup.has("a")
        assert setup.timeouts == [None, REFRESH_TIMEOUT]


@pytest.mark.asyncio
async def test_find_concurrent_calls_with_cached_keys_do_not_wait_for_newer_ones():
    gate = asyncio.Event()

    async def respond_later(writer):
        await gate.wait()
        writer.write(certs("b"))

    async with CacheSetup(certs("a"), respond_later) as setup:
        await setup.find()
        setup.clock.advance(FRESH_FOR)
        fetching = asyncio.create_task(setup.has("a"))
        while setup.fetches < 2:
            await asyncio.sleep(0)
        assert await setup.has("a")
        # A call for an unknown key waits for the same fetch.
        waiting = asyncio.create_task(setup.has("b"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        gate.set()
        assert await waiting
        assert not await fetching
        assert setup.fetches == 2


@pytest.mark.asyncio
async def test_find_keys_become_unusable_during_failed_fetch_raises():
    async with CacheSetup(certs("a"), silence, timeout=0.1) as setup:
        await setup.find()
        setup.clock.advance(USABLE_FOR - 1)
        fetching = asyncio.create_task(setup.find("a"))
        while setup.fetches < 2:
            await asyncio.sleep(0)
        setup.clock.advance(2)
        with pytest.raises(TransportError):
            await fetching


@pytest.mark.asyncio
async def test_find_after_session_close_uses_cached_keys_only():
    async with CacheSetup(certs("a")) as setup:
        await setup.find("a")
        await setup.session.close()
        setup.clock.advance(FRESH_FOR)
        assert await setup.has("a")
        with pytest.raises(ConfigurationError, match="open"):
            await setup.find("b")


@pytest.mark.asyncio
async def test_cached_after_failed_fetch_returns_no_keys_that_are_too_old():
    """A withdrawn key must not become usable again because a fetch has failed."""
    async with CacheSetup(certs("a"), DOWN, DOWN) as setup:
        await setup.find("a")
        algorithm = ALGORITHMS["ES256"]
        assert setup.cache.cached(algorithm, "a")
        setup.clock.advance(USABLE_FOR)
        with pytest.raises(ApiError):
            await setup.find("a")
        assert not setup.cache.cached(algorithm, "a")
