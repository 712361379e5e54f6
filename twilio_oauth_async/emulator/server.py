"""`Emulator`: the whole server on loopback, started and stopped like any async context manager."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.emulator.app import build_app
from twilio_oauth_async.emulator.authorization import RedirectRefusalError
from twilio_oauth_async.emulator.authorize_pages import begin_authorization
from twilio_oauth_async.emulator.backend import Backend
from twilio_oauth_async.emulator.credentials import Accounts
from twilio_oauth_async.emulator.dialect import DateDialect, Dialect, ErrorDialect
from twilio_oauth_async.emulator.faults import Faults
from twilio_oauth_async.emulator.forms import Form
from twilio_oauth_async.emulator.guesses import Guesses
from twilio_oauth_async.emulator.ids import Ids
from twilio_oauth_async.emulator.issuer import TokenIssuer
from twilio_oauth_async.emulator.journal import Journal
from twilio_oauth_async.emulator.keys import Algorithm, KeyRing
from twilio_oauth_async.emulator.model import DEVICE_CODE_GRANT, App, Policy, User
from twilio_oauth_async.emulator.refusal import RefusalError
from twilio_oauth_async.emulator.state import State

_BACKLOG = 1024
"""Thousands of device flows may connect in one moment."""


class Emulator:
    """A strict, stateful stand-in for Twilio's OAuth server.

    ``async with Emulator() as emulator:`` serves until the block ends. All state is in memory and of this object.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock | None = None,
        issuer: str = "https://iam.twilio.com",
        account_sid: str | None = None,
        auth_token: str | None = None,
        client_sid: str | None = None,
        client_secret: str | None = None,
        public: bool = False,
        app_name: str = "Example App",
        redirect_uris: Sequence[str] | None = None,
        interval: int = 5,
        expires_in: int = 299,
        access_token_lifetime: float = 3600.0,
        refresh_token_lifetime: float = 30 * 86400.0,
        rotate_refresh_tokens: bool = True,
        pkce_required: bool = True,
        device_secret_required: bool = False,
        device_grant_type: str = DEVICE_CODE_GRANT,
        errors: ErrorDialect = "oauth",
        dates: DateDialect = "rfc2822",
        signing_algorithm: Algorithm = "ES256",
        ssl_context: ssl.SSLContext | None = None,
        seed: int | None = None,
    ) -> None:
        """Every identifier that is not given is made up, from `seed` where that is given.

        Args:
            host: address to listen on.
            port: port to listen on; 0 takes a free one.
            clock: where time comes from; a `VirtualClock` makes codes expire without waiting.
            issuer: the ``iss`` of tokens and of the discovery document.
            account_sid: Basic user name.
            auth_token: Basic password.
            client_sid: SID of the app that exists from the start.
            client_secret: its secret.
            public: the app is a public client and has no secret.
            app_name: what the pages call it.
            redirect_uris: where a browser may be sent back to; None: anywhere on a loopback address.
            interval: seconds between two polls.
            expires_in: seconds that a device code lives.
            access_token_lifetime: seconds.
            refresh_token_lifetime: seconds.
            rotate_refresh_tokens: whether a refresh token is good for one refresh only.
            pkce_required: whether a confidential app needs PKCE as well.
            device_secret_required: whether a confidential app must send its secret in the device grant as well.
            device_grant_type: the ``GrantType`` of the device grant.
            errors: ``oauth`` for RFC 6749 bodies, ``twilio`` for Twilio's.
            dates: ``rfc2822`` or ``iso8601``.
            signing_algorithm: of access and id tokens.
            ssl_context: serve HTTPS.
            seed: makes everything random the same in every run, except for keys.

        Raises:
            ValueError: a public app with a secret.
        """
        if public and client_secret is not None:
            raise ValueError("a public app has no client_secret")
        ids = self._ids = Ids(seed)
        self._host, self._port, self._ssl_context = host, port, ssl_context
        self._account_sid = account_sid or ids.sid("AC")
        self._auth_token = auth_token or ids.text(32)
        policy = Policy(
            interval=interval,
            expires_in=expires_in,
            access_token_lifetime=access_token_lifetime,
            refresh_token_lifetime=refresh_token_lifetime,
            rotate_refresh_tokens=rotate_refresh_tokens,
            pkce_required=pkce_required,
            device_secret_required=device_secret_required,
            device_grant_type=device_grant_type,
        )
        state = State(policy, ids, issuer)
        keys = KeyRing(ids)
        user = User(sid=ids.sid("US"), first_name="Ada", last_name="Example", email="ada@example.com")
        state.users[user.sid] = user
        self._app = App(
            sid=client_sid or ids.app_sid(),
            name=app_name,
            secret=None if public else client_secret or ids.text(40),
            redirect_uris=None if redirect_uris is None else tuple(redirect_uris),
        )
        state.apps[self._app.sid] = self._app
        self._backend = Backend(
            clock=clock or SystemClock(),
            state=state,
            keys=keys,
            tokens=TokenIssuer(state, keys, issuer, signing_algorithm),
            accounts=Accounts({self._account_sid: self._auth_token}),
            dialect=Dialect(errors, dates),
            journal=Journal(),
            faults=Faults(seed or 0),
            guesses=Guesses(policy),
            issuer=issuer,
            default_user=user,
            page_key=secrets.token_bytes(32),
        )
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """Where it listens, without a trailing slash.

        Raises:
            RuntimeError: it does not listen.
        """
        if self._runner is None:
            raise RuntimeError("the emulator is not running; use `async with Emulator() as emulator:`")
        return self._backend.base_url

    @property
    def issuer(self) -> str:
        """The ``iss`` of its tokens."""
        return self._backend.issuer

    @property
    def account_sid(self) -> str:
        """The account's SID: the user name of the API."""
        return self._account_sid

    @property
    def auth_token(self) -> str:
        """The account's auth token: the password of the API."""
        return self._auth_token

    @property
    def client_sid(self) -> str:
        """The SID of the app that exists from the start."""
        return self._app.sid

    @property
    def client_secret(self) -> str | None:
        """Its secret; None for a public app."""
        return self._app.secret

    @property
    def user(self) -> User:
        """The person who approves unless somebody else is named, and the owner of the account."""
        return self._backend.default_user

    @property
    def clock(self) -> Clock:
        """The clock that was given, or the machine's."""
        return self._backend.clock

    @property
    def policy(self) -> Policy:
        """Lifetimes and rules; may be changed while the emulator runs."""
        return self._backend.state.policy

    @property
    def requests(self) -> Journal:
        """Every request so far, oldest first."""
        return self._backend.journal

    @property
    def faults(self) -> Faults:
        """What is to go wrong: ``emulator.faults.on("token").answer(503)``."""
        return self._backend.faults

    @property
    def pending_device_codes(self) -> int:
        """How many device codes are remembered, those that wait to be swept included."""
        return len(self._backend.state.devices)

    def add_user(self, first_name: str, last_name: str, email: str) -> User:
        """Register somebody who can approve; the pages ask who it is once there is more than one."""
        user = User(sid=self._ids.sid("US"), first_name=first_name, last_name=last_name, email=email)
        self._backend.state.users[user.sid] = user
        return user

    def add_app(
        self,
        name: str,
        *,
        public: bool = False,
        scopes: Iterable[str] | None = None,
        audiences: Iterable[str] | None = None,
        redirect_uris: Iterable[str] | None = None,
    ) -> App:
        """Register another app; its `sid` and `secret` are made up.

        Args:
            name: what the pages call it.
            public: it gets no secret.
            scopes: what it may ask for; None: anything.
            audiences: whom its tokens may be meant for; None: anybody.
            redirect_uris: where a browser may be sent back to; None: anywhere on a loopback address.
        """
        app = App(
            sid=self._ids.app_sid(),
            name=name,
            secret=None if public else self._ids.text(40),
            scopes=None if scopes is None else frozenset(scopes),
            audiences=None if audiences is None else frozenset(audiences),
            redirect_uris=None if redirect_uris is None else tuple(redirect_uris),
        )
        self._backend.state.apps[app.sid] = app
        return app

    def add_api_key(self) -> tuple[str, str]:
        """Make an API key, good wherever the account's own credentials are; returns its SID and its secret."""
        sid, secret = self._ids.sid("SK"), self._ids.text(32)
        self._backend.accounts.add(sid, secret)
        return sid, secret

    async def approve(self, user_code: str, user: User | None = None, *, scopes: Iterable[str] | None = None) -> None:
        """Do what a person does who approves on the page; with `scopes`, only those.

        Raises:
            LookupError: nobody was given this code.
            ValueError: it has expired, was already approved or denied, or `scopes` were not all asked for.
        """
        allowed = None if scopes is None else tuple(scopes)
        self._backend.state.devices.approve(user_code, user or self.user, self._backend.now(), allowed)

    async def deny(self, user_code: str) -> None:
        """Do what a person does who refuses; raises as `approve` does."""
        self._backend.state.devices.deny(user_code, self._backend.now())

    async def expire(self, user_code: str) -> None:
        """End the lifetime of a device code now.

        Raises:
            LookupError: nobody was given this code.
        """
        self._backend.state.devices.expire(user_code, self._backend.now())

    async def revoke(self, token: str) -> None:
        """End the grant that an access or refresh token belongs to, as a person does in their account's settings.

        Raises:
            LookupError: there is no such token.
        """
        grant = self._backend.state.grants.grant_of(token)
        if grant is None:
            raise LookupError("no grant has this token")
        grant.revoked = True

    async def authorize(
        self, url: str, user: User | None = None, *, approve: bool = True, scopes: Iterable[str] | None = None
    ) -> str:
        """Do what a person does whose browser was sent to the authorization URL `url`.

        Returns the URL that the browser is sent back to: with a code, with ``access_denied`` where not `approve`, or
        with what is wrong about the request.

        Raises:
            ValueError: the request is such that a browser would not be sent anywhere, or `scopes` were not all asked
                for.
        """
        codes = self._backend.state.codes
        try:
            pending = begin_authorization(self._backend, Form(parse_qsl(urlsplit(url).query, keep_blank_values=True)))
        except RedirectRefusalError as refusal:
            return refusal.location
        except RefusalError as refusal:
            raise ValueError(refusal.description) from None
        if not approve:
            return codes.deny(pending)
        allowed = None if scopes is None else tuple(scopes)
        return codes.approve(pending, user or self.user, self._backend.now(), allowed)

    def rotate_keys(self, keep: int = 1) -> None:
        """Sign with new keys; the `keep` newest old ones (of each algorithm) stay published.

        Raises:
            ValueError: `keep` is negative.
        """
        self._backend.keys.rotate(keep)

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        self._backend.closing = asyncio.Event()  # a new one, because an event belongs to one event loop
        runner = web.AppRunner(build_app(self._backend), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl_context, backlog=_BACKLOG).start()
        except BaseException:
            await runner.cleanup()
            raise
        host, port = runner.addresses[0][:2]
        scheme = "http" if self._ssl_context is None else "https"
        self._backend.base_url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        self._runner = runner
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            self._backend.closing.set()
            await runner.cleanup()

    def __repr__(self) -> str:
        where = self._backend.base_url if self._runner is not None else "not running"
        return f"<Emulator {where}>"
