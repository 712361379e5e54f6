"""The ``Date`` header (RFC 9110 6.6.1) of every response, with the time of the emulator's clock.

aiohttp adds the header itself, always with the time of the system clock, also to responses that no handler or
middleware sees (malformed HTTP). So the header is set where the head of a response is written.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter
from multidict import CIMultiDict

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator.messages.response_formats import http_date


class DatedWriter(StreamWriter):
    """Writes one response, with the time of a clock as its ``Date``."""

    def __init__(self, protocol: Any, clock: Clock) -> None:
        """Create a writer on the connection `protocol`."""
        super().__init__(protocol, asyncio.get_running_loop())
        self._clock = clock
        self._keeps_date = False
        self._date: str | None = None

    def keep_date(self, date: str | None) -> None:
        """Send this ``Date``; None: none."""
        self._keeps_date, self._date = True, date

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Write the head of the response."""
        date = self._date if self._keeps_date else http_date(self._clock.now())
        headers.pop("Date", None)
        if date is not None:
            headers["Date"] = date
        await super().write_headers(status_line, headers)


def use_clock(server: web.Server, clock: Clock) -> None:
    """Make `server` send the time of `clock` in each response."""
    make_request = server.request_factory

    def make_dated_request(
        message: Any, payload: Any, protocol: Any, _: AbstractStreamWriter, task: Any
    ) -> web.BaseRequest:
        return make_request(message, payload, protocol, DatedWriter(protocol, clock), task)

    server.request_factory = make_dated_request


def keep_date(request: web.Request, response: web.Response) -> None:
    """Send `response` with the ``Date`` that it has now; if it has none, without one."""
    if isinstance(request.writer, DatedWriter):
        request.writer.keep_date(response.headers.get("Date"))
