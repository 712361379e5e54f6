"""`Emulator`: the whole server on loopback, started and stopped like any async context manager."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.emulator.app import build_app
from twilio_oauth_async.emulator.control.console import Console
from twilio_oauth_async.emulator.control.http import CONTROL_PATH, Control
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.issuer import TokenIssuer
from twilio_oauth_async.emulator.endpoints.keys import Algorithm, KeyRing
from twilio_oauth_async.emulator.faults.fault import Faults
from twilio_oauth_async.emulator.messages.credentials import Accounts
from twilio_oauth_async.emulator.messages.dialect import DateDialect, Dialect, ErrorDialect
from twilio_oauth_async.emulator.messages.journal import Journal
from twilio_oauth_async.emulator.rules.authorization_codes import registered_uris
from twilio_oauth_async.emulator.rules.guesses import Guesses
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import DEVICE_CODE_GRANT, App, Policy, User
from twilio_oauth_async.emulator.rules.state import State

_BACKLOG = 1024
"""Thousands of device flows may connect in one moment."""


class Emulator(Console):
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
        control_token: str | None = None,
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
            control_token: who sends it as a Bearer token may do over HTTP what this object's methods do (see
                `control`); None: nobody can.

        Raises:
            ValueError: a public app with a secret, a redirect URI that is none, a control token that no header can
                carry.
        """
        if public and client_secret is not None:
            raise ValueError("a public app has no client_secret")
        ids = Ids(seed)
        account_sid, auth_token = account_sid or ids.sid("AC"), auth_token or ids.text(32)
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
        app = App(
            sid=client_sid or ids.app_sid(),
            name=app_name,
            secret=None if public else client_secret or ids.text(40),
            redirect_uris=registered_uris(redirect_uris),
        )
        state.apps[app.sid] = app
        backend = Backend(
            clock=clock or SystemClock(),
            state=state,
            keys=keys,
            tokens=TokenIssuer(state, keys, issuer, signing_algorithm),
            accounts=Accounts({account_sid: auth_token}),
            dialect=Dialect(errors, dates),
            journal=Journal(),
            faults=Faults(seed or 0),
            guesses=Guesses(policy),
            issuer=issuer,
            account_sid=account_sid,
            auth_token=auth_token,
            default_app=app,
            default_user=user,
            page_key=secrets.token_bytes(32),
        )
        super().__init__(backend)
        self._host, self._port, self._ssl_context = host, port, ssl_context
        self._control = None if control_token is None else Control(self, control_token)
        self._runner: web.AppRunner | None = None

    @property
    def control_url(self) -> str | None:
        """Where orders are taken (see `control`); None where no control token was chosen. Raises as `base_url` does."""
        return None if self._control is None else f"{self.base_url}{CONTROL_PATH}"

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        self._backend.closing = asyncio.Event()  # a new one, because an event belongs to one event loop
        runner = web.AppRunner(build_app(self._backend, self._control), access_log=None, shutdown_timeout=0.1)
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
            self._backend.base_url = ""

    def __repr__(self) -> str:
        return f"<Emulator {self._backend.base_url or 'not running'}>"
