"""Mounts a `SignInSite` in aiohttp."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

from aiohttp import hdrs, web

from twilio_oauth_async.tokens.manager import TokenManager
from twilio_oauth_async.web.http_messages import EventStream, Request
from twilio_oauth_async.web.security import is_navigation
from twilio_oauth_async.web.site import SignInSite


def sign_in_app(site: SignInSite) -> web.Application:
    """Return the application of a site.

    Mount it with ``app.add_subapp("/twilio", sign_in_app(site))``; the path is that of the site's `url`. If the site is
    not open, it is opened when the application starts, and closed when it stops. Open event streams end when the server
    shuts down.
    """
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await site.handle(_request_of(request))
        if isinstance(response, EventStream):
            return await _send_events(request, response)
        sent = web.Response(status=response.status, body=response.body)
        for name, value in (("Content-Type", response.content_type), *response.headers):
            if name == hdrs.SET_COOKIE:
                sent.headers.add(name, value)
            else:
                sent.headers[name] = value
        return sent

    async def end_streams(_: web.Application) -> None:
        site.end_streams()  # the server waits for them before it cleans up

    async def running(_: web.Application) -> AsyncGenerator[None]:
        is_ours = not site.is_open
        if is_ours:
            await site.open()
        yield
        if is_ours:
            await site.close()

    for path in ("", "/{path:.*}"):  # a sub-application without the slash, and the rest
        app.router.add_route("*", path, handle)
    app.cleanup_ctx.append(running)
    app.on_shutdown.append(end_streams)
    return app


def require_sign_in(site: SignInSite) -> Callable[[web.Request], Awaitable[TokenManager]]:
    """Return a coroutine function that gives the manager of the signed-in user: ``await signed_in(request)``.

    If no user is signed in, it raises: a browser that loads a page is redirected to the site and returns to this page
    after the sign-in; any other client gets 401.
    """

    async def manager_of(request: web.Request) -> TokenManager:
        if await site.user(request) is not None:
            return site.manager(request)
        if is_navigation(request.method, request.headers):
            raise web.HTTPSeeOther(site.sign_in_url(request.path_qs))
        raise web.HTTPUnauthorized(text=f"Sign in first: {site.sign_in_url()}")

    return manager_of


def _request_of(request: web.Request) -> Request:
    async def read_body(limit: int) -> bytes | None:
        if request.content.at_eof():  # a middleware has read it, and aiohttp has kept it
            kept = await request.read()
            return kept if len(kept) <= limit else None
        body = bytearray()
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > limit:
                return None
        return bytes(body)

    return Request(
        method=request.method,
        path=request.match_info.get("path", ""),
        query=request.rel_url.raw_query_string,
        headers=request.headers,
        cookies=request.cookies,
        address=request.remote or "",
        host_request=request,
        read_body=read_body,
    )


async def _send_events(request: web.Request, stream: EventStream) -> web.StreamResponse:
    response = web.StreamResponse(headers=[("Content-Type", "text/event-stream"), *stream.headers])
    async with aclosing(stream.chunks) as chunks:
        with suppress(ConnectionError):  # the browser has gone away
            await response.prepare(request)
            async for chunk in chunks:
                await response.write(chunk)
    return response
