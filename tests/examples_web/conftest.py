"""Both examples at an emulator whose time passes only when a test says so."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers.web_site import NAMES, Person, serving
from twilio_oauth_async import OAuthSession, RetryPolicy
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

NewPerson = Callable[[], Person]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def use(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell an example by the environment, as for the real service, to sign in at `emulator`, in its time."""
    monkeypatch.setenv("TWILIO_CLIENT_ID", emulator.client_sid)
    monkeypatch.setenv("TWILIO_CLIENT_SECRET", emulator.client_secret or "")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", emulator.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", emulator.auth_token)
    monkeypatch.setenv("TWILIO_OAUTH_URL", emulator.base_url)
    in_its_time = functools.partial(OAuthSession.from_env, clock=emulator.clock, retry=RetryPolicy.none())
    monkeypatch.setattr(OAuthSession, "from_env", in_its_time)


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
