"""A web backend, with aiohttp: visitors connect their Twilio account, by a code on any device or in their browser.

    python examples/web_aiohttp.py [--port 8080] [--url https://connect.example.com] [--state DIR]

Where it signs in, an account or an emulated server on whose pages you approve: _service.py. With --state sign-ins and
tokens outlive the process: stop it, even with kill -9, and start it again while somebody is about to approve.
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
    NOT_BEGUN,
    OUT_OF_DATE,
    Backend,
    Visitor,
    arguments,
    opened,
    problem_page,
)
from aiohttp import web

from twilio_oauth_async import AuthorizationError, ConfigurationError, TwilioOAuthError

STREAM = 20.0
"""Seconds of one event stream: shorter than a proxy's patience. The browser opens the next one by itself, and is told
the present first; so nobody has to find out whether it is still there."""

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
    # Not here: of a process that was killed. The browser asks again, until its claim has run out and we take it up.
    with suppress(TimeoutError, ConfigurationError):
        async with asyncio.timeout(STREAM), aclosing(backend.pool.events(sign_in.id)) as happening:
            async for event in happening:
                data = json.dumps({"state": event.sign_in.state, "problem": event.problem})
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
        visitor = await request.app[BACKEND].came_back(
            visitor_of(request), request.query.get("state", ""), request.path_qs
        )
    except AuthorizationError as error:
        return html(problem_page(f"Twilio answered: {error}"), 400)
    if visitor is None:
        return html(problem_page(NOT_BEGUN), 400)
    return back_home(request, visitor)


@routes.post("/sign-out")
async def sign_out(request: web.Request) -> web.Response:
    return back_home(request, await request.app[BACKEND].sign_out(await posted(request)))


def html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status)


def see_other(url: str) -> web.Response:
    return web.Response(status=303, headers={"Location": url})


def back_home(request: web.Request, visitor: Visitor | None = None) -> web.Response:
    """Answer a form with a redirect, so that reloading the page sends nothing again."""
    response = see_other("/")
    if visitor is not None:
        remember(request, response, visitor)
    return response


def visitor_of(request: web.Request) -> Visitor | None:
    return Visitor.of(request.cookies.get(request.app[BACKEND].cookie_name))


def remember(request: web.Request, response: web.StreamResponse, visitor: Visitor) -> None:
    name, secure = request.app[BACKEND].cookie_name, request.app[BACKEND].is_https
    # Lax: the browser that Twilio sends back to us must bring it.
    response.set_cookie(name, visitor.cookie, max_age=COOKIE_AGE, httponly=True, samesite="Lax", secure=secure)


async def posted(request: web.Request) -> Visitor:
    """Who sent a form of ours."""
    visitor = visitor_of(request)
    if visitor is None or not visitor.sent((await request.post()).get("csrf")):
        raise web.HTTPForbidden
    return visitor


@web.middleware
async def tell_problems(
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
        async with opened(state, url) as app[BACKEND]:
            yield

    async def stop(app: web.Application) -> None:
        await app[BACKEND].stop()  # before the server waits for the event streams to end

    app = web.Application(middlewares=[tell_problems])
    app.add_routes([*routes, web.static("/static", ASSETS / "static")])
    app.cleanup_ctx.append(running)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(stop)
    return app


def main() -> None:
    state, url, listener = arguments(__doc__)
    logging.basicConfig(level=logging.INFO)
    # No access log: the address that Twilio sends a browser back to holds a code.
    try:
        web.run_app(build_app(state, url), sock=listener, access_log=None, print=None, shutdown_timeout=5.0)
    except TwilioOAuthError as error:
        sys.exit(f"It did not work: {error}")


if __name__ == "__main__":
    main()
