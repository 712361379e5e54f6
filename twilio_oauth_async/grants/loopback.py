"""HTTP listener on 127.0.0.1 for the callback of the authorization code flow (RFC 8252 7.3)."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from twilio_oauth_async.errors import AuthorizationError
from twilio_oauth_async.protocol.authorization_response import MAX_CALLBACK_LENGTH
from twilio_oauth_async.protocol.loopback_redirect import HOST, is_request_for, port_of, with_port

if TYPE_CHECKING:
    from aiohttp import web

MAX_LINE_LENGTH = 256 * 1024
"""Bytes. A URL that is longer than a callback may be gets a page up to this length, and no response beyond it."""

MAX_HEADER_LENGTH = 64 * 1024
"""Bytes. A browser sends the cookies that any application on 127.0.0.1 has set, on whatever port."""

_SILENT = logging.Logger(__name__)  # noqa: LOG001 - not one that handlers of the program can see
"""aiohttp logs a request that it cannot parse with its URL, which may hold the code."""
_SILENT.addHandler(logging.NullHandler())

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title></head>
<body><main><h1>{title}</h1><p>{text}</p></main></body></html>
"""
_ACCEPTED = _PAGE.format(title="You can close this window", text="Return to the application to continue.")
_UNEXPECTED = _PAGE.format(
    title="Unexpected request",
    text="The application does not expect this request. It may belong to an earlier sign-in: return to the application,"
    " and use its newest link.",
)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the URL of this page holds the code
    "X-Content-Type-Options": "nosniff",
}


class LoopbackListener:
    """Waits for one request to its redirect URI for which `accepts` returns True; others get an error response.

    Any web page in the user's browser can send requests to this listener, so `accepts` must check the ``state``.
    """

    def __init__(self, *, redirect_uri: str = f"http://{HOST}/callback", accepts: Callable[[str], bool]) -> None:
        """Create a listener; it is opened on entry into ``async with``.

        Args:
            redirect_uri: an ``http`` URI with the host 127.0.0.1. If it has no port, a free one is chosen.
            accepts: returns whether a request is the expected callback; called with its path and query.
        """
        self.redirect_uri: str = redirect_uri
        """The redirect URI; once the listener is open, with the port that is in use."""
        self._accepts = accepts
        self._runner: web.AppRunner | None = None
        self._callback: asyncio.Future[str] | None = None

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            AuthorizationError: the port cannot be opened, for example because another program uses it.
        """
        from aiohttp import web

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._callback = asyncio.get_running_loop().create_future()
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=1.0,
            max_line_size=MAX_LINE_LENGTH,
            max_field_size=MAX_HEADER_LENGTH,
            logger=_SILENT,
        )
        await self._runner.setup()
        port, reason = port_of(self.redirect_uri) or 0, None
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
        except BaseException:
            await self._runner.cleanup()
            raise
        if reason is not None:
            raise AuthorizationError(f"the port {port} of {HOST} cannot be opened for the callback: {reason}")
        self.redirect_uri = with_port(self.redirect_uri, int(self._runner.addresses[0][1]))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def callback(self) -> str:
        """Wait for the accepted request; return its path and query."""
        assert self._callback is not None
        return await self._callback

    async def _handle(self, request: web.Request) -> web.Response:
        target = request.raw_path
        if not is_request_for(self.redirect_uri, target):
            return _response(_UNEXPECTED, 404)
        if request.method != "GET":
            return _response(_UNEXPECTED, 405, Allow="GET")
        if len(target) > MAX_CALLBACK_LENGTH:
            return _response(_UNEXPECTED, 414)
        if not self._accepts(target):
            return _response(_UNEXPECTED, 400)
        if "prefetch" in request.headers.get("Sec-Purpose", request.headers.get("Purpose", "")):
            # The browser may fetch the page before the user has decided to go there. It asks again then.
            return _response(_UNEXPECTED, 503)
        if self._callback is not None and not self._callback.done():
            self._callback.set_result(target)
        return _response(_ACCEPTED, 200)


def _response(page: str, status: int, **headers: str) -> web.Response:
    from aiohttp import web

    return web.Response(text=page, status=status, content_type="text/html", headers={**_HEADERS, **headers})
