"""Waits on 127.0.0.1 for the browser to come back from the authorization page (RFC 8252 7.3)."""

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
_DONE = _PAGE.format(title="Back to the program", text="The answer has reached the program. You can close this window.")
_STRAY = _PAGE.format(title="Nothing to see here", text="This is not the answer that the program waits for.")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",  # the address of this page holds the code
    "X-Content-Type-Options": "nosniff",
}


class LoopbackListener:
    """Takes one request to `path` that `accepts` is true of; whatever else comes is turned away and changes nothing.

    Any page that the person has open can send requests here. Only the one with the right ``state`` counts.
    """

    def __init__(self, *, port: int = 0, path: str = "/callback", accepts: Callable[[str], bool]) -> None:
        """Nothing is opened here.

        Args:
            port: 0: a free one.
            path: of the redirect URI.
            accepts: is given the path and query of a request.
        """
        self._port = port
        self._path = path
        self._accepts = accepts
        self._runner: web.AppRunner | None = None
        self._answer: asyncio.Future[str] | None = None

    async def __aenter__(self) -> Self:
        from aiohttp import web

        app = web.Application()
        app.router.add_get(self._path, self._handle, allow_head=False)
        self._answer = asyncio.get_running_loop().create_future()
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
        """Where the browser is to be sent back to."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    async def answer(self) -> str:
        """Wait for the request; its path and query."""
        assert self._answer is not None
        return await self._answer

    async def _handle(self, request: web.Request) -> web.Response:
        from aiohttp import web

        accepted = self._accepts(request.path_qs)
        if accepted and self._answer is not None and not self._answer.done():
            self._answer.set_result(request.path_qs)
        return web.Response(
            text=_DONE if accepted else _STRAY,
            status=200 if accepted else 400,
            content_type="text/html",
            headers=_HEADERS,
        )
