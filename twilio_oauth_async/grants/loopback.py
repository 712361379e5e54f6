"""HTTP listener on 127.0.0.1 for the callback of the authorization code flow (RFC 8252 7.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from aiohttp import web

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title></head>
<body><main><h1>{title}</h1><p>{text}</p></main></body></html>
"""
_ACCEPTED = _PAGE.format(title="You can close this window", text="Return to the application to continue.")
_UNEXPECTED = _PAGE.format(title="Unexpected request", text="The application does not expect this request.")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the URL of this page holds the code
    "X-Content-Type-Options": "nosniff",
}


class LoopbackListener:
    """Waits for one request to `path` for which `accepts` returns True; other requests get an error response.

    Any web page in the user's browser can send requests to this listener, so `accepts` must check the ``state``.
    """

    def __init__(self, *, port: int = 0, path: str = "/callback", accepts: Callable[[str], bool]) -> None:
        """Create a listener; it is opened on entry into ``async with``.

        Args:
            port: the port; 0: a free port.
            path: the path of the redirect URI.
            accepts: returns whether a request is the expected callback; called with its path and query.
        """
        self._port = port
        self._path = path
        self._accepts = accepts
        self._runner: web.AppRunner | None = None
        self._callback: asyncio.Future[str] | None = None

    async def __aenter__(self) -> Self:
        from aiohttp import web

        app = web.Application()
        app.router.add_get(self._path, self._handle, allow_head=False)
        self._callback = asyncio.get_running_loop().create_future()
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def redirect_uri(self) -> str:
        """The redirect URI, with the port that is in use."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    async def callback(self) -> str:
        """Wait for the accepted request; return its path and query."""
        assert self._callback is not None
        return await self._callback

    async def _handle(self, request: web.Request) -> web.Response:
        from aiohttp import web

        accepted = self._accepts(request.path_qs)
        if accepted and self._callback is not None and not self._callback.done():
            self._callback.set_result(request.path_qs)
        return web.Response(
            text=_ACCEPTED if accepted else _UNEXPECTED,
            status=200 if accepted else 400,
            content_type="text/html",
            headers=_HEADERS,
        )
