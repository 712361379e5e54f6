"""The pytest plugin (entry point ``pytest11``): an emulator and a session on one virtual clock in any async test.

::

    async def test_sign_in(twilio_oauth_emulator, twilio_oauth_session):
        e = twilio_oauth_emulator
        flow = DeviceFlow(twilio_oauth_session, client_sid=e.client_sid, scopes=["openid"],
                          prompt=lambda a: e.approve(a.user_code))
        token = await flow.run()

pytest loads this module at every start of every run, whether a test uses it or not. It therefore imports nothing but
pytest, and the fixtures import what they need when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twilio_oauth_async.clock import VirtualClock


def pytest_configure(config: pytest.Config) -> None:
    """Add the fixtures that need pytest-asyncio, now that pytest has loaded it itself if it is there."""
    from twilio_oauth_async import pytest_fixtures

    config.pluginmanager.register(pytest_fixtures, "twilio_oauth_fixtures")


@pytest.fixture
def twilio_oauth_clock() -> VirtualClock:
    """The `VirtualClock` that `twilio_oauth_emulator` and `twilio_oauth_session` share.

    Override it for another start, or for ``VirtualClock(auto=False)``, which only ``advance`` moves: right where
    something that the event loop does not see (a browser, a database) has to act while a flow waits.
    """
    from twilio_oauth_async.clock import VirtualClock

    return VirtualClock()


@pytest.fixture
def twilio_oauth_emulator_options() -> Mapping[str, Any]:
    """Keyword arguments of `Emulator`, besides `clock`; by default none, so that it listens on a free port.

    Override it in a conftest, a module or a class, or for one test by parametrizing it::

        @pytest.fixture
        def twilio_oauth_emulator_options():
            return {"port": 5000, "dates": "iso8601"}

        @pytest.mark.parametrize("twilio_oauth_emulator_options", [{"errors": "twilio"}])
        async def test_with_twilio_s_errors(twilio_oauth_emulator): ...

    A port that is named serves one test at a time: with pytest-xdist give each worker its own.
    """
    return {}


@pytest.fixture
def twilio_oauth_session_options() -> Mapping[str, Any]:
    """More keyword arguments of the `OAuthSession`, for example ``{"retry": RetryPolicy.none()}``; by default none."""
    return {}
