"""A web backend, with FastAPI: visitors connect their Twilio account, by a code on any device or in their browser.

    python examples/web_fastapi.py [--port 8080] [--url https://connect.example.com] [--state DIR]

Where it signs in, an account or an emulated server on whose pages you approve: _service.py. With --state sign-ins and
tokens outlive the process: stop it, even with kill -9, and start it again while somebody is about to approve.
Needs fastapi, python-multipart and uvicorn, and what _web_backend.py needs.
"""

import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import uvicorn
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
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twilio_oauth_async import AuthorizationError, ConfigurationError, SignIn, TwilioOAuthError

log = logging.getLogger("web")
routes = APIRouter(default_response_class=HTMLResponse)


class OutOfDate(Exception):  # noqa: N818 - what is wrong with the form
    """The form is not one that we sent to this browser."""


def running_backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Running = Annotated[Backend, Depends(running_backend)]


def visitor_of(request: Request, backend: Running) -> Visitor | None:
    return Visitor.of(request.cookies.get(backend.cookie_name))


Known = Annotated[Visitor | None, Depends(visitor_of)]


def poster(visitor: Known, csrf: Annotated[str, Form()] = "") -> Visitor:
    """Who sent a form of ours."""
    if visitor is None or not visitor.sent(csrf):
        raise OutOfDate
    return visitor


Poster = Annotated[Visitor, Depends(poster)]


async def own_sign_in(backend: Running, visitor: Known) -> SignIn:
    sign_in = await backend.sign_in(visitor) if visitor else None
    if sign_in is None:
        raise HTTPException(404)
    return sign_in


@routes.get("/")
async def home(backend: Running, known: Known) -> Response:
    visitor = known or Visitor.new()
    response = HTMLResponse(await backend.page(visitor, is_known=known is not None))
    return response if known else remember(backend, response, visitor)


@routes.get("/events", response_class=EventSourceResponse)
async def events(backend: Running, sign_in: Annotated[SignIn, Depends(own_sign_in)]) -> AsyncIterable[ServerSentEvent]:
    yield ServerSentEvent(retry=2000)
    # Not here: of a process that was killed. The browser asks again, until its claim has run out and we take it up.
    with suppress(ConfigurationError):
        async with aclosing(backend.pool.events(sign_in.id)) as happening:
            async for event in happening:
                yield ServerSentEvent(data={"state": event.sign_in.state, "problem": event.problem})


@routes.post("/connect")
async def connect(backend: Running, visitor: Poster) -> Response:
    return remember(backend, back_home(), await backend.connect(visitor))


@routes.post("/cancel")
async def cancel(backend: Running, visitor: Poster) -> Response:
    await backend.cancel(visitor)
    return back_home()


@routes.post("/login")
async def login(backend: Running, visitor: Poster) -> Response:
    return RedirectResponse(await backend.redirect(visitor), 303)


@routes.get("/callback")
async def callback(request: Request, backend: Running, known: Known, state: str = "") -> Response:
    try:
        visitor = await backend.came_back(known, state, f"/callback?{request.url.query}")
    except AuthorizationError as error:
        return HTMLResponse(problem_page(f"Twilio answered: {error}"), 400)
    if visitor is None:
        return HTMLResponse(problem_page(NOT_BEGUN), 400)
    return remember(backend, back_home(), visitor)


@routes.post("/sign-out")
async def sign_out(backend: Running, visitor: Poster) -> Response:
    return remember(backend, back_home(), await backend.sign_out(visitor))


def back_home() -> Response:
    """Answer a form with a redirect, so that reloading the page sends nothing again."""
    return RedirectResponse("/", 303)


def remember(backend: Backend, response: Response, visitor: Visitor) -> Response:
    # Lax: the browser that Twilio sends back to us must bring it.
    response.set_cookie(
        backend.cookie_name, visitor.cookie, COOKIE_AGE, httponly=True, samesite="lax", secure=backend.is_https
    )
    return response


async def out_of_date(*_: object) -> Response:
    return HTMLResponse(problem_page(OUT_OF_DATE), 403)


async def failed(request: Request, error: Exception) -> Response:
    log.warning("%s failed: %s", request.url.path, error)
    return HTMLResponse(problem_page(FAILED), 503)


class Headers:
    """Puts the same headers on all that is answered. Plain ASGI, so that streams stay streams."""

    def __init__(self, app: ASGIApp, state: Any) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.state.backend.headers)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def build_app(state: Path | None, url: str) -> FastAPI:
    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncGenerator[None]:
        async with opened(state, url) as app.state.backend:
            yield

    app = FastAPI(lifespan=running, openapi_url=None)
    app.include_router(routes)
    app.mount("/static", StaticFiles(directory=ASSETS / "static"))
    app.add_middleware(Headers, app.state)
    app.add_exception_handler(OutOfDate, out_of_date)
    app.add_exception_handler(TwilioOAuthError, failed)
    return app


class Server(uvicorn.Server):
    """Uvicorn waits for streams to end before it tells the app that it stops: this one tells it first."""

    def __init__(self, app: FastAPI) -> None:
        # No access log: the address that Twilio sends a browser back to holds a code.
        super().__init__(uvicorn.Config(app, access_log=False, log_level="warning", ws="none"))
        self.app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.app.state.backend.stop()
        await super().shutdown(sockets)


def main() -> None:
    state, url, listener = arguments(__doc__)
    logging.basicConfig(level=logging.INFO)
    # Where it cannot start, uvicorn tells why.
    with suppress(KeyboardInterrupt):
        Server(build_app(state, url)).run([listener])


if __name__ == "__main__":
    main()
