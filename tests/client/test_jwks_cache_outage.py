"""The issuer's keys while their endpoint is down (fault 31)."""

import asyncio

import pytest

from tests.helpers.key_server import DOWN, Scene, certs
from tests.helpers.raw_server import http, reset, silence
from twilio_oauth_async import ApiError, ConfigurationError, ProtocolError, TransportError
from twilio_oauth_async.client.jwks_cache import FRESH_FOR, REFRESH_TIMEOUT, RETRY_GAP, SEARCH_GAP, USABLE_FOR


@pytest.mark.asyncio
@pytest.mark.parametrize("down", [DOWN, reset, http(200, {}), http(200, {"keys": None}), http(200, b"<html>")])
async def test_the_keys_at_hand_are_used_for_an_hour(down, caplog):
    async with Scene(certs("a"), down) as scene:
        await scene.find()
        for _ in range(59):
            scene.clock.advance(60)
            assert await scene.has("a")
        assert "still using the cached keys" in caplog.text
        # After the first five minutes it is asked again, once a minute.
        assert 50 <= len(scene.asked) <= 57
        scene.clock.advance(60)
        with pytest.raises((TransportError, ApiError, ProtocolError)):
            await scene.find("a")


@pytest.mark.asyncio
async def test_a_failed_fetch_is_not_repeated_for_a_minute():
    async with Scene(certs("a"), DOWN, certs("b")) as scene:
        await scene.find()
        scene.clock.advance(FRESH_FOR)
        for _ in range(10):
            await scene.find("a")
        assert scene.fetches == 2
        scene.clock.advance(RETRY_GAP)
        assert await scene.has("b")
        assert scene.fetches == 3


@pytest.mark.asyncio
async def test_an_unknown_key_while_it_is_down_is_no_verdict():
    """Nobody knows whether there is such a key, whether this call asked or an earlier one."""
    async with Scene(certs("a"), DOWN, DOWN, certs("b")) as scene:
        await scene.find()
        errors = []
        for _ in range(3):
            with pytest.raises(ApiError) as caught:
                await scene.find("b")
            errors.append(caught.value)
        assert scene.fetches == 2
        assert len({id(error) for error in errors}) == 3
        scene.clock.advance(SEARCH_GAP)
        with pytest.raises(ApiError):
            await scene.find("b")
        scene.clock.advance(SEARCH_GAP)
        assert await scene.has("b")
        # And a verdict again, now that the server has said what keys there are.
        assert not await scene.has("c")


@pytest.mark.asyncio
async def test_without_any_keys_every_call_tries():
    async with Scene(DOWN, http(200, {}), certs("a")) as scene:
        for kind in (ApiError, ProtocolError):
            with pytest.raises(kind):
                await scene.find()
        assert await scene.has("a")


@pytest.mark.asyncio
async def test_keys_that_have_ended_are_no_keys():
    """Every call tries again, and waits as long as it would without any."""
    async with Scene(certs("a"), DOWN, DOWN, certs("b")) as scene:
        await scene.find()
        scene.clock.advance(USABLE_FOR)
        for _ in range(2):
            with pytest.raises(ApiError):
                await scene.find("a")
        assert await scene.has("b")
        assert scene.asked == [None] * 4


@pytest.mark.asyncio
async def test_an_empty_set_is_an_answer():
    async with Scene(certs("a"), http(200, {"keys": []})) as scene:
        await scene.find()
        scene.clock.advance(FRESH_FOR)
        assert not await scene.has("a")


@pytest.mark.asyncio
async def test_newer_keys_are_not_waited_for_long_where_there_are_some():
    async with Scene(certs("a"), silence, timeout=0.15) as scene:
        await scene.find()
        scene.clock.advance(FRESH_FOR)
        # The session's own limit is shorter here, for the sake of the test; what counts is what was asked for.
        assert await scene.has("a")
        assert scene.asked == [None, REFRESH_TIMEOUT]


@pytest.mark.asyncio
async def test_others_do_not_wait_for_newer_keys():
    gate = asyncio.Event()

    async def late(writer):
        await gate.wait()
        writer.write(certs("b"))

    async with Scene(certs("a"), late) as scene:
        await scene.find()
        scene.clock.advance(FRESH_FOR)
        asking = asyncio.create_task(scene.has("a"))
        while scene.fetches < 2:
            await asyncio.sleep(0)
        assert await scene.has("a")
        # One that is unknown so far does wait, for the same answer.
        waiting = asyncio.create_task(scene.has("b"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        gate.set()
        assert await waiting
        assert not await asking
        assert scene.fetches == 2


@pytest.mark.asyncio
async def test_keys_that_ended_while_newer_ones_were_waited_for():
    async with Scene(certs("a"), silence, timeout=0.1) as scene:
        await scene.find()
        scene.clock.advance(USABLE_FOR - 1)
        asking = asyncio.create_task(scene.find("a"))
        while scene.fetches < 2:
            await asyncio.sleep(0)
        scene.clock.advance(2)
        with pytest.raises(TransportError):
            await asking


@pytest.mark.asyncio
async def test_a_closed_session():
    async with Scene(certs("a")) as scene:
        await scene.find("a")
        await scene.session.close()
        scene.clock.advance(FRESH_FOR)
        assert await scene.has("a")
        with pytest.raises(ConfigurationError, match="open"):
            await scene.find("b")
