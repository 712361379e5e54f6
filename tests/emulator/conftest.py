"""A running emulator on a virtual clock, and an HTTP client that does not use the package's client code."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from tests.helpers.emulator_caller import CONTROL_TOKEN, Caller, Remote
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator


@pytest_asyncio.fixture
async def clock() -> VirtualClock:
    return VirtualClock(auto=False)


@pytest_asyncio.fixture
async def emulator(clock: VirtualClock) -> AsyncIterator[Emulator]:
    async with Emulator(clock=clock) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def caller(emulator: Emulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(emulator, http)


@pytest_asyncio.fixture
async def remote(clock: VirtualClock) -> AsyncIterator[Remote]:
    async with Emulator(clock=clock, control_token=CONTROL_TOKEN) as emulator, aiohttp.ClientSession() as http:
        yield Remote(emulator, http)
