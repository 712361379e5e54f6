"""What a fault does to one exchange, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from aiohttp import web
from attrs import Factory, define, frozen

from twilio_oauth_async.emulator.faults.answers import Forgery
from twilio_oauth_async.emulator.messages.dialect import Dialect

Edit = Callable[[web.Response], None]
Moment = Literal["before", "unanswered", "inside", "after"]
"""``before``: nothing was processed. ``unanswered``: it was, and nothing is sent. ``inside``: head and half the body
are sent. ``after``: all is sent, and the connection is no good for another request."""


@frozen
class Break:
    """How and when a connection ends."""

    how: Literal["reset", "hang_up", "stall"]
    moment: Moment


@define(kw_only=True)
class Plan:
    """Everything that one fault was told."""

    success_only: bool = False
    delay: float = 0.0
    processed: bool = True
    replacement: Callable[[Dialect], web.Response] | None = None
    forgery: Forgery | None = None
    edits: list[Edit] = Factory(list[Edit])
    drip: tuple[float, int] | None = None
    keep: float = 1.0
    length_error: int = 0
    broken: Break | None = None

    @property
    def processes(self) -> bool:
        """Whether the request is to be processed at all."""
        if self.success_only:
            return True
        return self.processed and (self.broken is None or self.broken.moment != "before")

    @property
    def sends_head(self) -> bool:
        """Whether the client sees a status."""
        return self.broken is None or self.broken.moment in {"inside", "after"}

    @property
    def sends_raw(self) -> bool:
        """Whether the answer is sent past the HTTP library, which would not send such a thing."""
        return self.drip is not None or self.keep < 1 or self.length_error != 0 or self.broken is not None
