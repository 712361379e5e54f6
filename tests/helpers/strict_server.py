"""`StrictServer`: an authorization server in memory that rotates refresh tokens and detects their reuse."""

import asyncio
from datetime import timedelta

import attrs

from twilio_oauth_async import (
    AnswerLostError,
    InvalidClientError,
    InvalidGrantError,
    RateLimitedError,
    ServerError,
    Token,
    TransportError,
)
from twilio_oauth_async.grants.base import GrantIdentity, refresh_with

LIFETIME = 3600.0

FAULTS = {
    "lost": (AnswerLostError("lost"), False),
    "lost, processed": (AnswerLostError("lost"), True),
    "503": (ServerError(status=503), False),
    "503, processed": (ServerError(status=503), True),
    "Retry-After": (RateLimitedError(status=429, retry_after=7200.0), False),
    "never sent": (TransportError("no route"), False),
    "invalid_client": (InvalidClientError(status=401), False),
}
"""What can happen to the next request, and whether the server processes it."""


@attrs.define
class SignIn:
    """What the server knows of one sign-in."""

    newest: int = 1
    is_alive: bool = True


class StrictServer:
    """Issues tokens with the names ``app-1-1``: the client, the sign-in and the number within it.

    An old refresh token that is sent again ends its sign-in (RFC 9700 4.14.2). Only the newest one can be revoked.
    """

    def __init__(self, clock, app):
        self.clock = clock
        self.app = app
        self.sign_ins = {}
        self.expires = {}
        """Access tokens, and when they expire in monotonic seconds."""
        self.faults = []
        """Names of `FAULTS`, for the next requests."""
        self.open = asyncio.Event()
        """No request is processed until it is set."""
        self.open.set()
        self.under_way = 0
        self.most_under_way = 0
        self.foreign = []
        """Tokens of other clients that were sent here."""
        self.reused = []
        """The newest refresh tokens of the sign-ins that a reuse has ended."""
        self.lost = set()
        """Refresh tokens to which a response was lost."""
        self.early = []
        """Refresh tokens that were sent again while the access token was valid."""

    def accepts(self, token):
        """Return whether the refresh token would be accepted."""
        if token is None or token.refresh_token is None:
            return False
        _, app, sign_in, number = token.refresh_token.split("-")
        known = self.sign_ins.get(int(sign_in)) if app == self.app else None
        return known is not None and known.is_alive and known.newest == int(number)

    def sign_in(self):
        """Return the first token of a new sign-in."""
        number = len(self.sign_ins) + 1
        self.sign_ins[number] = SignIn()
        return self._issue(number)

    def refresh(self, refresh_token):
        """Process a refresh."""
        _, app, number, sent = refresh_token.split("-")
        if app != self.app:
            self.foreign.append(refresh_token)
            raise InvalidGrantError(status=400)
        sign_in = self.sign_ins[int(number)]
        if sign_in.is_alive and sign_in.newest != int(sent):
            self.reused.append(f"r-{app}-{number}-{sign_in.newest}")
        if not sign_in.is_alive or sign_in.newest != int(sent):
            sign_in.is_alive = False
            raise InvalidGrantError(status=400)
        sign_in.newest += 1
        return self._issue(int(number))

    def _issue(self, number):
        name = f"{self.app}-{number}-{self.sign_ins[number].newest}"
        self.expires[f"a-{name}"] = self.clock.monotonic() + LIFETIME
        return Token(
            access_token=f"a-{name}",
            access_token_expires_at=self.clock.now() + timedelta(seconds=LIFETIME),
            refresh_token=f"r-{name}",
        )

    async def request(self, process, refresh_token=None):
        """Return the result of `process`, after the next fault.

        Args:
            process: what the server does.
            refresh_token: the one that was sent for a refresh.
        """
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
            if refresh_token in self.lost and self.expires["a" + refresh_token[1:]] > self.clock.monotonic():
                self.early.append(refresh_token)
            if not self.faults:
                return process()
            error, is_processed = FAULTS[self.faults.pop(0)]
            if is_processed:
                process()
            if isinstance(error, (AnswerLostError, ServerError)) and refresh_token is not None:
                self.lost.add(refresh_token)
            raise error
        finally:
            self.under_way -= 1


class StrictGrant:
    """The `Grant` of one process at a `StrictServer`."""

    interactive = True

    def __init__(self, server):
        self.server = server
        self.identity = GrantIdentity(client_sid=server.app, server="https://server.example")

    def __repr__(self):
        return "StrictGrant()"

    async def obtain(self):
        await asyncio.sleep(0)
        return self.server.sign_in()

    async def refresh(self, token):
        return await refresh_with(lambda sent: self.server.request(lambda: self.server.refresh(sent), sent), token)

    async def revoke(self, token):
        def revoke():
            if self.server.accepts(token):
                self.server.sign_ins[int(token.refresh_token.split("-")[2])].is_alive = False

        await self.server.request(revoke)
