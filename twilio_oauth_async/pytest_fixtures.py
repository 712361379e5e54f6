"""The asynchronous fixtures of the pytest plugin."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from twilio_oauth_async.extras import MissingExtraError, from_extra

if TYPE_CHECKING:
    from twilio_oauth_async.client.session import OAuthSession
    from twilio_oauth_async.clock import VirtualClock
    from twilio_oauth_async.emulator import Emulator


def _async_fixture(function: Callable[..., AsyncIterator[object]]) -> object:
    """``pytest_asyncio.fixture``; where that is missing, a fixture of the same name that says so once it is used."""
    try:
        with from_extra("pytest", "pytest_asyncio"):
            import pytest_asyncio
    except MissingExtraError as error:
        message = str(error)

        def fail() -> None:
            pytest.fail(message, pytrace=False)

        fail.__doc__ = function.__doc__
        return pytest.fixture(fail, name=function.__name__)
    return pytest_asyncio.fixture(function)


@_async_fixture
async def twilio_oauth_emulator(
    request: pytest.FixtureRequest,
    twilio_oauth_clock: VirtualClock,
    twilio_oauth_emulator_options: Mapping[str, Any],
) -> AsyncIterator[Emulator]:
    """A running `Emulator` of the test's own, on `twilio_oauth_clock`; see `twilio_oauth_emulator_options`."""
    _demand_one_event_loop(request)
    if "clock" in twilio_oauth_emulator_options:
        pytest.fail("the session shares the emulator's clock: override the fixture twilio_oauth_clock", pytrace=False)
    async with _load_emulator()(clock=twilio_oauth_clock, **twilio_oauth_emulator_options) as emulator:
        yield emulator


@_async_fixture
async def twilio_oauth_session(
    twilio_oauth_emulator: Emulator, twilio_oauth_session_options: Mapping[str, Any]
) -> AsyncIterator[OAuthSession]:
    """An open `OAuthSession` for the account of `twilio_oauth_emulator`, on the same clock."""
    from twilio_oauth_async.client.session import OAuthSession

    e = twilio_oauth_emulator
    given: dict[str, Any] = {
        "base_url": e.base_url,
        "issuer": e.issuer,
        "clock": e.clock,
        **twilio_oauth_session_options,
    }
    async with OAuthSession(e.account_sid, e.auth_token, **given) as session:
        yield session


def _load_emulator() -> type[Emulator]:
    try:
        with from_extra("pytest", "jinja2", "joserfc", "cryptography"):
            from twilio_oauth_async.emulator import Emulator
    except MissingExtraError as error:
        missing = str(error)
    else:
        return Emulator
    pytest.fail(missing, pytrace=False)


def _demand_one_event_loop(request: pytest.FixtureRequest) -> None:
    """Refuse a test that would wait in vain: the emulator answers only while the event loop of its fixture runs."""
    if not {"twilio_oauth_emulator", "twilio_oauth_session"} & set(inspect.signature(request.function).parameters):
        return  # another fixture asked, and runs in the same event loop
    marker = request.node.get_closest_marker("asyncio")
    if marker is None:
        pytest.fail(
            "twilio_oauth_emulator answers only while pytest-asyncio runs the test: make it `async def`, "
            "and in strict mode mark it with @pytest.mark.asyncio",
            pytrace=False,
        )
    of_test = marker.kwargs.get("loop_scope") or request.config.getini("asyncio_default_test_loop_scope")
    of_fixture = request.config.getini("asyncio_default_fixture_loop_scope")
    if of_fixture in {None, "", "fixture-scope"}:
        of_fixture = "function"
    if of_test != of_fixture:
        pytest.fail(
            f"the test runs in the event loop of its {of_test}, twilio_oauth_emulator in that of its {of_fixture}: "
            f'set asyncio_default_fixture_loop_scope = "{of_test}"',
            pytrace=False,
        )
