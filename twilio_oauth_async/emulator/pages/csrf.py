"""Protection against forged forms (CSRF): each form has a token that is bound to the browser by a cookie."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any

from aiohttp import web

from twilio_oauth_async.emulator.messages.credentials import same_secret
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.pages.rendering import render

_SESSION_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class CsrfProtection:
    """Derives the CSRF token of a browser from `key` and a session ID in a cookie."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # Browsers share cookies between the ports of a host, so each emulator needs another name.
        self._cookie = f"emulator_session_{hashlib.sha256(key).hexdigest()[:8]}"

    def session(self, request: web.Request) -> BrowserSession:
        """Return the session of the browser that sent `request`, or a new one."""
        session_id = request.cookies.get(self._cookie, "")
        if _SESSION_ID.fullmatch(session_id):
            return BrowserSession(self._key, self._cookie, session_id, is_new=False)
        return BrowserSession(self._key, self._cookie, secrets.token_hex(16), is_new=True)


class BrowserSession:
    """One browser: renders forms with its CSRF token and checks the token of submitted forms."""

    def __init__(self, key: bytes, cookie: str, session_id: str, *, is_new: bool) -> None:
        self._cookie = cookie
        self._id = session_id
        self._is_new = is_new
        self._csrf_token = hmac.new(key, session_id.encode("ascii"), hashlib.sha256).hexdigest()

    def page(self, template: str, *, status: int = 200, form_target: str = "", **values: Any) -> web.Response:
        """Return a page whose form contains the CSRF token of this browser."""
        response = render(template, status=status, form_target=form_target, csrf=self._csrf_token, **values)
        if self._is_new:
            # Not Secure, because the emulator usually serves plain HTTP on loopback. SameSite=Lax, so that the cookie
            # is also sent when the first page is opened from a link in a chat.
            response.set_cookie(self._cookie, self._id, httponly=True, samesite="Lax", path="/")
        return response

    def check_csrf_token(self, request: web.Request, form: Form) -> None:
        """Check that `form` was submitted from a page of this server in this browser.

        Raises:
            ErrorResponse: 403, the CSRF token is missing or belongs to another browser, or another site sent the form.
        """
        given = form.optional("csrf")
        cross_site = request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}
        if self._is_new or given is None or cross_site or not same_secret(given, self._csrf_token):
            raise ErrorResponse(
                "forbidden", "This form was not sent from a page of this server. Go back and try again.", status=403
            )
