"""`Backend`: the parts of one emulator that the endpoints and pages use."""

from __future__ import annotations

import asyncio

from attrs import define, field

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator.endpoints.signing_keys import SigningKeys
from twilio_oauth_async.emulator.endpoints.token_issuer import TokenIssuer
from twilio_oauth_async.emulator.faults.faults import Faults
from twilio_oauth_async.emulator.messages.credentials import Accounts
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.hosts import AllowedHosts
from twilio_oauth_async.emulator.messages.journal import Journal
from twilio_oauth_async.emulator.messages.response_formats import ResponseFormat
from twilio_oauth_async.emulator.rules.authorization_server import AuthorizationServer
from twilio_oauth_async.emulator.rules.model import App, Now, User
from twilio_oauth_async.emulator.rules.user_codes import UserCodeRateLimit


@define(kw_only=True)
class Backend:
    """The parts of one emulator."""

    clock: Clock
    server: AuthorizationServer
    keys: SigningKeys
    token_issuer: TokenIssuer
    accounts: Accounts
    response_format: ResponseFormat
    journal: Journal
    faults: Faults
    user_code_limit: UserCodeRateLimit
    hosts: AllowedHosts
    issuer: str
    account_sid: str
    auth_token: str = field(repr=False)
    default_app: App
    """The app that exists from the start."""
    default_user: User
    """The user who approves if no other user is given; the owner of the account."""
    scope_texts: dict[str, str] = field(factory=dict[str, str])
    """What each scope allows in words, beside the scopes of OpenID Connect."""
    csrf_key: bytes = field(repr=False)
    """Key of the CSRF tokens in the pages' forms."""
    base_url: str = ""
    """Without a trailing slash; empty while the server is not listening."""
    closing: asyncio.Event = field(factory=asyncio.Event)
    """Set when the server stops. Stalled connections wait for it."""

    def selected_user(self, sid: str | None) -> User:
        """Return the user that was selected in a form, or the default user if `sid` is None.

        Raises:
            ErrorResponse: ``invalid_request``: there is no such user.
        """
        if sid is None:
            return self.default_user
        user = self.server.users.get(sid)
        if user is None:
            raise ErrorResponse("invalid_request", "There is no such user.")
        return user

    def now(self) -> Now:
        """Return the current time of both clocks."""
        return Now(seconds=self.clock.monotonic(), wall=self.clock.now())
