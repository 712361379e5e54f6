"""OpenTelemetry spans and metrics of requests, device flows and refreshes (extra ``otel``: the API only).

::

    from twilio_oauth_async import otel
    otel.instrument()

==================================  =========  ===========================================================
name                                kind       attributes
==================================  =========  ===========================================================
twilio_oauth.request                span       http.request.method, url.path, attempts, outcome
twilio_oauth.device_flow            span       outcome
twilio_oauth.refresh                span       outcome
twilio_oauth.request.duration       histogram  url.path, outcome (seconds, with retries and the waits between them)
twilio_oauth.device_flow.duration   histogram  outcome (seconds, from the start of polling to the end)
twilio_oauth.refresh.lag            histogram  none (seconds from the expiry of a token to its refresh; 0: not late)
twilio_oauth.polls                  counter    step: Pending, SlowedDown, Unreachable, Approved or an error's class name
twilio_oauth.retries                counter    url.path
twilio_oauth.refreshes              counter    outcome
twilio_oauth.pool.store_failures    counter    store: ``flow store`` or ``token store`` of a `DeviceFlowPool`
twilio_oauth.queue.lateness         histogram  none (seconds from the time at which a poll of a queue was due)
twilio_oauth.queue.redeliveries     counter    none (sign-ins of a queue that were taken over from another worker)
twilio_oauth.queue.pending          gauge      none (pending sign-ins of a queue in all processes)
==================================  =========  ===========================================================

`outcome` is ``ok``, ``cancelled`` or the class name of an exception.

The names are stable. No attribute contains a value that was sent or received.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

from twilio_oauth_async import telemetry
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.telemetry import Attributes, CounterName, GaugeName, HistogramName, SpanName

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, MeterProvider
    from opentelemetry.trace import TracerProvider

_COUNTERS: tuple[CounterName, ...] = (
    "twilio_oauth.polls",
    "twilio_oauth.retries",
    "twilio_oauth.refreshes",
    "twilio_oauth.pool.store_failures",
    "twilio_oauth.queue.redeliveries",
)
_HISTOGRAMS: tuple[HistogramName, ...] = (
    "twilio_oauth.request.duration",
    "twilio_oauth.device_flow.duration",
    "twilio_oauth.refresh.lag",
    "twilio_oauth.queue.lateness",
)
_GAUGES: tuple[GaugeName, ...] = ("twilio_oauth.queue.pending",)


def instrument(*, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None) -> None:
    """Start reporting to OpenTelemetry, for every session of this process.

    Args:
        tracer_provider: receives the spans; None for the global one.
        meter_provider: receives the metrics; None for the global one.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
    """
    with from_extra("otel", "opentelemetry"):
        from opentelemetry import metrics, trace

    tracer = trace.get_tracer("twilio_oauth_async", tracer_provider=tracer_provider)
    meter = metrics.get_meter("twilio_oauth_async", meter_provider=meter_provider)
    counters: dict[str, Counter] = {name: meter.create_counter(name) for name in _COUNTERS}
    histograms: dict[str, Histogram] = {name: meter.create_histogram(name, unit="s") for name in _HISTOGRAMS}
    gauges = {name: meter.create_gauge(name) for name in _GAUGES}

    class OpenTelemetry:
        @contextlib.contextmanager
        def span(self, name: SpanName, attributes: Attributes) -> Generator[Attributes, None, None]:
            added: Attributes = {}
            # Only the class name of an exception is reported: recording it would copy its text and its traceback.
            with tracer.start_as_current_span(
                name,
                kind=trace.SpanKind.CLIENT if name == "twilio_oauth.request" else trace.SpanKind.INTERNAL,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                try:
                    yield added
                finally:
                    span.set_attributes(added)
                    if added.get("outcome", "ok") != "ok":
                        span.set_status(trace.StatusCode.ERROR, str(added["outcome"]))

        def count(self, name: CounterName, attributes: Attributes, amount: int = 1) -> None:
            counters[name].add(amount, attributes)

        def record(self, name: HistogramName, seconds: float, attributes: Attributes) -> None:
            histograms[name].record(seconds, attributes)

        def set(self, name: GaugeName, value: int, attributes: Attributes) -> None:
            gauges[name].set(value, attributes)

    telemetry.observer = OpenTelemetry()


def uninstrument() -> None:
    """Stop reporting to OpenTelemetry."""
    telemetry.observer = None
