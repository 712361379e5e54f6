"""The emulator on a clock that starts now, since foreign verifiers look at the real one, and its face by the RFCs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.helpers.contract_proxies import RfcFace
from tests.helpers.foreign_time import HEAD_START
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator


@pytest.fixture
def clock() -> VirtualClock:
    # A whole second: claims are whole ones, and the time between two of them is then that between the events.
    return VirtualClock(datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=HEAD_START))


@pytest.fixture
def emulator_options() -> dict[str, Any]:
    """For a test to parametrize."""
    return {}


@pytest_asyncio.fixture
async def emulator(clock: VirtualClock, emulator_options: dict[str, Any]) -> AsyncIterator[Emulator]:
    async with Emulator(clock=clock, **emulator_options) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def rfc(emulator: Emulator) -> AsyncIterator[RfcFace]:
    async with RfcFace(emulator) as face:
        yield face
