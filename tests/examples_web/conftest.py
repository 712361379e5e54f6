"""Both examples at an emulator whose time passes only when a test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers.browser import browser
from tests.helpers.web_site import NAMES, Person, serving, use
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

__all__ = ["browser"]  # a fixture


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest_asyncio.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    async with Emulator(clock=VirtualClock(auto=False)) as emulator:
        use(emulator, monkeypatch)
        yield emulator


@pytest_asyncio.fixture
async def new_person(name: str, state: Path, emulator: Emulator) -> AsyncIterator[Callable[[], Person]]:
    """People in front of the example."""
    async with serving(name, state) as url, AsyncExitStack() as stack:

        def make() -> Person:
            person = Person(url)
            stack.push_async_exit(person)
            return person

        yield make
