"""A web backend, with aiohttp: visitors connect their Twilio account with a code or in the browser.

    python examples/web_aiohttp.py [--port 8080] [--url https://connect.example.com] [--state DIR]

See _service.py for the OAuth server: Twilio, or the emulator, on whose pages you approve. With --state, sign-ins and
tokens survive a restart, also after kill -9 between showing a code and its approval.
Needs what _web_backend.py needs.
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path

from _web_backend import (
    ASSETS,
    COOKIE_AGE,
    FAILED,
    NOT_STARTED,
    OUT_OF_DATE,
    Backend,
    Visitor,
    arguments,
    open_backend,
    problem_page,
)
from aiohttp import web

from twilio_oauth_async import AuthorizationError, SignInNotFound, TwilioOAuthError

STREAM_SECONDS = 20.0
"""Seconds after which an event stream ends, before a proxy times out. The browser reopens it and gets the current state
first. So the server need not detect whether the browser is still connected."""

BACKEND = web.AppKey("BACKEND", Backend)
log = logging.getLogger("web")
routes = web.RouteTableDef()


@routes.get("/")
async def home(request: web.Request) -> web.Response:
    known = visitor_of(request)
    visitor = known or Visitor.new()
    response = html(await request.app[BACKEND].page(visitor, is_known=known is not None))
    if known is None:
        remember(request, response, visitor)
    return response


@routes.get("/events")
async def events(request: web.Request) -> web.StreamResponse:
    visitor, backend = visitor_of(request), request.app[BACKEND]
    sign_in = await backend.sign_in(visitor) if visitor else None
    if sign_in is None:
        raise web.HTTPNotFound
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"retry: 2000\n\n")
    # The browser may have gone, or the sign-in may have ended a while ago; then the browser loads the page again.
    with suppress(TimeoutError, SignInNotFound, ConnectionError):
        async with asyncio.timeout(STREAM_SECONDS), aclosing(backend.pool.events(sign_in.id)) as stream:
            async for event in stream:
                data = json.dumps({"state": event.state, "problem": event.problem})
                await response.write(f"data: {data}\n\n".encode())
    return response


@routes.post("/connect")
async def connect(request: web.Request) -> web.Response:
    return back_home(request, await request.app[BACKEND].connect(await posted(request)))


@routes.post("/cancel")
async def cancel(request: web.Request) -> web.Response:
    await request.app[BACKEND].cancel(await posted(request))
    return back_home(request)


@routes.post("/login")
async def login(request: web.Request) -> web.Response:
    return see_other(await request.app[BACKEND].redirect(await posted(request)))


@routes.get("/callback")
async def callback(request: web.Request) -> web.Response:
    try:
        visitor = await request.app[BACKEND].callback(
            visitor_of(request), request.query.get("state", ""), request.path_qs
        )
    except AuthorizationError as error:
        return html(problem_page(f"Twilio returned an error: {error}"), 400)
    if visitor is None:
        return html(problem_page(NOT_STARTED), 400)
    return back_home(request, visitor)


@routes.post("/sign-out")
async def sign_out(request: web.Request) -> web.Response:
    return back_home(request, await request.app[BACKEND].sign_out(await posted(request)))


def html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status)


def see_other(url: str) -> web.Response:
    return web.Response(status=303, headers={"Location": url})


def back_home(request: web.Request, visitor: Visitor | None = None) -> web.Response:
    """Respond to a form with a redirect, so that reloading the page does not send the form again."""
    response = see_other("/")
    if visitor is not None:
        remember(request, response, visitor)
    return response


def visitor_of(request: web.Request) -> Visitor | None:
    return Visitor.from_cookie(request.cookies.get(request.app[BACKEND].cookie_name))


def remember(request: web.Request, response: web.StreamResponse, visitor: Visitor) -> None:
    name, secure = request.app[BACKEND].cookie_name, request.app[BACKEND].is_https
    # Lax: the browser must send the cookie when Twilio redirects to the callback.
    response.set_cookie(name, visitor.cookie, max_age=COOKIE_AGE, httponly=True, samesite="Lax", secure=secure)


async def posted(request: web.Request) -> Visitor:
    """Return the visitor who sent a form; raise if the CSRF token is wrong."""
    visitor = visitor_of(request)
    if visitor is None or not visitor.has_csrf((await request.post()).get("csrf")):
        raise web.HTTPForbidden
    return visitor


@web.middleware
async def errors_as_pages(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPForbidden:
        return html(problem_page(OUT_OF_DATE), 403)
    except TwilioOAuthError as error:
        log.warning("%s failed: %s", request.path, error)
        return html(problem_page(FAILED), 503)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(request.app[BACKEND].headers)


def build_app(state: Path | None, url: str) -> web.Application:
    async def running(app: web.Application) -> AsyncGenerator[None]:
        async with open_backend(state, url) as app[BACKEND]:
            yield

    async def stop(app: web.Application) -> None:
        await app[BACKEND].stop()  # ends the event streams before the server waits for them

    app = web.Application(middlewares=[errors_as_pages])
    app.add_routes([*routes, web.static("/static", ASSETS / "static")])
    app.cleanup_ctx.append(running)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(stop)
    return app


def main() -> None:
    state, url, listener = arguments(__doc__)
    logging.basicConfig(level=logging.INFO)
    # No access log: the URL of the callback contains a code.
    try:
        web.run_app(build_app(state, url), sock=listener, access_log=None, print=None, shutdown_timeout=5.0)
    except TwilioOAuthError as error:
        sys.exit(f"Failed: {error}")


if __name__ == "__main__":
    main()
