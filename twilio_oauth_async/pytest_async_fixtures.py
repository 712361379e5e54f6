"""The asynchronous fixtures of the pytest plugin."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pytest

from twilio_oauth_async.extras import MissingExtraError, from_extra

if TYPE_CHECKING:
    from twilio_oauth_async.client.session import OAuthSession
    from twilio_oauth_async.clock import VirtualClock
    from twilio_oauth_async.emulator import Emulator
    from twilio_oauth_async.emulator.faults.faults import Faults


async def _serve(
    clock: VirtualClock, options: Mapping[str, Any], report_unused_faults: bool
) -> AsyncIterator[Emulator]:
    if "clock" in options:
        pytest.fail(
            "twilio_oauth_emulator_options must not contain `clock`: override the fixture twilio_oauth_clock",
            pytrace=False,
        )
    async with load_emulator()(clock=clock, **options) as emulator:
        yield emulator
        if report_unused_faults:
            check_faults(emulator.faults)


async def _connect(e: Emulator, options: Mapping[str, Any]) -> AsyncIterator[OAuthSession]:
    from twilio_oauth_async.client.session import OAuthSession

    options = {"base_url": e.base_url, "issuer": e.issuer, "clock": e.clock, **options}
    async with OAuthSession(e.account_sid, e.auth_token, **options) as session:
        yield session


# Each library that runs asynchronous tests has an event loop of its own, so there is a fixture for each of them.


def _missing_plugin() -> str | None:
    """Return what to install if pytest-asyncio is missing."""
    try:
        with from_extra("pytest", "pytest_asyncio"):
            importlib.import_module("pytest_asyncio")
    except MissingExtraError as error:
        return str(error)
    return None


_MISSING = _missing_plugin()


def _pytest_asyncio_fixture(function: Callable[..., AsyncIterator[object]]) -> object:
    """Apply ``pytest_asyncio.fixture``. If it is missing, return a fixture that fails and says what to install."""
    if _MISSING is not None:
        message = _MISSING

        def fail() -> None:
            pytest.fail(message, pytrace=False)

        return pytest.fixture(fail, name=function.__name__)
    import pytest_asyncio

    return pytest_asyncio.fixture(function)


@_pytest_asyncio_fixture
async def _twilio_oauth_emulator_of_pytest_asyncio(
    twilio_oauth_clock: VirtualClock,
    twilio_oauth_emulator_options: Mapping[str, Any],
    twilio_oauth_report_unused_faults: bool,
) -> AsyncIterator[Emulator]:
    served = _serve(twilio_oauth_clock, twilio_oauth_emulator_options, twilio_oauth_report_unused_faults)
    async for emulator in served:
        yield emulator


@_pytest_asyncio_fixture
async def _twilio_oauth_session_of_pytest_asyncio(
    twilio_oauth_emulator: Emulator, twilio_oauth_session_options: Mapping[str, Any]
) -> AsyncIterator[OAuthSession]:
    async for session in _connect(twilio_oauth_emulator, twilio_oauth_session_options):
        yield session


@pytest.fixture
async def _twilio_oauth_emulator_of_anyio(
    twilio_oauth_clock: VirtualClock,
    twilio_oauth_emulator_options: Mapping[str, Any],
    twilio_oauth_report_unused_faults: bool,
) -> AsyncIterator[Emulator]:
    served = _serve(twilio_oauth_clock, twilio_oauth_emulator_options, twilio_oauth_report_unused_faults)
    async for emulator in served:
        yield emulator


@pytest.fixture
async def _twilio_oauth_session_of_anyio(
    twilio_oauth_emulator: Emulator, twilio_oauth_session_options: Mapping[str, Any]
) -> AsyncIterator[OAuthSession]:
    async for session in _connect(twilio_oauth_emulator, twilio_oauth_session_options):
        yield session


# The fixtures that a test may parametrize must be arguments here, so that pytest knows of them before the test starts.


@pytest.fixture
def twilio_oauth_emulator(
    request: pytest.FixtureRequest,
    twilio_oauth_clock: VirtualClock,  # noqa: ARG001 - see above
    twilio_oauth_emulator_options: Mapping[str, Any],  # noqa: ARG001
    twilio_oauth_report_unused_faults: bool,  # noqa: ARG001
) -> Emulator:
    """A running `Emulator` for one test, on `twilio_oauth_clock`; see `twilio_oauth_emulator_options`."""
    emulator: Emulator = request.getfixturevalue(f"_twilio_oauth_emulator_of_{_runner_of(request)}")
    return emulator


@pytest.fixture
def twilio_oauth_session(
    request: pytest.FixtureRequest,
    twilio_oauth_emulator: Emulator,  # noqa: ARG001 - see above
    twilio_oauth_session_options: Mapping[str, Any],  # noqa: ARG001
) -> OAuthSession:
    """An open `OAuthSession` for the account of `twilio_oauth_emulator`, on the same clock."""
    session: OAuthSession = request.getfixturevalue(f"_twilio_oauth_session_of_{_runner_of(request)}")
    return session


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


def _runner_of(request: pytest.FixtureRequest) -> Literal["pytest_asyncio", "anyio"]:
    """Return what runs the test. Fail a test for which the emulator would not run: its requests would time out."""
    asyncio_marker, anyio_marker = (request.node.get_closest_marker(name) for name in ("asyncio", "anyio"))
    if asyncio_marker is not None and anyio_marker is not None:
        pytest.fail(
            "both pytest-asyncio (in auto mode) and anyio take this test, with different event loops: "
            'set asyncio_mode = "strict", or remove the marker anyio',
            pytrace=False,
        )
    used_directly = {"twilio_oauth_emulator", "twilio_oauth_session"} & set(
        inspect.signature(request.function).parameters
    )
    if used_directly and asyncio_marker is None and anyio_marker is None:
        pytest.fail(
            _MISSING
            or "twilio_oauth_emulator needs a test that pytest-asyncio or anyio runs: make the test `async def`, "
            "and in strict mode mark it with @pytest.mark.asyncio; a synchronous test can use "
            "twilio_oauth_emulator_in_thread",
            pytrace=False,
        )
    if asyncio_marker is None and "anyio_backend" in request.fixturenames:
        if request.getfixturevalue("anyio_backend_name") != "asyncio":
            pytest.fail(
                "the emulator runs with asyncio only: let the fixture anyio_backend return 'asyncio'", pytrace=False
            )
        return "anyio"
    if asyncio_marker is not None and used_directly:
        _check_loop_scope(request, asyncio_marker)
    return "pytest_asyncio"


def _check_loop_scope(request: pytest.FixtureRequest, marker: pytest.Mark) -> None:
    """Fail a test that runs in another event loop than the fixtures."""
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
