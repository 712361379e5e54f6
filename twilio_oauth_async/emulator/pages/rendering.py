"""Rendering pages and telling a browser's own forms from forged ones."""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
import secrets
from http import HTTPStatus
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web

from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.messages.secret import same_secret

STYLESHEET_PATH = "/assets/emulator.css"
_SESSION_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def _headers(form_target: str = "") -> dict[str, str]:
    form_action = f"form-action 'self' {form_target}".rstrip()
    return {
        # Nothing inline, nothing from elsewhere, no script at all; nobody may frame a page that has an Approve button.
        "Content-Security-Policy": f"default-src 'none'; style-src 'self'; {form_action}; "
        "base-uri 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("twilio_oauth_async.emulator", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.cache
def _stylesheet() -> bytes:
    return resources.files("twilio_oauth_async.emulator").joinpath("pages", "emulator.css").read_bytes()


def render(template: str, *, status: int = 200, form_target: str = "", **values: Any) -> web.Response:
    """Return the page `template`, filled in; its forms may only go to us and to `form_target`."""
    text = _templates().get_template(template).render(stylesheet=STYLESHEET_PATH, **values)
    return web.Response(text=text, status=status, content_type="text/html", headers=_headers(form_target))


def redirect(location: str, status: HTTPStatus = HTTPStatus.SEE_OTHER) -> web.Response:
    """Send the browser on with a GET, so that reloading what it then shows sends no form again."""
    return web.Response(status=status, headers={**_headers(), "Location": location})


class PageMaker:
    """Makes pages whose form tokens are bound to a browser by a cookie and `key`."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        # Cookies do not know ports: two emulators on one host need two names.
        self._cookie = f"emulator_session_{hashlib.sha256(key).hexdigest()[:8]}"

    def session(self, request: web.Request) -> PageSession:
        """Return the browser's session, a new one where it has none."""
        known = request.cookies.get(self._cookie, "")
        if _SESSION_ID.fullmatch(known):
            return PageSession(self._key, self._cookie, known, is_new=False)
        return PageSession(self._key, self._cookie, secrets.token_hex(16), is_new=True)

    def refusal(self, request: web.Request, refusal: RefusalError) -> web.Response:  # noqa: ARG002 - a fixed signature
        """Return the page that says no."""
        return render("error.html", status=refusal.status, description=refusal.description, error=refusal.error)

    async def stylesheet(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """Serve the stylesheet of all pages."""
        return web.Response(body=_stylesheet(), content_type="text/css", charset="utf-8", headers=_headers())


class PageSession:
    """One browser, as far as forms are concerned."""

    def __init__(self, key: bytes, cookie: str, session_id: str, *, is_new: bool) -> None:
        self._cookie = cookie
        self._id = session_id
        self._is_new = is_new
        self._csrf = hmac.new(key, session_id.encode("ascii"), hashlib.sha256).hexdigest()

    def page(self, template: str, *, status: int = 200, form_target: str = "", **values: Any) -> web.Response:
        """Return a page whose form carries this browser's token."""
        answer = render(template, status=status, form_target=form_target, csrf=self._csrf, **values)
        if self._is_new:
            # No Secure: it is plain HTTP on loopback. Lax, because a link in a chat may lead to the first page.
            answer.set_cookie(self._cookie, self._id, httponly=True, samesite="Lax", path="/")
        return answer

    def demand_own_form(self, request: web.Request, form: Form) -> None:
        """Let only forms of our own pages through.

        Raises:
            RefusalError: 403, the token is not this browser's or another site sent the form.
        """
        given = form.optional("csrf")
        foreign = request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}
        if self._is_new or given is None or foreign or not same_secret(given, self._csrf):
            raise RefusalError(
                "forbidden", "This form was not sent from our own page. Go back and try again.", status=403
            )
