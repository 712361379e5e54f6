"""Hook for metrics and traces; does nothing until `otel.instrument` is called.

Only names, numbers and class names are reported, never a value that was sent or received. Without an observer each
observed operation costs one look-up of a module attribute. `TokenManager.token` has no hook while its token is fresh.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextlib import AbstractContextManager
from typing import Final, Literal, Protocol, TypeAlias

from twilio_oauth_async.errors import TwilioOAuthError

Attributes: TypeAlias = dict[str, str | int | float | bool]

SpanName: TypeAlias = Literal["twilio_oauth.request", "twilio_oauth.device_flow", "twilio_oauth.refresh"]
CounterName: TypeAlias = Literal[
    "twilio_oauth.polls",
    "twilio_oauth.retries",
    "twilio_oauth.refreshes",
    "twilio_oauth.pool.store_failures",
    "twilio_oauth.queue.redeliveries",
]
HistogramName: TypeAlias = Literal[
    "twilio_oauth.request.duration",
    "twilio_oauth.device_flow.duration",
    "twilio_oauth.refresh.lag",
    "twilio_oauth.queue.lateness",
]
GaugeName: TypeAlias = Literal["twilio_oauth.queue.pending"]

_DURATIONS: Final[dict[SpanName, HistogramName]] = {
    "twilio_oauth.request": "twilio_oauth.request.duration",
    "twilio_oauth.device_flow": "twilio_oauth.device_flow.duration",
}
"""The histogram of the duration of each operation."""

_COUNTERS: Final[dict[SpanName, CounterName]] = {"twilio_oauth.refresh": "twilio_oauth.refreshes"}
"""The counter of the outcomes of each operation."""


class Observer(Protocol):
    """Receives spans, counters, histograms and gauges."""

    def span(self, name: SpanName, attributes: Attributes) -> AbstractContextManager[Attributes]:
        """Return a context manager for one operation. It yields a dict for attributes that are reported at the end."""
        ...

    def count(self, name: CounterName, attributes: Attributes, amount: int = 1) -> None:
        """Add `amount` to a counter."""
        ...

    def record(self, name: HistogramName, seconds: float, attributes: Attributes) -> None:
        """Record one duration or delay, in seconds, in a histogram."""
        ...

    def set(self, name: GaugeName, value: int, attributes: Attributes) -> None:
        """Set a gauge to its present value."""
        ...


observer: Observer | None = None
"""Set by `otel.instrument`. Do not import the name from this module: its value changes."""


class Timer(Protocol):
    """The part of `Clock` that is needed to measure durations. `clock` is in the same layer: no import."""

    def monotonic(self) -> float:
        """Return seconds since some fixed point."""
        ...


class Operation:
    """An operation under way, from `observe`. Every method does nothing when there is no observer."""

    def set_result(self, result: object) -> None:
        """Report `result`, a returned value or error, as the outcome: the class name of an error, else ``ok``."""

    def set_attribute(self, name: str, value: str | float | bool) -> None:
        """Add an attribute to the span."""

    def count(self, name: CounterName, attributes: Attributes, amount: int = 1) -> None:
        """Add `amount` to a counter."""

    def record(self, name: HistogramName, seconds: float, attributes: Attributes) -> None:
        """Record one duration or delay, in seconds, in a histogram."""


class _ReportedOperation(Operation):
    def __init__(self, observer: Observer, attributes: Attributes) -> None:
        self.attributes = attributes
        self.outcome: str | None = None
        self._observer = observer

    def set_result(self, result: object) -> None:
        self.outcome = type(result).__name__ if isinstance(result, TwilioOAuthError) else "ok"

    def set_attribute(self, name: str, value: str | float | bool) -> None:
        self.attributes[name] = value

    def count(self, name: CounterName, attributes: Attributes, amount: int = 1) -> None:
        self._observer.count(name, attributes, amount)

    def record(self, name: HistogramName, seconds: float, attributes: Attributes) -> None:
        self._observer.record(name, seconds, attributes)


UNOBSERVED: Final = Operation()
"""An operation without an observer."""

_UNOBSERVED: Final = contextlib.nullcontext(UNOBSERVED)


def observe(
    name: SpanName,
    timer: Timer,
    attributes: Attributes | None = None,
    *,
    labels: Attributes | None = None,
) -> AbstractContextManager[Operation]:
    """Return a context manager that reports the operation inside its ``with`` block::

        with telemetry.observe("twilio_oauth.device_flow", clock):
            return await self._wait(authorization)

    It opens a span. At the end it adds `outcome` to the span, and to the operation's duration histogram or outcome
    counter if it has one. `outcome` is ``ok``, the class name of the exception that was raised or of the error that
    `Operation.set_result` was called with, or ``cancelled``.

    Args:
        name: the operation.
        timer: measures the duration; read only if the operation has a duration histogram.
        attributes: attributes of the span only.
        labels: attributes of the span, the histogram and the counter.
    """
    if observer is None:
        return _UNOBSERVED
    return _reported(observer, name, timer, {**(attributes or {}), **(labels or {})}, labels or {})


@contextlib.contextmanager
def _reported(
    observer: Observer, name: SpanName, timer: Timer, attributes: Attributes, labels: Attributes
) -> Generator[Operation]:
    histogram, counter = _DURATIONS.get(name), _COUNTERS.get(name)
    started = timer.monotonic() if histogram is not None else 0.0
    with observer.span(name, attributes) as added:
        operation = _ReportedOperation(observer, added)
        failure: str | None = "cancelled"  # CancelledError, GeneratorExit, KeyboardInterrupt
        try:
            yield operation
            failure = None
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            outcome = added["outcome"] = failure or operation.outcome or "ok"
            if histogram is not None:
                observer.record(histogram, timer.monotonic() - started, {**labels, "outcome": outcome})
            if counter is not None:
                observer.count(counter, {**labels, "outcome": outcome})
