"""`Plan`: what one fault does to a request, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from aiohttp import web
from attrs import Factory, define, frozen

from twilio_oauth_async.emulator.faults.responses import Forgery
from twilio_oauth_async.emulator.messages.response_formats import ResponseFormat

Edit = Callable[[web.Response], None]
Moment = Literal["before", "unanswered", "inside", "after"]
"""When the connection ends. ``before``: the request is not processed. ``unanswered``: it is processed, and nothing is
sent. ``inside``: the header section and half of the body are sent. ``after``: the whole response is sent; only the next
request on this connection fails."""


@frozen
class Break:
    """How and when a connection ends."""

    how: Literal["reset", "hang_up", "stall"]
    moment: Moment


@define(kw_only=True)
class Plan:
    """Settings of one fault that take effect when it hits a request."""

    success_only: bool = False
    delay: float = 0.0
    processed: bool = True
    """Whether the request is processed before `replacement` is sent."""
    replacement: Callable[[ResponseFormat], web.Response] | None = None
    forgery: Forgery | None = None
    edits: list[Edit] = Factory(list[Edit])
    drip: tuple[float, int] | None = None
    """Seconds before each piece of the body, and the bytes of a piece."""
    keep: float = 1.0
    """Part of the body that is sent, from 0 to 1."""
    length_error: int = 0
    """Bytes added to the real ``Content-Length``."""
    broken: Break | None = None

    @property
    def has_effect(self) -> bool:
        """Whether a request that is hit is responded to in another way."""
        return self != Plan(success_only=self.success_only)

    @property
    def processes(self) -> bool:
        """Whether the request is processed."""
        if self.success_only:
            return True
        return self.processed and (self.broken is None or self.broken.moment != "before")

    @property
    def sends_head(self) -> bool:
        """Whether the status line and the headers are sent."""
        return self.broken is None or self.broken.moment in {"inside", "after"}

    @property
    def sends_raw(self) -> bool:
        """Whether the response is written to the transport, because the HTTP library cannot send such a response."""
        return self.drip is not None or self.keep < 1 or self.length_error != 0 or self.broken is not None
