"""The polls of one device flow: waits until one is due, asks once. What an answer means is `polling`'s affair."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from twilio_oauth_async import telemetry
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.protocol import polling, v1
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.messages import Request
from twilio_oauth_async.protocol.polling import Approved, Step

_log = logging.getLogger("twilio_oauth_async.grants.device_flow")  # a flow's records come under one name


def steady(clock: Clock) -> Callable[[], datetime]:
    """A reading of the wall clock that moves on with the monotonic one: jumps do not reach a flow under way."""
    wall, start = clock.now(), clock.monotonic()
    return lambda: wall + timedelta(seconds=clock.monotonic() - start)


class DevicePoller:
    """Holds the request, built once, and the time by which the flow is judged; the flow's state is an argument."""

    __slots__ = ("_now", "_request", "_session", "client_sid")

    def __init__(self, session: OAuthSession, request: Request, client_sid: str, now: Callable[[], datetime]) -> None:
        """`now` reads the time that `state` was made by: `steady` for a flow that is watched, else the wall clock."""
        self._session = session
        self._request = request
        self._now = now
        self.client_sid = client_sid

    def seconds_to_poll(self, state: DeviceAuthorization) -> float:
        """Seconds until the next poll may be sent; 0 where it is due.

        Raises:
            DeviceCodeExpiredError: none fits in before the code expires.
        """
        seconds = polling.seconds_to_poll(state, self._now())
        if seconds is None:
            raise polling.expired()
        return seconds

    async def until_due(self, state: DeviceAuthorization) -> None:
        """Wait until the next poll may be sent; raises as `seconds_to_poll`."""
        # Asked again afterwards: a machine that was suspended wakes up after the code has expired.
        while (seconds := self.seconds_to_poll(state)) > 0:
            await self._session.clock.sleep(seconds)

    async def poll(self, state: DeviceAuthorization) -> Step:
        """Ask the server, now, once.

        Raises:
            TwilioOAuthError: what ends the flow.
        """
        left = (state.expires_at - self._now()).total_seconds()
        outcome = await self._session.exchange(self._request, v1.parse_token, timeout=left)
        step = polling.advance(state, outcome, self._now())
        if telemetry.observer is not None:
            telemetry.observer.count("twilio_oauth.polls", {"step": type(step).__name__})
        if isinstance(step, TwilioOAuthError):
            _log.info("device flow of %s ended: %s", self.client_sid, step)
            raise step
        _log.log(
            logging.INFO if isinstance(step, Approved) else logging.DEBUG,
            "device flow of %s: %s",
            self.client_sid,
            type(step).__name__,
        )
        return step
