"""`SignInSite`: sign-in of the users of a web backend, independent of the web framework."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow
from twilio_oauth_async.protocol.argument_checks import check_callable, check_count, check_methods, is_printable
from twilio_oauth_async.protocol.sign_in_texts import SignInTexts
from twilio_oauth_async.sign_in.base import DeviceFlowRunner, clock_of_runner, close_runner, open_runner
from twilio_oauth_async.tokens.manager import TokenManager
from twilio_oauth_async.web.authorization_cookie import RequestCipher
from twilio_oauth_async.web.browser_sign_in import BrowserSignIn
from twilio_oauth_async.web.code_sign_in import CodeSignIn
from twilio_oauth_async.web.cookies import Cookies
from twilio_oauth_async.web.http_messages import EventStream, Request, Response
from twilio_oauth_async.web.identification import HostRequest, Identification, Identify
from twilio_oauth_async.web.limits import StartLimits
from twilio_oauth_async.web.pages import Pages
from twilio_oauth_async.web.parts import Parts
from twilio_oauth_async.web.routes import ClientAddress, Routes
from twilio_oauth_async.web.security import origin_of, parse_site_url, return_path, security_headers
from twilio_oauth_async.web.streams import Streams
from twilio_oauth_async.web.texts import PAGE_TEXTS

MIN_SECRET = 32
"""Bytes of `secret`, at least."""


class SignInSite:
    """Pages on which the users of a web backend sign in to Twilio, with a code or in the browser.

    Mount it with `web.aiohttp.sign_in_app` or `web.asgi.SignInApp`, at the path of `url`. Use it as an async context
    manager: it opens and closes the runner.

    Several processes can serve one site: give them stores that they share, and the same `secret`. Limits are counted in
    each process.
    """

    def __init__(
        self,
        runner: DeviceFlowRunner,
        *,
        url: str,
        app_name: str,
        identify: Identify | None = None,
        login_url: str | None = None,
        code_flow: AuthorizationCodeFlow | None = None,
        secret: bytes | None = None,
        client_address: ClientAddress | None = None,
        templates: Path | None = None,
        stylesheet: Path | None = None,
        texts: Mapping[str, str] | None = None,
        starts_per_visitor: int = 5,
        starts_per_address: int = 30,
        streams_per_visitor: int = 6,
        clock: Clock | None = None,
    ) -> None:
        """Create a site; nothing is sent.

        Args:
            runner: runs the sign-ins with a code: a `DeviceFlowPool`, or another `DeviceFlowRunner`.
            url: the public URL of the site, for example ``https://app.example/twilio``. It is not taken from requests,
                whose headers a client or a proxy writes.
            app_name: the name by which the users know the application.
            identify: a function or coroutine function that takes a request (of aiohttp or Starlette) and returns the
                user of the application, under whose key the token is stored, or None. Without it, each browser is a
                visitor of its own, by a cookie.
            login_url: where a browser is sent if `identify` returns None; otherwise the response is 401.
            code_flow: for sign-in in the same browser. Its `redirect_uri` is `url` with ``/callback``, and it has the
                same client as the runner. It is then the first way, and the code the second one (RFC 10027 5).
            secret: at least 32 random bytes, which encrypt the cookie of a sign-in in the browser and protect the forms
                of users that `identify` returns. The same in every process; None: random, for one process.
            client_address: returns the address of the client who sent a request, for the limits; needed behind a proxy.
                None: the address from which the request came.
            templates: a folder with templates that replace those of this package; they can extend the original, as in
                ``{% extends "default/start.html" %}``.
            stylesheet: a stylesheet that is loaded after that of this package, for example to set its variables.
            texts: texts by name that replace those in `PAGE_TEXTS`.
            starts_per_visitor: sign-ins that one visitor may start within a minute.
            starts_per_address: sign-ins that one address may start within a minute.
            streams_per_visitor: event streams that one visitor may have open at the same time.
            clock: None: that of the runner.

        Raises:
            ConfigurationError: an argument is invalid.
            MissingExtraError: the extra ``web`` is not installed.
        """
        methods = ("submit", "events", "find", "find_user", "cancel", "manager")
        check_methods("runner", runner, methods, "a DeviceFlowRunner")
        if clock is not None:
            check_methods("clock", clock, ("monotonic", "now", "sleep"), "a Clock")
        parts = parse_site_url(url)
        _check_texts(app_name, secret, login_url)
        for name, function in (("identify", identify), ("client_address", client_address)):
            check_callable(name, function, "a function that takes a request")
        for name, count in (
            ("starts_per_visitor", starts_per_visitor),
            ("starts_per_address", starts_per_address),
            ("streams_per_visitor", streams_per_visitor),
        ):
            check_count(name, count, 1)
        self.url: str = parts.geturl()
        """The public URL, without a slash at its end."""
        if code_flow is not None:
            _check_code_flow(code_flow, runner, self.url)
        own_clock = clock_of_runner(runner, clock)
        site_key = secret or secrets.token_bytes(MIN_SECRET)
        cookies = Cookies(parts)
        pages = Pages(parts, app_name, SignInTexts(texts, defaults=PAGE_TEXTS), templates, stylesheet)
        shared = Parts(
            runner=runner,
            clock=own_clock,
            cookies=cookies,
            pages=pages,
            limits=StartLimits(per_visitor=starts_per_visitor, per_address=starts_per_address),
            path=parts.path,
            users_are_of_host=identify is not None,
            has_browser_sign_in=code_flow is not None,
        )
        self._runner = runner
        self._parts = shared
        self._identification = Identification(identify, cookies, site_key)
        self._streams = Streams(own_clock, streams_per_visitor)
        self._browser = (
            None if code_flow is None else BrowserSignIn(shared, code_flow, RequestCipher(site_key, cookies.visitor))
        )
        self._code = CodeSignIn(shared, self._streams)
        self._routes = Routes(
            shared,
            self._identification,
            self._code,
            self._browser,
            url=self.url,
            origin=origin_of(parts),
            login_url=login_url,
            client_address=client_address,
        )
        self._headers = security_headers()
        self._is_open = False
        self._changing = asyncio.Lock()

    def __repr__(self) -> str:
        return f"SignInSite(url={self.url!r})"

    @property
    def is_open(self) -> bool:
        """Whether the site is between `open` and `close`."""
        return self._is_open

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the runner. Do nothing if the site is open.

        Raises:
            StoreError: as the runner raises.
        """
        async with self._changing:
            if not self._is_open:
                await open_runner(self._runner)
                self._streams.open()
                self._is_open = True

    async def close(self) -> None:
        """End all event streams, complete what is under way, and close the runner. Pending sign-ins stay stored."""
        async with self._changing:
            if not self._is_open:
                return
            self._is_open = False
            self._streams.close()
            try:
                if self._browser is not None:
                    await self._browser.close()
                await self._streams.wait_closed()
            finally:
                await close_runner(self._runner)  # which also ends the requests for codes
                await self._code.close()

    def end_streams(self) -> None:
        """End the open event streams, because a server shuts down. The adapters call it; `close` does it too."""
        self._streams.end()

    async def user(self, request: HostRequest) -> str | None:
        """Return the user who is signed in to Twilio with this browser; None if no user is.

        It is the key under which the token is stored. While Twilio cannot be reached, a signed-in user stays signed in.

        Args:
            request: a request of the host application, of aiohttp or Starlette.

        Raises:
            StoreError: the token store failed.
        """
        visitor = await self._identification.visitor(request)
        return visitor.key if visitor is not None and await self._parts.is_signed_in(visitor) else None

    def manager(self, request: HostRequest) -> TokenManager:
        """Return the manager of the token of the user who sent `request`.

        Its `token` raises `LoginRequired` if this user has not signed in to Twilio.

        Raises:
            LoginRequired: no user can be signed in: the browser was never on the site, or `identify` returned None.
            ConfigurationError: `identify` is a coroutine function, and `user` was not awaited for this request before.
        """
        return self._runner.manager(self._identification.visitor_now(request).key)

    def sign_in_url(self, next: str = "") -> str:  # noqa: A002 - as the parameter of the URL
        """Return the URL of the page on which a user signs in.

        Args:
            next: the path of this host to which the browser returns after it. Everything else is ignored.
        """
        from urllib.parse import quote

        path = return_path(next)
        return f"{self.url}/" + (f"?next={quote(path, safe='/')}" if path else "")

    async def handle(self, request: Request) -> Response | EventStream:
        """Respond to a request to the site. Called by the adapters of the web frameworks.

        Raises:
            ConfigurationError: the site is not open.
        """
        if not self._is_open:
            raise ConfigurationError("the site is not open: use 'async with SignInSite(...)'")
        response = await self._routes.respond(request)
        own = {name for name, _ in response.headers}
        return response.with_headers(*(header for header in self._headers if header[0] not in own))


