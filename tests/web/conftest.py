"""A sign-in site in both frameworks, with an emulator whose clock advances only when a test advances it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers.browser import browser
from tests.helpers.web_site import FRAMEWORKS, Visitor, serving
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

__all__ = ["browser"]  # a fixture

NewVisitor = Callable[[], Visitor]


@pytest.fixture(params=FRAMEWORKS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest_asyncio.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(clock=VirtualClock(auto=False)) as emulator:
        yield emulator


@pytest_asyncio.fixture
async def new_visitor(framework: str, state: Path, emulator: Emulator) -> AsyncIterator[NewVisitor]:
    """Return a function that makes a new visitor of the site."""
    async with serving(framework, emulator, state) as url, AsyncExitStack() as stack:

        def make() -> Visitor:
            visitor = Visitor(url)
            stack.push_async_exit(visitor)
            return visitor

        yield make
