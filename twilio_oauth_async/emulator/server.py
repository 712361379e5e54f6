"""`Emulator`: builds the server from its parts, and starts and stops it as an async context manager."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.emulator.app import build_app
from twilio_oauth_async.emulator.control.http_routes import CONTROL_PATH, HttpControl
from twilio_oauth_async.emulator.control.in_process import InProcessControl
from twilio_oauth_async.emulator.control.in_thread import EmulatorThread
from twilio_oauth_async.emulator.control.overview import Overview
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.date_header import use_clock
from twilio_oauth_async.emulator.endpoints.signing_keys import Algorithm, SigningKeys
from twilio_oauth_async.emulator.endpoints.token_issuer import TokenIssuer
from twilio_oauth_async.emulator.faults.faults import Faults
from twilio_oauth_async.emulator.messages.credentials import Accounts
from twilio_oauth_async.emulator.messages.hosts import AllowedHosts
from twilio_oauth_async.emulator.messages.journal import Journal
from twilio_oauth_async.emulator.messages.response_formats import DateFormat, ErrorFormat, ResponseFormat
from twilio_oauth_async.emulator.rules.authorization_server import AuthorizationServer
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import DEVICE_CODE_GRANT, App, Policy, User
from twilio_oauth_async.emulator.rules.redirect_uris import validate_redirect_uris
from twilio_oauth_async.emulator.rules.user_codes import UserCodeRateLimit

_BACKLOG = 1024
"""Thousands of device flows may connect at the same time."""

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the emulator listens there only where the test says so
"""Addresses that mean all interfaces, and the one by which a client on this machine reaches them."""


class Emulator(InProcessControl):
    """A strict emulation of Twilio's OAuth server.

    ``async with Emulator() as emulator:`` serves until the block ends. All state is in memory, in this object.
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
        errors: ErrorFormat = "oauth",
        dates: DateFormat = "rfc2822",
        signing_algorithm: Algorithm = "ES256",
        ssl_context: ssl.SSLContext | None = None,
        hosts: Sequence[str] = (),
        journal_size: int = 10_000,
        journal_bytes: int = 32 << 20,
        seed: int | None = None,
        control_token: str | None = None,
    ) -> None:
        """Create an emulator; it listens on entry into ``async with``.

        Identifiers and secrets that are not given are generated, from `seed` if it is given.

        Args:
            host: address to listen on. With 0.0.0.0, which means all interfaces, the base URL names 127.0.0.1.
            port: port to listen on; 0 chooses a free one.
            clock: source of time, also for the ``Date`` of all responses; with a `VirtualClock`, codes expire without
                waiting.
            issuer: the ``iss`` of tokens and the ``issuer`` of the discovery document.
            account_sid: user name of the Basic credentials.
            auth_token: password of the Basic credentials.
            client_sid: SID of the app that exists from the start.
            client_secret: secret of that app.
            public: the app is a public client and has no secret.
            app_name: name of the app, shown on the pages.
            redirect_uris: redirect URIs of the app; None: any on a loopback address.
            interval: minimum seconds between two polls.
            expires_in: lifetime of a device code in seconds.
            access_token_lifetime: seconds.
            refresh_token_lifetime: seconds.
            rotate_refresh_tokens: whether each refresh replaces the refresh token.
            pkce_required: whether a confidential app needs PKCE too; a public app always needs it.
            device_secret_required: whether a confidential app must send its secret in the device grant too.
            device_grant_type: the ``GrantType`` of the device grant.
            errors: format of error bodies: ``oauth`` (RFC 6749) or ``twilio``.
            dates: format of dates: ``rfc2822`` or ``iso8601``.
            signing_algorithm: algorithm of the signatures of access and ID tokens.
            ssl_context: if given, the emulator serves HTTPS.
            hosts: host names by which clients may reach an emulator that listens on loopback; addresses and names of
                loopback are always accepted. All others get 421, because a website could send them (DNS rebinding).
            journal_size: number of requests that `requests` keeps.
            journal_bytes: bytes of the requests that `requests` keeps.
            seed: makes random values the same in each run, except signing keys, signatures and the pages' CSRF tokens.
            control_token: enables control over HTTP (see `control.http_routes`); requests send it as a Bearer token.
                None: disabled.

        Raises:
            ValueError: `public` and `client_secret` are both given, a redirect URI is not absolute, a setting of the
                policy is invalid, or `control_token` contains characters that a Bearer token cannot have.
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
        server = AuthorizationServer(policy, ids, issuer)
        keys = SigningKeys(ids)
        user = User(sid=ids.sid("US"), first_name="Ada", last_name="Example", email="ada@example.com")
        server.users[user.sid] = user
        app = App(
            sid=client_sid or ids.app_sid(),
            name=app_name,
            secret=None if public else client_secret or ids.text(40),
            redirect_uris=validate_redirect_uris(redirect_uris),
        )
        server.apps[app.sid] = app
        backend = Backend(
            clock=clock or SystemClock(),
            server=server,
            keys=keys,
            token_issuer=TokenIssuer(server, keys, issuer, signing_algorithm),
            accounts=Accounts({account_sid: auth_token}),
            response_format=ResponseFormat(errors, dates),
            journal=Journal(journal_size, journal_bytes),
            faults=Faults(seed or 0),
            user_code_limit=UserCodeRateLimit(policy),
            hosts=AllowedHosts(host, hosts),
            issuer=issuer,
            account_sid=account_sid,
            auth_token=auth_token,
            default_app=app,
            default_user=user,
            csrf_key=secrets.token_bytes(32),
        )
        super().__init__(backend)
        self._host, self._port, self._ssl_context = host, port, ssl_context
        self._control = None if control_token is None else HttpControl(self, control_token, backend.hosts)
        self._overview = Overview(self, backend, control_token)
        self._runner: web.AppRunner | None = None

    @classmethod
    def in_thread(cls, **options: Any) -> EmulatorThread:
        """Return an emulator that serves in a thread of its own, with synchronous methods: for synchronous tests.

        Args:
            options: as of `Emulator`.
        """
        emulator = cls(**options)
        return EmulatorThread(emulator, emulator, emulator._backend)

    @property
    def control_url(self) -> str | None:
        """URL of the control API, `control.http_routes`; None without a control token. Raises as `base_url` does."""
        return None if self._control is None else f"{self.base_url}{CONTROL_PATH}"

    async def __aenter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("the emulator is already running")
        self._backend.closing = asyncio.Event()  # a new one: an event is bound to one event loop
        runner = web.AppRunner(
            build_app(self._backend, self._overview, self._control), access_log=None, shutdown_timeout=0.1
        )
        await runner.setup()
        assert runner.server is not None
        use_clock(runner.server, self._backend.clock)
        try:
            await web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl_context, backlog=_BACKLOG).start()
        except BaseException:
            await runner.cleanup()
            raise
        host, port = runner.addresses[0][:2]
        scheme = "http" if self._ssl_context is None else "https"
        if host in _LOOPBACK:
            host = _LOOPBACK[host]
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