def _check_code_flow(code_flow: AuthorizationCodeFlow, runner: DeviceFlowRunner, url: str) -> None:
    """Raise `ConfigurationError` if `code_flow` does not belong to this site and runner."""
    check_methods("code_flow", code_flow, ("start", "finish", "revoke"), "an AuthorizationCodeFlow")
    if code_flow.redirect_uri != f"{url}/callback":
        raise ConfigurationError(f"the redirect_uri of code_flow must be {url}/callback")
    identity = getattr(runner, "identity", None)
    own = code_flow.identity
    if identity is not None and (identity.client_sid, identity.server) != (own.client_sid, own.server):
        # The runner's grant refreshes the tokens of both.
        raise ConfigurationError("code_flow must have the same client and server as the runner")


def _check_texts(app_name: object, secret: object, login_url: object) -> None:
    """Raise `ConfigurationError` if one of these arguments of `SignInSite` is invalid."""
    if not is_printable(app_name):
        raise ConfigurationError("app_name must be a text that is not empty")
    is_url = isinstance(login_url, str) and login_url.isascii() and login_url.startswith(("/", "https://", "http://"))
    if login_url is not None and not (is_url and is_printable(login_url)):
        raise ConfigurationError("login_url must be a URL or a path, in ASCII")
    if secret is not None and not (isinstance(secret, bytes) and len(secret) >= MIN_SECRET):
        raise ConfigurationError(f"secret must have at least {MIN_SECRET} random bytes, as secrets.token_bytes returns")
