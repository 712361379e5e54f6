"""Mounts a `SignInSite` in Starlette, FastAPI, Litestar, Quart, and everything else that mounts an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.tokens.manager import TokenManager
from twilio_oauth_async.web import http_messages
from twilio_oauth_async.web.security import is_navigation
from twilio_oauth_async.web.site import SignInSite

with from_extra("asgi", "starlette", "sse_starlette"):
    from sse_starlette import EventSourceResponse
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send
    from starlette.websockets import WebSocketClose

if TYPE_CHECKING:
    from anyio import Event

SHUTDOWN_GRACE = 1.0
"""Seconds in which a stream ends by itself when uvicorn shuts down, before it is cancelled."""


class SignInApp:
    """The ASGI application of a site: ``app.mount("/twilio", SignInApp(site))``.

    The path is that of the site's `url`. The application opens and closes the site in its own lifespan; a mounted
    application has none if the framework does not call it. Open event streams end when uvicorn shuts down.
    """

    def __init__(self, site: SignInSite) -> None:
        """Create it for `site`, which is lent."""
        self._site = site
        self._lifespan = Starlette(lifespan=self._running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request; the interface of ASGI."""
        if scope["type"] == "http":
            with suppress(ClientDisconnect):  # while it sent a form
                response = await self._site.handle(_request_of(Request(scope, receive)))
                await self._sent(response, scope["method"])(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
        else:  # where this is the whole application
            await self._lifespan(scope, receive, send)

    def _sent(self, response: http_messages.Response | http_messages.EventStream, method: str) -> Response:
        """Return the response as one of Starlette."""
        if isinstance(response, http_messages.EventStream):
            return EventSourceResponse(
                response.chunks,
                headers=dict(response.headers),
                ping=0,  # the stream has heartbeats of its own
                # uvicorn waits for open responses before it stops the application: sse-starlette notices that.
                shutdown_event=cast("Event", _Shutdown(self._site)),
                shutdown_grace_period=SHUTDOWN_GRACE,
            )
        length = {"Content-Length": str(len(response.body))}
        body = b"" if method == "HEAD" else response.body
        sent = Response(body, response.status, headers=length | {"Content-Type": response.content_type})
        for name, value in response.headers:
            sent.headers.append(name, value)
        return sent

    @asynccontextmanager
    async def _running(self, _: Starlette) -> AsyncGenerator[None]:
        is_ours = not self._site.is_open
        if is_ours:
            await self._site.open()
        try:
            yield
        finally:
            if is_ours:
                await self._site.close()


class _Shutdown:
    """What sse-starlette sets when uvicorn shuts down. So the streams end, and their responses are complete."""

    def __init__(self, site: SignInSite) -> None:
        self._site = site

    def set(self) -> None:
        """End the streams."""
        self._site.end_streams()


def require_sign_in(site: SignInSite) -> Callable[[Request], Awaitable[TokenManager]]:
    """Return a dependency for FastAPI: ``manager: Annotated[TokenManager, Depends(require_sign_in(site))]``.

    It gives the manager of the signed-in user. If no user is signed in, it raises an `HTTPException`: a browser that
    loads a page is redirected to the site and returns to this page after the sign-in; any other client gets 401. In
    Starlette, await the function with the request.
    """

    async def manager_of(request: Request) -> TokenManager:
        if await site.user(request) is not None:
            return site.manager(request)
        if is_navigation(request.method, request.headers):
            path = request.scope.get("raw_path", b"").decode("ascii", "replace") or quote(request.url.path)
            path += f"?{request.url.query}" if request.url.query else ""
            raise HTTPException(HTTPStatus.SEE_OTHER, headers={"Location": site.sign_in_url(path)})
        raise HTTPException(HTTPStatus.UNAUTHORIZED, f"Sign in first: {site.sign_in_url()}")

    return manager_of


def _request_of(request: Request) -> http_messages.Request:
    async def read_body(limit: int) -> bytes | None:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    # Starlette and FastAPI leave the path of the mount in `path`; other frameworks remove it.
    path, mount = request.scope["path"], request.scope.get("root_path", "")
    if mount and (path == mount or path.startswith(f"{mount}/")):
        path = path.removeprefix(mount)
    return http_messages.Request(
        method=request.method,
        path=path,
        query=request.scope["query_string"].decode("ascii", "replace"),
        headers=request.headers,
        cookies=request.cookies,
        address=request.client.host if request.client is not None else "",
        host_request=request,
        read_body=read_body,
    )
