"""`DeviceFlow`: a person at another device approves, and this program gets the token (RFC 8628).

What an answer means is `polling`'s affair; `device_poller` waits and asks.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeAlias

import attrs

from twilio_oauth_async import telemetry
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import ConfigurationError, TwilioOAuthError
from twilio_oauth_async.grants.base import refresh_with, revocable
from twilio_oauth_async.grants.device_poller import DevicePoller, steady
from twilio_oauth_async.protocol import polling, v1
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.messages import Request
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.polling import Approved, Pending, SlowedDown, Step, Unreachable
from twilio_oauth_async.protocol.v1 import DEVICE_CODE_GRANT

_log = logging.getLogger(__name__)


@attrs.frozen
class CodeIssued:
    """There is a code to show to the person."""

    authorization: DeviceAuthorization


DeviceFlowEvent: TypeAlias = CodeIssued | Pending | SlowedDown | Unreachable | Approved
Prompt: TypeAlias = Callable[[DeviceAuthorization], Awaitable[None] | None]


class DeviceFlow:
    """Signs people in by the device grant. Holds no state of a sign-in: one serves any number of them at once."""

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
    ) -> None:
        """Nothing is sent here.

        Args:
            session: lent; it must be open when something is sent, and stays so.
            client_sid: the SID of the OAuth app.
            scopes: what the program wants to do; at least one, and no more than it needs (RFC 9700 2.3).
            audiences: whom the token is meant for.
            client_secret: of a confidential app.
            device_id: of the device that will hold the refresh token.
            grant_type: what is sent as ``GrantType``.
            prompt: shows the person what to do, usually ``authorization.instructions()``; may be a coroutine
                function, and is finished before the first poll. `run` needs it.

        Raises:
            ConfigurationError: any of these cannot be used.
        """
        if prompt is not None and not callable(prompt):
            raise ConfigurationError("prompt must be a function that is given the DeviceAuthorization")
        self._code_request = v1.build_device_code(client_sid=client_sid, scopes=scopes, audiences=audiences)
        self.session = session
        self.client_sid = client_sid
        self.scopes = tuple(scopes)
        self.audiences = tuple(audiences)
        self.prompt = prompt
        self._client_secret = client_secret
        self._device_id = device_id
        self._grant_type = grant_type
        self._poll_request("checks the rest of the arguments")

    def __repr__(self) -> str:
        return f"DeviceFlow(client_sid={self.client_sid!r}, scopes={self.scopes!r})"

    async def run(self) -> Token:
        """Ask for a code, prompt the person, poll until they decide.

        Raises:
            ConfigurationError: there is no prompt; nothing was sent.
            AccessDeniedError: the person refused.
            DeviceCodeExpiredError: nobody decided in time.
            AnswerLostError: the answer that held the token was lost.
            TransportError, ProtocolError, ApiError: no code could be had, or the server ended the flow.
        """
        if self.prompt is None:
            raise ConfigurationError("run() needs a prompt to show the code with; start() and wait() do without")
        authorization = await self.start()
        shown = self.prompt(authorization)
        if inspect.isawaitable(shown):
            await shown
        return await self.wait(authorization)

    @property
    def interactive(self) -> bool:
        """True: a person approves."""
        return True

    async def obtain(self) -> Token:
        """`run`, as a grant calls it."""
        return await self.run()

    async def refresh(self, token: Token) -> Token:
        """The next token by the refresh token (RFC 6749 6); sent once, over a fresh connection.

        Raises:
            LoginRequired: `token` has no refresh token.
            AnswerLostError: the refresh token may have been used up.
            InvalidGrantError: it has been used up, revoked, or is too old.
        """

        def send(refresh_token: str) -> Awaitable[Token]:
            return self.session.create_token(
                grant_type="refresh_token",
                client_sid=self.client_sid,
                client_secret=self._client_secret,
                device_id=self._device_id,
                refresh_token=refresh_token,
            )

        return await refresh_with(send, token)

    async def revoke(self, token: Token) -> None:
        """Make `token` worthless (RFC 7009); raises as `OAuthSession.revoke_token`."""
        await self.session.revoke_token(revocable(token), client_sid=self.client_sid, client_secret=self._client_secret)

    async def start(self) -> DeviceAuthorization:
        """Ask for a code.

        Raises:
            TransportError, ProtocolError, ApiError: none could be had.
        """
        answer = await self.session.exchange(self._code_request, v1.parse_device_code)
        if isinstance(answer, TwilioOAuthError):
            raise answer
        state, warnings = polling.begin(
            answer,
            client_sid=self.client_sid,
            scopes=self.scopes,
            audiences=self.audiences,
            now=self.session.clock.now(),
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
        """Poll until the person decides or the code expires.

        The flow may have been started by another process. It ends as soon as no further poll fits in before expiry.

        Raises:
            As `run`, without the prompt.
        """
        observer = telemetry.observer
        if observer is None:
            return await self._wait(authorization)
        started = self.session.clock.monotonic()
        outcome = "cancelled"
        with observer.span("twilio_oauth.device_flow", {}) as later:
            try:
                token = await self._wait(authorization)
                outcome = "ok"
            except TwilioOAuthError as error:
                outcome = type(error).__name__
                raise
            finally:
                later["outcome"] = outcome
                seconds = self.session.clock.monotonic() - started
                observer.record("twilio_oauth.device_flow.duration", seconds, {"outcome": outcome})
        return token

    async def _wait(self, authorization: DeviceAuthorization) -> Token:
        poller, state = self.poller(authorization), authorization
        while True:
            await poller.until_due(state)
            step = await poller.poll(state)
            if isinstance(step, Approved):
                return step.token
            state = step.authorization

    async def poll(self, authorization: DeviceAuthorization) -> Step:
        """One poll at most, for a caller who keeps time and state itself.

        Before ``authorization.next_poll_at`` nothing is sent and `Pending` comes back unchanged. What comes back
        carries the state to store for the next call. The wall clock decides.

        Raises:
            As `run`, without the prompt.
        """
        poller = self._poller(authorization, self.session.clock.now)
        return Pending(authorization) if poller.seconds_to_poll(authorization) > 0 else await poller.poll(authorization)

    async def events(self, authorization: DeviceAuthorization | None = None) -> AsyncGenerator[DeviceFlowEvent, None]:
        """The flow as it happens: `CodeIssued`, then each poll's result, at last `Approved`.

        Args:
            authorization: a flow under way; None: a new one is started.

        Raises:
            As `run`, without the prompt.
        """
        state = authorization if authorization is not None else await self.start()
        poller = self.poller(state)
        yield CodeIssued(state)
        while True:
            await poller.until_due(state)
            step = await poller.poll(state)
            yield step
            if isinstance(step, Approved):
                return
            state = step.authorization

    def poller(self, authorization: DeviceAuthorization) -> DevicePoller:
        """For a caller who must know whether a poll is under way: waits and asks as `wait` does, one step at a time.

        Raises:
            ConfigurationError: `authorization` is another client's.
        """
        return self._poller(authorization, steady(self.session.clock))

    def _poller(self, authorization: DeviceAuthorization, now: Callable[[], datetime]) -> DevicePoller:
        if authorization.client_sid != self.client_sid:
            raise ConfigurationError("this device flow was started for another client_sid")
        return DevicePoller(self.session, self._poll_request(authorization.device_code), self.client_sid, now)

    def _poll_request(self, device_code: str) -> Request:
        return v1.build_token(
            grant_type=self._grant_type,
            client_sid=self.client_sid,
            client_secret=self._client_secret,
            device_code=device_code,
            device_id=self._device_id,
        )
