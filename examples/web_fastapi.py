"""A web backend, with FastAPI: visitors connect their Twilio account with a code or in the browser.

    python examples/web_fastapi.py [--port 8080] [--url https://connect.example.com] [--state DIR]

See _service.py for the OAuth server: Twilio, or the emulator, on whose pages you approve. With --state, sign-ins and
tokens survive a restart, also after kill -9 between showing a code and its approval.
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
    NOT_STARTED,
    OUT_OF_DATE,
    Backend,
    Visitor,
    arguments,
    open_backend,
    problem_page,
)
from fastapi import APIRouter, Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twilio_oauth_async import AuthorizationError, SignIn, SignInNotFound, TwilioOAuthError

log = logging.getLogger("web")
routes = APIRouter(default_response_class=HTMLResponse)


class OutOfDateError(Exception):
    """The CSRF token of a form is not the one that was sent to this browser."""


def running_backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Running = Annotated[Backend, Depends(running_backend)]


def visitor_of(request: Request, backend: Running) -> Visitor | None:
    return Visitor.from_cookie(request.cookies.get(backend.cookie_name))


Known = Annotated[Visitor | None, Depends(visitor_of)]


def poster(visitor: Known, csrf: Annotated[str, Form()] = "") -> Visitor:
    """Return the visitor who sent a form; raise if the CSRF token is wrong."""
    if visitor is None or not visitor.has_csrf(csrf):
        raise OutOfDateError
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
    # The sign-in may have ended a while ago; then the browser loads the page again.
    with suppress(SignInNotFound):
        async with aclosing(backend.pool.events(sign_in.id)) as stream:
            async for event in stream:
                yield ServerSentEvent(data={"state": event.state, "problem": event.problem})


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
        visitor = await backend.callback(known, state, f"/callback?{request.url.query}")
    except AuthorizationError as error:
        return HTMLResponse(problem_page(f"Twilio returned an error: {error}"), 400)
    if visitor is None:
        return HTMLResponse(problem_page(NOT_STARTED), 400)
    return remember(backend, back_home(), visitor)


@routes.post("/sign-out")
async def sign_out(backend: Running, visitor: Poster) -> Response:
    return remember(backend, back_home(), await backend.sign_out(visitor))


def back_home() -> Response:
    """Respond to a form with a redirect, so that reloading the page does not send the form again."""
    return RedirectResponse("/", 303)


def remember(backend: Backend, response: Response, visitor: Visitor) -> Response:
    # Lax: the browser must send the cookie when Twilio redirects to the callback.
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
    """Adds the same headers to every response. Plain ASGI, so that streams are not buffered."""

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
        async with open_backend(state, url) as app.state.backend:
            yield

    app = FastAPI(lifespan=running, openapi_url=None)
    app.include_router(routes)
    app.mount("/static", StaticFiles(directory=ASSETS / "static"))
    app.add_middleware(Headers, app.state)
    app.add_exception_handler(OutOfDateError, out_of_date)
    app.add_exception_handler(TwilioOAuthError, failed)
    return app


class Server(uvicorn.Server):
    """A uvicorn server that stops the backend first: uvicorn waits for event streams before it stops the app."""

    def __init__(self, app: FastAPI) -> None:
        # No access log: the URL of the callback contains a code.
        super().__init__(uvicorn.Config(app, access_log=False, log_level="warning", ws="none"))
        self.app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.app.state.backend.stop()
        await super().shutdown(sockets)


def main() -> None:
    state, url, listener = arguments(__doc__)
    logging.basicConfig(level=logging.INFO)
    # If the app cannot start, uvicorn logs the reason.
    with suppress(KeyboardInterrupt):
        Server(build_app(state, url)).run([listener])


if __name__ == "__main__":
    main()
