"""`Routes`: which request of the site does what, and what protects all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from twilio_oauth_async.errors import (
    ApiError,
    ConfigurationError,
    LoginRequired,
    ProtocolError,
    StoreError,
    TransportError,
    TwilioOAuthError,
)
from twilio_oauth_async.protocol.device_flow_policy import means_unavailable
from twilio_oauth_async.protocol.models import UserInfo
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.web.browser_sign_in import BrowserSignIn
from twilio_oauth_async.web.code_sign_in import CodeSignIn
from twilio_oauth_async.web.http_messages import EventStream, Request, Response, redirect
from twilio_oauth_async.web.identification import Identification
from twilio_oauth_async.web.pages import data_uri
from twilio_oauth_async.web.parts import Parts
from twilio_oauth_async.web.security import comes_from_another_site, has_other_origin, is_from_another_site, return_path
from twilio_oauth_async.web.streams import note_of
from twilio_oauth_async.web.visitors import Visitor

ClientAddress: TypeAlias = Callable[[Any], str | None]
"""Returns the address of the client who sent a request to the host application; None: it is not known."""

USER_INFO_TIMEOUT: Final = 5.0
"""Seconds that the page waits for the name of the user."""

_METHODS: Final = {
    "/": ("GET", "HEAD"),
    "/events": ("GET", "HEAD"),
    "/callback": ("GET",),  # HEAD would use up the code
    "/connect": ("POST",),
    "/cancel": ("POST",),
    "/login": ("POST",),
    "/sign-out": ("POST",),
}

_log = logging.getLogger(__name__)


class Routes:
    """Responds to the requests of the site."""

    def __init__(
        self,
        parts: Parts,
        identification: Identification,
        code_sign_in: CodeSignIn,
        browser_sign_in: BrowserSignIn | None,
        *,
        url: str,
        origin: str,
        login_url: str | None,
        client_address: ClientAddress | None,
    ) -> None:
        """Create it.

        Args:
            parts: what all pages share.
            identification: identifies the visitors.
            code_sign_in: the sign-in with a code.
            browser_sign_in: the sign-in in the browser, if there is one.
            url: the public URL.
            origin: its origin.
            login_url: where users sign in to the host application.
            client_address: of the host application; None: the address in the request.
        """
        self._parts = parts
        self._identification = identification
        self._code = code_sign_in
        self._browser = browser_sign_in
        self._url = url
        self._origin = origin
        self._login_url = login_url
        self._client_address = client_address

    async def respond(self, request: Request) -> Response | EventStream:
        """Return the response to a request. An error of this package is logged, and becomes a page."""
        if request.path.startswith("/static/"):
            return self._file(request)
        methods = _METHODS.get(request.path)
        if methods is None or (self._browser is None and request.path in {"/login", "/callback"}):
            return self._parts.pages.problem(HTTPStatus.NOT_FOUND, "not_found")
        if request.method not in methods:
            return self._wrong_method(", ".join(methods))
        # Its errors are those of the application, which the web framework reports.
        visitor = await self._identification.visitor(request.host_request)
        if visitor is None and self._identification.is_by_host:
            return self._unidentified(request)
        try:
            return await (self._get(request, visitor) if "GET" in methods else self._post(request, visitor))
        except ConfigurationError:
            raise  # a mistake of the application
        except StoreError as error:
            _log.error("%s failed: %s", request.path, error)
            return self._parts.pages.problem(HTTPStatus.SERVICE_UNAVAILABLE, "store")
        except TwilioOAuthError as error:
            _log.warning("%s failed: %s", request.path, error)
            return self._parts.pages.problem(HTTPStatus.SERVICE_UNAVAILABLE, "server")

    def _file(self, request: Request) -> Response:
        file = self._parts.pages.file(request.path.removeprefix("/static/"), request.parameter("v"))
        if file is None:
            return self._parts.pages.problem(HTTPStatus.NOT_FOUND, "not_found")
        return file if request.method in {"GET", "HEAD"} else self._wrong_method("GET, HEAD")

    def _wrong_method(self, allowed: str) -> Response:
        page = self._parts.pages.problem(HTTPStatus.METHOD_NOT_ALLOWED, "method")
        return page.with_headers(("Allow", allowed))

    async def _get(self, request: Request, visitor: Visitor | None) -> Response | EventStream:
        if request.path == "/events":
            return await self._code.events(request, visitor)
        if request.path == "/callback" and self._browser is not None:
            return await self._browser.finish(request, visitor)
        return await self._home(request, visitor)

    async def _post(self, request: Request, visitor: Visitor | None) -> Response:
        form = await request.form()
        if form is None:
            return self._parts.pages.problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large")
        is_forged = is_from_another_site(request)
        if visitor is None or is_forged or not visitor.has_csrf(form.get("csrf", "")):
            _log.info("a form was refused: its CSRF token is invalid (all processes need the same secret=)")
            return self._parts.pages.problem(HTTPStatus.FORBIDDEN, "out_of_date")
        if has_other_origin(request, self._origin):  # for example localhost instead of 127.0.0.1
            _log.info("a form was refused: it is from another origin than %s", self._origin)
            return self._parts.pages.problem(HTTPStatus.FORBIDDEN, "other_address", url=self._url)
        next_ = return_path(form.get("next", ""))
        if request.path == "/cancel":
            return await self._code.cancel(visitor)
        if request.path == "/sign-out":
            return await self._sign_out(visitor)
        if request.path == "/login" and self._browser is not None:
            return await self._browser.start(request, visitor, next_, self._address_of(request))
        return await self._code.start(visitor, next_, self._address_of(request))

    def _address_of(self, request: Request) -> str:
        if self._client_address is None:
            return request.address
        return self._client_address(request.host_request) or ""

    def _unidentified(self, request: Request) -> Response:
        if request.path == "/callback" and comes_from_another_site(request):
            # The cookie of the application may be one that browsers do not send on the way back from Twilio
            # (SameSite=Strict). They do when the page leads to itself.
            return self._parts.pages.page("continue", url=f"{self._url}/callback?{request.query}")
        if self._login_url is not None:
            return redirect(self._login_url)
        return self._parts.pages.problem(HTTPStatus.UNAUTHORIZED, "unidentified")

    async def _home(self, request: Request, known: Visitor | None) -> Response:
        """``GET /``: the page for this visitor."""
        parts, next_ = self._parts, return_path(request.parameter("next"))
        visitor = known or Visitor.new()
        sign_in = None if known is None else await parts.sign_in_of(visitor)
        if known is not None and await parts.is_signed_in(visitor):
            # A sign-in whose token was saved a moment ago is still pending.
            is_done = sign_in is not None and sign_in.state in {"approved", "pending"}
            stored = return_path(sign_in.context.get("next", "")) if sign_in is not None and is_done else ""
            if stored:
                # Once only: a later visit shows the page, on which the user can sign out.
                return parts.home(visitor.with_sign_in(""), next_ or stored)
            return redirect(next_) if next_ else await self._approved(visitor)
        form = parts.form_of(visitor, next_)
        if sign_in is not None and not sign_in.is_over:
            return self._pending(visitor, sign_in)
        if sign_in is not None and sign_in.state != "approved":
            form["next"] = next_ or return_path(sign_in.context.get("next", ""))
            if means_unavailable(sign_in.problem):
                return parts.unavailable(visitor, form["next"])
            return parts.pages.page("ended", **form, state=sign_in.state, problem=sign_in.problem)
        page = parts.pages.page("start", **form)
        if known is None:
            return page.with_headers(parts.cookies.set_visitor(visitor.cookie))
        return page

    def _pending(self, visitor: Visitor, sign_in: SignIn) -> Response:
        started = None
        with contextlib.suppress(ValueError):  # the application may keep something else under this name
            started = datetime.fromisoformat(sign_in.context.get("started_at", ""))
        return self._parts.pages.page(
            "pending",
            csrf=visitor.csrf,
            sign_in=sign_in,
            note=note_of(sign_in),
            qr=data_uri(sign_in.qr_svg()),
            seconds_left=round(sign_in.seconds_left(self._parts.clock.now())),
            started_at=started,
            place=sign_in.context.get("started_from"),
        )

    async def _approved(self, visitor: Visitor) -> Response:
        try:
            async with asyncio.timeout(USER_INFO_TIMEOUT):
                user = await self._parts.runner.manager(visitor.key).user_info()
        except LoginRequired:
            return self._parts.pages.page("start", **self._parts.form_of(visitor, ""))
        except (TwilioOAuthError, TimeoutError) as error:
            _log.warning("the name of a user could not be fetched: %s", str(error) or "timeout")
            user = UserInfo()
        page = self._parts.pages.page("approved", csrf=visitor.csrf, user=user)
        if not visitor.secret:
            return page
        return page.with_headers(self._parts.cookies.set_visitor(visitor.cookie))  # for another month

    async def _sign_out(self, visitor: Visitor) -> Response:
        """``POST /sign-out``: revoke the token, and forget the browser."""
        await self._parts.cancel_pending(visitor)  # approved later, it would sign the user in again
        try:
            await self._parts.runner.manager(visitor.key).logout()
        except (TransportError, ProtocolError, ApiError) as error:
            _log.warning("a user could not be signed out: %s", error)
            return self._parts.pages.problem(HTTPStatus.SERVICE_UNAVAILABLE, "sign_out")
        return self._parts.home(visitor.renewed())
