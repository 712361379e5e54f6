"""`DevicePoller`: waits until the next poll of a device flow is due, and sends it. `polling` interprets responses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from twilio_oauth_async import telemetry
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.protocol import polling, token_endpoint
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.messages import Request
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.polling import Approved, Step

_log = logging.getLogger("twilio_oauth_async.grants.device_flow")  # one logger for all records of a device flow


class MonotonicNow:
    """Returns the current time, and is not affected by later changes of the wall clock.

    The wall clock is read once, when the object is created. A call adds the monotonic time that has passed since then.
    """

    # A closure would need three times the memory; there is one for each flow that waits.
    __slots__ = ("_monotonic", "_start", "_wall")

    def __init__(self, clock: Clock) -> None:
        """Read both clocks."""
        self._wall = clock.now()
        self._monotonic = clock.monotonic
        self._start = clock.monotonic()

    def __call__(self) -> datetime:
        """Return the time: aware, UTC."""
        return self._wall + timedelta(seconds=self._monotonic() - self._start)


class DevicePoller:
    """Sends the polls of one device flow. The request is built once; each call gets the state of the flow."""

    __slots__ = ("_accept", "_now", "_request", "_session")

    def __init__(
        self,
        session: OAuthSession,
        request: Request,
        now: Callable[[], datetime],
        accept: Callable[[Token], Awaitable[Token]],
    ) -> None:
        """Create a poller.

        Args:
            session: sends the polls.
            request: the token request.
            now: returns the time: `MonotonicNow` for a flow that is polled to its end, the wall clock for a
                single poll.
            accept: is called with the token of the response; returns the token to use, or raises.
        """
        self._session = session
        self._request = request
        self._now = now
        self._accept = accept

    def seconds_to_poll(self, state: DeviceAuthorization) -> float:
        """Return the seconds until the next poll may be sent; 0 if it is due.

        Raises:
            DeviceCodeExpiredError: no poll is possible before the code expires.
        """
        seconds = polling.seconds_to_poll(state, self._now())
        if seconds is None:
            raise polling.expired(state)
        return seconds

    async def wait_until_due(self, state: DeviceAuthorization) -> None:
        """Wait until the next poll may be sent; raises as `seconds_to_poll`."""
        # Checked again after the sleep: a machine that was suspended may wake up after the code has expired.
        while (seconds := self.seconds_to_poll(state)) > 0:
            await self._session.clock.sleep(seconds)

    async def poll(self, state: DeviceAuthorization) -> Step:
        """Send one poll now.

        Raises:
            TwilioOAuthError: the error that ends the flow.
        """
        # The request is sent before the code expires. Its response counts, even if it arrives later.
        outcome = await self._session.exchange(self._request, token_endpoint.parse_poll)
        step = polling.advance(state, outcome, self._now())
        if telemetry.observer is not None:
            telemetry.observer.count("twilio_oauth.polls", {"step": type(step).__name__})
        if isinstance(step, Approved):
            try:
                step = Approved(await self._accept(step.token))
            except TwilioOAuthError as error:
                _log.info("device flow of %s ended: %s", state.client_sid, error)
                raise
        if isinstance(step, TwilioOAuthError):
            _log.info("device flow of %s ended: %s", state.client_sid, step)
            raise step
        level = logging.INFO if isinstance(step, Approved) else logging.DEBUG
        _log.log(level, "device flow of %s: %s", state.client_sid, type(step).__name__)
        return step
