"""Where the package tells what it does to somebody who counts: nobody, unless `otel.instrument` was called.

What is told are names and numbers, never a value that was sent or received. Whoever is not told costs one look at a
module attribute a request; the hot path of a token manager does not even look.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, Protocol, TypeAlias

Attributes: TypeAlias = dict[str, str | int | float | bool]

SpanName: TypeAlias = Literal["twilio_oauth.request", "twilio_oauth.device_flow", "twilio_oauth.refresh"]
CounterName: TypeAlias = Literal["twilio_oauth.polls", "twilio_oauth.retries", "twilio_oauth.refreshes"]
HistogramName: TypeAlias = Literal[
    "twilio_oauth.request.duration", "twilio_oauth.device_flow.duration", "twilio_oauth.refresh.lag"
]


class Observer(Protocol):
    """Somebody who counts."""

    def span(self, name: SpanName, attributes: Attributes) -> AbstractContextManager[Attributes]:
        """Something that takes time; what is put into the dict that it gives is told when it ends."""
        ...

    def count(self, name: CounterName, attributes: Attributes, amount: int = 1) -> None:
        """Something happened `amount` times."""
        ...

    def record(self, name: HistogramName, seconds: float, attributes: Attributes) -> None:
        """Something took, or was late by, so many seconds."""
        ...


observer: Observer | None = None
"""Set by `otel.instrument`. Read it through the module: it changes."""
