"""The emulator with a clock that starts now, because other verifiers use the system clock, and its `RfcProxy`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.helpers.contract_proxies import RfcProxy
from tests.helpers.node_client import install
from tests.helpers.virtual_sleep import HEAD_START
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator


@pytest.fixture
def clock() -> VirtualClock:
    # Without microseconds, because claims are whole seconds; then their differences are exact.
    return VirtualClock(datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=HEAD_START))


@pytest.fixture
def emulator_options() -> dict[str, Any]:
    """Options of the emulator; tests parametrize them."""
    return {}


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the scripts and the packages of npm."""
    base = tmp_path_factory.getbasetemp()
    # Each worker of pytest-xdist has its own folder inside the folder of the run.
    return install((base.parent if base.name.startswith("popen-") else base) / "node")


@pytest_asyncio.fixture
async def emulator(clock: VirtualClock, emulator_options: dict[str, Any]) -> AsyncIterator[Emulator]:
    async with Emulator(clock=clock, **emulator_options) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def rfc(emulator: Emulator) -> AsyncIterator[RfcProxy]:
    async with RfcProxy(emulator) as proxy:
        yield proxy
