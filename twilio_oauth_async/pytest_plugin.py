"""The pytest plugin (entry point ``pytest11``): fixtures for an emulator and a session that share a virtual clock.

::

    async def test_sign_in(twilio_oauth_emulator, twilio_oauth_session):
        e = twilio_oauth_emulator
        flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"],
                          prompt=lambda a: e.approve(a.user_code))
        token = await flow.run()

pytest loads this module at the start of every run, whether a test uses it or not. It therefore imports only pytest;
the fixtures import what they need when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twilio_oauth_async.clock import VirtualClock
    from twilio_oauth_async.emulator.control.in_thread import EmulatorThread


def pytest_configure(config: pytest.Config) -> None:
    """Register the fixtures that need pytest-asyncio; pytest has loaded that plugin by now if it is installed."""
    from twilio_oauth_async import pytest_async_fixtures

    config.pluginmanager.register(pytest_async_fixtures, "twilio_oauth_fixtures")


@pytest.fixture
def twilio_oauth_clock() -> VirtualClock:
    """The `VirtualClock` that `twilio_oauth_emulator` and `twilio_oauth_session` share.

    Override it for another start time, or for ``VirtualClock(auto=False)``, which only ``advance`` moves. Use that if
    something outside the event loop (a browser, a database) has to act while a flow waits.
    """
    from twilio_oauth_async.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def twilio_oauth_emulator_options() -> Mapping[str, Any]:
    """Keyword arguments of `Emulator`, except `clock`. Default: none; the emulator listens on a free port.

    Override it in a conftest, a module or a class, or parametrize it for one test::

        @pytest.fixture
        def twilio_oauth_emulator_options():
            return {"port": 5000, "dates": "iso8601"}

        @pytest.mark.parametrize("twilio_oauth_emulator_options", [{"errors": "twilio"}])
        async def test_with_twilio_errors(twilio_oauth_emulator): ...

    A fixed port can be used by one test at a time: with pytest-xdist, use a different port in each worker.
    """
    return {}


@pytest.fixture
def twilio_oauth_emulator_in_thread(
    twilio_oauth_emulator_options: Mapping[str, Any], twilio_oauth_report_unused_faults: bool
) -> Iterator[EmulatorThread]:
    """A running emulator in a thread of its own, for synchronous tests: Django, Flask, FastAPI's test client, unittest.

    It has the methods of `Emulator` without `async`, and runs on the system's clock: `interval` is 1 second unless
    `twilio_oauth_emulator_options` says otherwise.
    """
    from twilio_oauth_async.pytest_async_fixtures import check_faults, load_emulator

    options = {"interval": 1, **twilio_oauth_emulator_options}
    with load_emulator().in_thread(**options) as emulator:
        yield emulator
        if twilio_oauth_report_unused_faults:
            check_faults(emulator.faults)


@pytest.fixture
def twilio_oauth_report_unused_faults() -> bool:
    """Whether a test fails at its end if a fault did not fire, or has no effect. Override it to return False."""
    return True


@pytest.fixture
def twilio_oauth_session_options() -> Mapping[str, Any]:
    """More keyword arguments of `OAuthSession`, for example ``{"retry": RetryPolicy.none()}``. Default: none."""
    return {}
