"""`DeviceFlow`: a user approves on another device, and this program obtains the token (RFC 8628).

`polling` decides what a response means; `device_poller` waits and sends the polls.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import attrs

from twilio_oauth_async import telemetry
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.clock import spread, wait_for_all
from twilio_oauth_async.errors import ConfigurationError, TwilioOAuthError
from twilio_oauth_async.grants.base import GrantBase
from twilio_oauth_async.grants.device_poller import DevicePoller, MonotonicNow
from twilio_oauth_async.protocol import device_authorization, parameters, polling, token_endpoint
from twilio_oauth_async.protocol.argument_checks import check_callable
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.polling import Approved, Pending, SlowedDown, Step, Unreachable
from twilio_oauth_async.protocol.token_endpoint import DEVICE_CODE_GRANT
from twilio_oauth_async.tasks import create_task

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier

PROMPT_TIMEOUT = 1.0
"""Seconds that `DeviceFlow.run` waits for a prompt that was cancelled, because the token has arrived."""

_log = logging.getLogger(__name__)


@attrs.frozen
class CodeIssued:
    """Event of a device flow: the server has issued a code. Show it to the user."""

    authorization: DeviceAuthorization


DeviceFlowEvent: TypeAlias = CodeIssued | Pending | SlowedDown | Unreachable | Approved
Prompt: TypeAlias = Callable[[DeviceAuthorization], Awaitable[None] | None]


class DeviceFlow(GrantBase):
    """The device grant. Holds no state of a sign-in: one object serves any number of sign-ins at once."""

    def __init__(
        self,
        session: OAuthSession,
        *,
        client_sid: str,
        scopes: Sequence[str],
        audiences: Sequence[str] = (),
        client_secret: str | None = None,
        device_id: str | None = None,
        grant_type: str = DEVICE_CODE_GRANT,
        prompt: Prompt | None = None,
        verifier: IdTokenVerifier | None = None,
    ) -> None:
        """Create a device flow; nothing is sent.

        Args:
            session: sends the requests. It must be open then; the flow does not close it.
            client_sid: the SID of the OAuth app.
            scopes: the scopes to request; at least one, and no more than the program needs (RFC 9700 2.3).
            audiences: the intended audiences of the token.
            client_secret: the secret of a confidential app.
            device_id: the ID of the device that will hold the refresh token.
            grant_type: the value of ``GrantType`` in a poll.
            prompt: a function or coroutine function that shows the user what to do, usually
                ``authorization.instructions()``. The first poll is sent after it returns. `run` needs it.
            verifier: verifies the ID token of each sign-in and `refresh`. A sign-in is verified within the poll that
                receives its token, so the same holds for `run`, `wait`, `poll`, `events` and `DeviceFlowPool`. A token
                that is returned has a verified ID token, or none: the ID token is left out if the keys of the server
                cannot be fetched. Without a verifier, ID tokens are returned as received.

        Raises:
            ConfigurationError: `client_sid` or `scopes` is empty, a value is not printable ASCII, or `prompt` is not
                callable.
        """
        check_callable("prompt", prompt, "a function that takes the DeviceAuthorization")
        self._code_request = device_authorization.build_device_code(
            client_sid=client_sid, scopes=scopes, audiences=audiences
        )
        parameters.check_parameters({"grant_type": grant_type, "client_secret": client_secret, "device_id": device_id})
        super().__init__(
            session,
            client_sid=client_sid,
            client_secret=client_secret,
            scopes=scopes,
            audiences=audiences,
            verifier=verifier,
        )
        self.prompt = prompt
        self._device_id = device_id
        self._grant_type = grant_type
        self._accept = self._accept_sign_in  # one bound method for all flows

    def __repr__(self) -> str:
        return f"DeviceFlow(client_sid={self.client_sid!r}, scopes={self.scopes!r})"

    async def run(self) -> Token:
        """Request a code, show it with `prompt`, and poll until the user approves or denies.

        A prompt that is a coroutine function runs beside the polls, and is cancelled when they end. An exception of the
        prompt ends the flow: the user has not seen the code.

        Raises:
            ConfigurationError: there is no prompt; nothing was sent.
            AccessDeniedError: the user denied.
            DeviceCodeExpiredError: the code expired before the user approved or denied.
            AnswerLostError: the response that held the token was lost.
            IdTokenError: the flow has a verifier, and the ID token is invalid, or is missing although ``openid`` was
                requested (OpenID Connect Core 3.1.3.3). The tokens are revoked.
            TransportError, ProtocolError, ApiError: no code was issued, or the server ended the flow.
        """
        if self.prompt is None:
            raise ConfigurationError("run() needs a prompt that shows the code; start() and wait() do not")
        authorization = await self.start()
        shown = self.prompt(authorization)
        if not inspect.isawaitable(shown):
            return await self.wait(authorization)
        return await self._wait_beside(shown, authorization)

    async def _wait_beside(self, shown: Awaitable[None], authorization: DeviceAuthorization) -> Token:
        """Await a prompt and the token at the same time: a prompt may take long, or call what needs the token."""
        showing, waiting = asyncio.ensure_future(shown), create_task(self.wait(authorization))
        try:
            await asyncio.wait({showing, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                showing.result()
            return await waiting
        finally:
            for task in (showing, waiting):
                task.cancel()
            # A prompt that does not end when it is cancelled is left.
            await wait_for_all((showing, waiting), self.session.clock, PROMPT_TIMEOUT)
            if showing.done() and not showing.cancelled() and (error := showing.exception()) is not None:
                _log.info("the prompt of a device flow raised %s", type(error).__name__)

    async def obtain(self) -> Token:
        """Call `run`; part of the `Grant` protocol."""
        return await self.run()

    async def start(self) -> DeviceAuthorization:
        """Request a code.

        Raises:
            UnauthorizedClientError, UnsupportedGrantTypeError: the server does not offer the device flow, or not to
                this client; `AuthorizationCodeFlow` may work.
            TransportError, ProtocolError, ApiError: no code was issued.
        """
        outcome = await self.session.exchange(self._code_request, device_authorization.parse_device_code)
        if isinstance(outcome, TwilioOAuthError):
            raise outcome
        state, warnings = polling.begin(
            outcome,
            client_sid=self.client_sid,
            scopes=self.scopes,
            audiences=self.audiences,
            now=self.session.clock.now(),
            spread=spread(self.session.clock),
        )
        for warning in warnings:
            _log.warning("device flow of %s: %s", self.client_sid, warning)
        _log.info(
            "device flow of %s started: polling every %.1f s until %s",
            self.client_sid,
            state.interval,
            state.expires_at.isoformat(timespec="seconds"),
        )
        return state

    async def wait(self, authorization: DeviceAuthorization) -> Token:
        """Poll until the user approves or denies, or the code expires.

        Another process may have started the flow. `wait` raises `DeviceCodeExpiredError` as soon as no further poll is
        possible before expiry.

        Raises:
            ConfigurationError: `authorization` belongs to another client; nothing was sent.
            TwilioOAuthError: as `run`.
        """
        with telemetry.observe("twilio_oauth.device_flow", self.session.clock):
            poller, clock = self.poller(authorization), self.session.clock
            while True:
                # As `DevicePoller.wait_until_due` does: another coroutine for each of thousands of flows costs memory.
                while (seconds := poller.seconds_to_poll(authorization)) > 0:
                    await clock.sleep(seconds)
                step = await poller.poll(authorization)
                if isinstance(step, Approved):
                    return step.token
                authorization = step.authorization  # the first state is not kept

    async def poll(self, authorization: DeviceAuthorization) -> Step:
        """Send one poll if it is due, for a caller that waits and stores the state itself.

        Before ``authorization.next_poll_at`` (wall clock) nothing is sent, and the result is `Pending` with the same
        state. Unless the result is `Approved`, it contains the state to store for the next call.

        Raises:
            ConfigurationError: `authorization` belongs to another client; nothing was sent.
            TwilioOAuthError: as `run`.
        """
        poller = self._poller(authorization, self.session.clock.now)
        return Pending(authorization) if poller.seconds_to_poll(authorization) > 0 else await poller.poll(authorization)

    async def events(self, authorization: DeviceAuthorization | None = None) -> AsyncGenerator[DeviceFlowEvent, None]:
        """Yield the events of a flow: `CodeIssued`, then the result of each poll, at the end `Approved`.

        Args:
            authorization: the state of a pending flow; None: start a new flow.

        Raises:
            ConfigurationError: `authorization` belongs to another client; nothing was sent.
            TwilioOAuthError: as `run`.
        """
        state = authorization if authorization is not None else await self.start()
        poller = self.poller(state)
        yield CodeIssued(state)
        while True:
            await poller.wait_until_due(state)
            step = await poller.poll(state)
            yield step
            if isinstance(step, Approved):
                return
            state = step.authorization

    def poller(self, authorization: DeviceAuthorization, on_sent: Callable[[], None] | None = None) -> DevicePoller:
        """Return a poller that waits and polls as `wait` does, one step at a time.

        Args:
            authorization: from `start`.
            on_sent: is called for each poll when the server may have received a part of it. A poll that still waits for
                a connection can be cancelled, and nothing is lost.

        Raises:
            ConfigurationError: `authorization` belongs to another client.
        """
        return self._poller(authorization, MonotonicNow(self.session.clock), on_sent)

    def _poller(
        self,
        authorization: DeviceAuthorization,
        now: Callable[[], datetime],
        on_sent: Callable[[], None] | None = None,
    ) -> DevicePoller:
        if authorization.client_sid != self.client_sid:
            raise ConfigurationError("this device flow was started for another client_sid")
        request = token_endpoint.build_token(
            grant_type=self._grant_type,
            client_sid=self.client_sid,
            client_secret=self._client_secret,
            device_code=authorization.device_code,
            device_id=self._device_id,
        )
        if on_sent is not None:
            request = attrs.evolve(request, on_sent=on_sent)
        return DevicePoller(self.session, request, now, self._accept)

    async def _send_refresh(self, refresh_token: str) -> Token:
        return await self.session.create_token(
            grant_type="refresh_token",
            client_sid=self.client_sid,
            client_secret=self._client_secret,
            device_id=self._device_id,
            refresh_token=refresh_token,
        )
