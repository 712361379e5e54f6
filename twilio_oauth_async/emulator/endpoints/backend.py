"""Everything that the endpoints and the pages work on, in one place."""

from __future__ import annotations

import asyncio

from attrs import define, field

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator.endpoints.issuer import TokenIssuer
from twilio_oauth_async.emulator.endpoints.keys import KeyRing
from twilio_oauth_async.emulator.faults.fault import Faults
from twilio_oauth_async.emulator.messages.credentials import Accounts
from twilio_oauth_async.emulator.messages.dialect import Dialect
from twilio_oauth_async.emulator.messages.journal import Journal
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.guesses import Guesses
from twilio_oauth_async.emulator.rules.model import App, Now, User
from twilio_oauth_async.emulator.rules.state import State


@define(kw_only=True)
class Backend:
    """One server's parts."""

    clock: Clock
    state: State
    keys: KeyRing
    tokens: TokenIssuer
    accounts: Accounts
    dialect: Dialect
    journal: Journal
    faults: Faults
    guesses: Guesses
    issuer: str
    account_sid: str
    auth_token: str = field(repr=False)
    default_app: App
    """The one that exists from the start."""
    default_user: User
    """Who approves unless somebody else is named; the owner of the account."""
    page_key: bytes = field(repr=False)
    """What the pages' form tokens are made with."""
    base_url: str = ""
    """Without a trailing slash; empty while the server does not listen."""
    closing: asyncio.Event = field(factory=asyncio.Event)
    """Set when the server stops, for whoever waits for nothing else."""

    def chosen_user(self, sid: str | None) -> User:
        """Return the user that a page's form names, or the default one where it names none.

        Raises:
            RefusalError: there is no such user.
        """
        if sid is None:
            return self.default_user
        user = self.state.users.get(sid)
        if user is None:
            raise RefusalError("invalid_request", "There is no such user.")
        return user

    def now(self) -> Now:
        """Return the clock as the state wants it, read anew for every request."""
        return Now(seconds=self.clock.monotonic(), wall=self.clock.now())
