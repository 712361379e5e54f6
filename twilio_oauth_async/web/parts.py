"""`Parts`: what all pages of a site share."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ApiError, LoginRequired, ProtocolError, TransportError
from twilio_oauth_async.sign_in.base import DeviceFlowRunner, SignIn
from twilio_oauth_async.web.cookies import Cookies
from twilio_oauth_async.web.http_messages import Response, redirect
from twilio_oauth_async.web.limits import StartLimits
from twilio_oauth_async.web.pages import Pages
from twilio_oauth_async.web.visitors import Visitor


@attrs.frozen(kw_only=True)
class Parts:
    """What all pages of a site share."""

    runner: DeviceFlowRunner
    clock: Clock
    cookies: Cookies
    pages: Pages
    limits: StartLimits
    path: str
    """The path of the public URL."""
    users_are_of_host: bool
    """Whether the host application identifies the users."""
    has_browser_sign_in: bool
    """Whether a user can sign in with this browser, by the authorization code grant."""

    async def is_signed_in(self, visitor: Visitor) -> bool:
        """Return whether a user is signed in. An outage of the server does not sign the user out.

        Raises:
            StoreError: the token store failed.
        """
        manager = self.runner.manager(visitor.key)
        try:
            token = await manager.token()
            if await manager.is_deleted():  # the user has signed out in another process
                manager.invalidate(token.access_token)
                await manager.token()
        except LoginRequired:
            return False
        except (TransportError, ProtocolError, ApiError):
            return True  # the token has to be refreshed, which is not possible at the moment
        return True

    async def cancel_pending(self, visitor: Visitor) -> SignIn | None:
        """Cancel the pending sign-in of `visitor`, so that a later approval has no effect. Return the last sign-in.

        Raises:
            StoreError: the flow store failed.
        """
        sign_in = await self.sign_in_of(visitor)
        if sign_in is not None and not sign_in.is_over:
            await self.runner.cancel(sign_in.id)
        return sign_in

    async def sign_in_of(self, visitor: Visitor) -> SignIn | None:
        """Return the last sign-in of `visitor`; None if there is none, or it belongs to another one.

        Raises:
            StoreError: the flow store failed.
        """
        sign_in = await self.runner.find(visitor.sign_in) if visitor.sign_in else None
        if sign_in is not None and sign_in.user == visitor.key:
            return sign_in
        # A user of the host application may have started it in another browser.
        return await self.runner.find_user(visitor.key) if self.users_are_of_host else None

    def home(self, visitor: Visitor | None = None, next_: str = "") -> Response:
        """Return to the page of the site, or to the path `next_`; store `visitor` in the browser if it is given."""
        response = redirect(next_ or f"{self.path}/")
        return response if visitor is None else response.with_headers(self.cookies.set_visitor(visitor.cookie))

    def context_of(self, next_: str, address: str) -> dict[str, str]:
        """Return what is stored with a sign-in that is started now."""
        return {"started_at": self.clock.now().isoformat(), "started_from": address, "next": next_}

    def form_of(self, visitor: Visitor, next_: str) -> dict[str, Any]:
        """Return what the forms of a page need that start a sign-in."""
        return {"csrf": visitor.csrf, "next": next_, "has_browser_sign_in": self.has_browser_sign_in}

    def unavailable(self, visitor: Visitor, next_: str) -> Response:
        """Return the page for a server, or a company, that does not allow the device flow."""
        return self.pages.page("unavailable", HTTPStatus.FORBIDDEN, **self.form_of(visitor, next_))

    def too_often(self, seconds: float) -> Response:
        """Return the page for a visitor, or an address, that has started too many sign-ins."""
        wait = math.ceil(seconds)
        page = self.pages.problem(HTTPStatus.TOO_MANY_REQUESTS, "too_often", seconds=wait)
        return page.with_headers(("Retry-After", str(wait)))
