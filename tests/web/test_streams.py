"""Event streams: heartbeats, their end, their number, and what is left when a browser goes away."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import attrs
import pytest

from tests.helpers.event_loop import settle
from tests.helpers.web_site import Visitor, clock_of, serving
from tests.protocol.test_instructions import AUTHORIZATION
from twilio_oauth_async import SignIn, StoredFlow, StoreError
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.web.streams import HEARTBEAT, MAX_AGE, Streams

pytestmark = pytest.mark.asyncio

PENDING = SignIn.of(StoredFlow(id="id", user="ada", authorization=AUTHORIZATION))
APPROVED = attrs.evolve(PENDING, state="approved")
BEAT = b":\n\n"


class Source:
    """The states of a sign-in, as the test sends them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[SignIn | Exception | None] = asyncio.Queue()
        self.is_closed = False

    def send(self, *states: SignIn | Exception | None) -> None:
        for state in states:
            self.queue.put_nowait(state)

    async def states(self) -> AsyncGenerator[SignIn]:
        try:
            while (state := await self.queue.get()) is not None:
                if isinstance(state, Exception):
                    raise state
                yield state
        finally:
            self.is_closed = True


def streams(per_visitor: int = 6) -> tuple[Streams, VirtualClock]:
    clock = VirtualClock(auto=False)
    opened = Streams(clock, per_visitor)
    opened.open()
    return opened, clock


async def test_stream_sends_states_until_the_end() -> None:
    opened, _ = streams()
    source = Source()
    source.send(PENDING, attrs.evolve(PENDING, problem="503"), PENDING, APPROVED, None)
    chunks = [chunk async for chunk in opened.chunks("ada", source.states(), "")]
    assert chunks[0] == b"retry: 2000\n\n"
    ids, data = zip(*(chunk.decode().split("\n", 1) for chunk in chunks[1:]), strict=True)
    assert data == tuple(
        f'data: {{"state": "{state}", "note": {note}}}\n\n'
        for state, note in (
            ("pending", "null"),
            ("pending", '"unreachable"'),
            ("pending", "null"),
            ("approved", "null"),
        )
    )
    assert ids[0] == ids[2]
    assert len(set(ids)) == 3
    assert source.is_closed
    assert len(opened) == 0


async def test_state_that_the_browser_has_seen_is_not_sent_again() -> None:
    opened, _ = streams()
    source = Source()
    source.send(PENDING, None)
    first = [chunk async for chunk in opened.chunks("ada", source.states(), "")]
    last_id = first[1].decode().partition("\n")[0].removeprefix("id: ")
    again = Source()
    again.send(PENDING, APPROVED, None)
    chunks = [chunk async for chunk in opened.chunks("ada", again.states(), last_id)]
    assert [b"approved" in chunk for chunk in chunks] == [False, True]


async def test_idle_stream_has_heartbeats_and_ends_at_its_age() -> None:
    opened, clock = streams()
    source = Source()
    source.send(PENDING)
    reading = asyncio.create_task(collect(opened.chunks("ada", source.states(), "")))
    while not reading.done():
        await settle()
        clock.advance(HEARTBEAT)
    assert reading.result()[2:] == [BEAT] * (int(MAX_AGE / HEARTBEAT) - 1)
    assert source.is_closed


async def test_close_ends_all_streams_and_refuses_new_ones_until_open() -> None:
    opened, _ = streams()
    sources = [Source() for _ in range(5)]
    generators = [opened.chunks(str(number), source.states(), "") for number, source in enumerate(sources)]
    for generator in generators:
        await anext(generator)
    reading = [asyncio.create_task(collect(generator)) for generator in generators]
    await settle()
    opened.close()
    assert await asyncio.gather(*reading) == [[]] * 5
    assert all(source.is_closed for source in sources)
    assert opened.is_full("bob")
    assert await collect(opened.chunks("ada", Source().states(), "")) == []
    opened.open()
    assert not opened.is_full("bob")
    assert len(opened) == 0


async def collect(generator: AsyncGenerator[bytes]) -> list[bytes]:
    return [chunk async for chunk in generator]


async def test_streams_of_another_server_are_accepted_after_one_has_stopped() -> None:
    opened, _ = streams()
    reading = asyncio.create_task(collect(opened.chunks("ada", Source().states(), "")))
    await settle()
    opened.end()
    assert len(await reading) == 1
    assert not opened.is_full("ada")
    source = Source()
    source.send(PENDING, None)
    assert len(await collect(opened.chunks("ada", source.states(), ""))) == 2


async def test_streams_that_are_opened_at_the_same_time_are_limited() -> None:
    opened, _ = streams(per_visitor=3)
    generators = [opened.chunks("ada", Source().states(), "") for _ in range(10)]
    first = [await anext(generator, None) for generator in generators]
    assert [chunk is not None for chunk in first] == [True] * 3 + [False] * 7
    for generator in generators:
        await generator.aclose()
    assert len(opened) == 0


async def test_error_of_the_store_ends_the_stream() -> None:
    opened, _ = streams()
    source = Source()
    source.send(PENDING, StoreError("disk"))
    assert len(await collect(opened.chunks("ada", source.states(), ""))) == 2
    assert len(opened) == 0


@pytest.mark.parametrize("chunks_read", [0, 1, 2])
async def test_stream_that_is_closed_or_cancelled_leaves_nothing(chunks_read: int) -> None:
    opened, _ = streams()
    before = len(asyncio.all_tasks())
    for cancels in (False, True):
        source = Source()
        source.send(PENDING)
        generator = opened.chunks("ada", source.states(), "")

        async def read(generator: AsyncGenerator[bytes] = generator) -> None:
            async with aclosing(generator):
                for _ in range(chunks_read):
                    await anext(generator)
                if cancels:  # noqa: B023 - called in this iteration
                    await anext(generator)
                    await anext(generator)
                    await anext(generator)

        reading = asyncio.create_task(read())
        await settle()
        reading.cancel()
        await asyncio.wait({reading})
        assert len(opened) == 0
    gc.collect()
    assert len(asyncio.all_tasks()) == before


async def test_visitor_has_a_limited_number_of_streams(framework: str, emulator: Any, state: Any) -> None:
    async with serving(framework, emulator, state, streams_per_visitor=2) as url, Visitor(url) as ada:
        await ada.connect()
        async with ada.request("GET", "/events") as one, ada.request("GET", "/events") as two:
            for stream in (one, two):
                assert await stream.content.readline() == b"retry: 2000\n"
            async with ada.request("GET", "/events") as three:
                assert three.status == 429
            async with Visitor(url) as bob:
                await bob.connect()
                async with bob.request("GET", "/events") as other:
                    assert other.status == 200
        # The server notices that the browser has gone away at the next heartbeat at the latest.
        async with asyncio.timeout(20):
            while True:
                clock_of(emulator).advance(HEARTBEAT)
                async with ada.request("GET", "/events") as four:
                    if four.status == 200:
                        break
                await asyncio.sleep(0.02)


async def test_head_request_opens_no_stream(new_visitor: Any) -> None:
    ada = new_visitor()
    await ada.connect()
    for _ in range(20):
        async with ada.request("HEAD", "/events") as response:
            assert response.status == 200
            assert await response.read() == b""
    async with ada.request("GET", "/events") as response:
        assert response.status == 200


async def test_stream_is_not_buffered_by_proxies(new_visitor: Any) -> None:
    ada = new_visitor()
    await ada.connect()
    async with ada.request("GET", "/events") as response:
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["Cache-Control"] == "no-store"
