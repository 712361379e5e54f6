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
    from twilio_oauth_async.emulator.faults.faults import Faults


def _async_fixture(function: Callable[..., AsyncIterator[object]]) -> object:
    """Apply ``pytest_asyncio.fixture``. If it is missing, return a fixture that fails and says what to install."""
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
    twilio_oauth_report_unused_faults: bool,
) -> AsyncIterator[Emulator]:
    """A running `Emulator` for one test, on `twilio_oauth_clock`; see `twilio_oauth_emulator_options`."""
    _check_event_loop(request)
    if "clock" in twilio_oauth_emulator_options:
        pytest.fail(
            "twilio_oauth_emulator_options must not contain `clock`: override the fixture twilio_oauth_clock",
            pytrace=False,
        )
    async with load_emulator()(clock=twilio_oauth_clock, **twilio_oauth_emulator_options) as emulator:
        yield emulator
        if twilio_oauth_report_unused_faults:
            check_faults(emulator.faults)


@_async_fixture
async def twilio_oauth_session(
    twilio_oauth_emulator: Emulator, twilio_oauth_session_options: Mapping[str, Any]
) -> AsyncIterator[OAuthSession]:
    """An open `OAuthSession` for the account of `twilio_oauth_emulator`, on the same clock."""
    from twilio_oauth_async.client.session import OAuthSession

    e = twilio_oauth_emulator
    options: dict[str, Any] = {
        "base_url": e.base_url,
        "issuer": e.issuer,
        "clock": e.clock,
        **twilio_oauth_session_options,
    }
    async with OAuthSession(e.account_sid, e.auth_token, **options) as session:
        yield session


def check_faults(faults: Faults) -> None:
    """Fail the test if a fault did not fire as often as it was to, because the test then proves less than it seems."""
    idle = [fault for fault in faults if not fault.has_effect]
    if idle:
        pytest.fail(f"faults without an effect, say what goes wrong: {', '.join(map(repr, idle))}", pytrace=False)
    if faults.unused:
        unused = ", ".join(map(repr, faults.unused))
        pytest.fail(
            f"faults that did not fire: {unused}. Remove them, or override the fixture "
            "twilio_oauth_report_unused_faults to return False",
            pytrace=False,
        )


def load_emulator() -> type[Emulator]:
    """Return `Emulator`; fail the test with what to install if its extra is missing."""
    try:
        with from_extra("pytest", "jinja2", "joserfc", "cryptography"):
            from twilio_oauth_async.emulator import Emulator
    except MissingExtraError as error:
        missing = str(error)
    else:
        return Emulator
    pytest.fail(missing, pytrace=False)


def _check_event_loop(request: pytest.FixtureRequest) -> None:
    """Fail a test that runs in another event loop than the emulator, because its requests would time out."""
    if not {"twilio_oauth_emulator", "twilio_oauth_session"} & set(inspect.signature(request.function).parameters):
        return  # requested by another fixture, which runs in the same event loop
    marker = request.node.get_closest_marker("asyncio")
    if marker is None:
        pytest.fail(
            "twilio_oauth_emulator needs a test that pytest-asyncio runs: make the test `async def`, "
            "and in strict mode mark it with @pytest.mark.asyncio; a synchronous test can use "
            "twilio_oauth_emulator_in_thread",
            pytrace=False,
        )
    test_scope = marker.kwargs.get("loop_scope") or request.config.getini("asyncio_default_test_loop_scope")
    fixture_scope = request.config.getini("asyncio_default_fixture_loop_scope")
    if fixture_scope in {None, "", "fixture-scope"}:
        fixture_scope = "function"
    if test_scope != fixture_scope:
        pytest.fail(
            f"the test runs in an event loop of scope {test_scope}, twilio_oauth_emulator in one of scope "
            f'{fixture_scope}: set asyncio_default_fixture_loop_scope = "{test_scope}"',
            pytrace=False,
        )
