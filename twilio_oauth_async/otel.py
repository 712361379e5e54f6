"""OpenTelemetry for the package (extra ``otel``, the API only): spans for requests, flows and refreshes, and metrics.

::

    from twilio_oauth_async import otel
    otel.instrument()

==================================  =========  ===========================================================
name                                kind       attributes
==================================  =========  ===========================================================
twilio_oauth.request                span       http.request.method, url.path, attempts, outcome
twilio_oauth.device_flow            span       outcome
twilio_oauth.refresh                span       outcome
twilio_oauth.request.duration       histogram  url.path, outcome (seconds, retries and their waits included)
twilio_oauth.device_flow.duration   histogram  outcome (seconds, from the first wait to the end)
twilio_oauth.refresh.lag            histogram  (seconds between a token's end and its successor; 0: in time)
twilio_oauth.polls                  counter    step: Pending, SlowedDown, Unreachable, Approved or the error's name
twilio_oauth.retries                counter    url.path
twilio_oauth.refreshes              counter    outcome: ok or the error's name
==================================  =========  ===========================================================

The names are stable. No attribute holds a value that was sent or received.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

from twilio_oauth_async import telemetry
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.telemetry import Attributes, CounterName, HistogramName, SpanName

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, MeterProvider
    from opentelemetry.trace import TracerProvider

_COUNTERS: tuple[CounterName, ...] = ("twilio_oauth.polls", "twilio_oauth.retries", "twilio_oauth.refreshes")
_HISTOGRAMS: tuple[HistogramName, ...] = (
    "twilio_oauth.request.duration",
    "twilio_oauth.device_flow.duration",
    "twilio_oauth.refresh.lag",
)


def instrument(*, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None) -> None:
    """Tell OpenTelemetry from now on, for every session of this process.

    Args:
        tracer_provider: where spans go; None: the global one.
        meter_provider: where metrics go; None: the global one.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
    """
    with from_extra("otel", "opentelemetry"):
        from opentelemetry import metrics, trace

    tracer = trace.get_tracer("twilio_oauth_async", tracer_provider=tracer_provider)
    meter = metrics.get_meter("twilio_oauth_async", meter_provider=meter_provider)
    counters: dict[str, Counter] = {name: meter.create_counter(name) for name in _COUNTERS}
    histograms: dict[str, Histogram] = {name: meter.create_histogram(name, unit="s") for name in _HISTOGRAMS}

    class OpenTelemetry:
        @contextlib.contextmanager
        def span(self, name: SpanName, attributes: Attributes) -> Generator[Attributes, None, None]:
            later: Attributes = {}
            # Exceptions are told by the name of their class: recording one would copy its text and its traceback.
            with tracer.start_as_current_span(
                name,
                kind=trace.SpanKind.CLIENT if name == "twilio_oauth.request" else trace.SpanKind.INTERNAL,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    yield later
                finally:
                    span.set_attributes(later)
                    if later.get("outcome", "ok") != "ok":
                        span.set_status(trace.StatusCode.ERROR, str(later["outcome"]))

        def count(self, name: CounterName, attributes: Attributes, amount: int = 1) -> None:
            counters[name].add(amount, attributes)

        def record(self, name: HistogramName, seconds: float, attributes: Attributes) -> None:
            histograms[name].record(seconds, attributes)

    telemetry.observer = OpenTelemetry()


def uninstrument() -> None:
    """Tell nobody any more."""
    telemetry.observer = None
