"""HTML pages from templates, with security headers; the stylesheet and the error page."""

from __future__ import annotations

import functools
from http import HTTPStatus
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web

from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.pages.consent_texts import WARNING

STYLESHEET_PATH = "/assets/pages.css"


def _headers(form_target: str = "", *, scripts: bool = False) -> dict[str, str]:
    form_action = f"form-action 'self' {form_target}".rstrip()
    own_scripts = "script-src 'self'; connect-src 'self'; " if scripts else ""
    return {
        # No inline styles and scripts, no resources from other sites, and no framing of a page with an Approve button.
        "Content-Security-Policy": f"default-src 'none'; style-src 'self'; img-src data:; {own_scripts}{form_action}; "
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
    return resources.files("twilio_oauth_async").joinpath("stylesheets", "pages.css").read_bytes()


def render(
    template: str, *, status: int = 200, form_target: str = "", scripts: bool = False, **values: Any
) -> web.Response:
    """Return the page `template`, filled with `values`.

    Its forms can be sent only to this server or `form_target`. It can use scripts of this server if `scripts` is set.
    """
    text = _templates().get_template(template).render(stylesheet=STYLESHEET_PATH, warning=WARNING, **values)
    headers = _headers(form_target, scripts=scripts)
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


def redirect(location: str, status: HTTPStatus = HTTPStatus.SEE_OTHER) -> web.Response:
    """Redirect the browser with GET, so that reloading the next page does not submit the form again."""
    return web.Response(status=status, headers={**_headers(), "Location": location})


def error_page(request: web.Request, error: ErrorResponse) -> web.Response:  # noqa: ARG001 - signature of ErrorPage
    """Return the page that shows an error."""
    return render(
        "error.html",
        status=error.status,
        title="Page not found" if error.status == HTTPStatus.NOT_FOUND else "Request failed",
        description=error.description,
        error=error.code,
        start=f"/{ACTIVATE_PATH}",
    )


async def stylesheet(request: web.Request) -> web.Response:  # noqa: ARG001 - signature of a handler
    """``GET /assets/pages.css``: the stylesheet of all pages."""
    return web.Response(body=_stylesheet(), content_type="text/css", charset="utf-8", headers=_headers())


def asset(name: str, content_type: str) -> web.Response:
    """Return a file that lies beside the templates."""
    body = resources.files("twilio_oauth_async.emulator").joinpath("pages", name).read_bytes()
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_headers())
