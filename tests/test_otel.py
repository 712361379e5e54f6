"""Spans and metrics of `otel`, read with the SDK of OpenTelemetry."""

import subprocess
import sys

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.raw_server import http
from tests.helpers.scripted_manager import ScriptedManager
from tests.helpers.scripted_server import PENDING, SLOW_DOWN, TOKEN, scripted, scripted_device_flow
from tests.helpers.world import emulated
from twilio_oauth_async import AccessDeniedError, RetryPolicy, StoreError, TransportError, otel, telemetry

pytest.importorskip("opentelemetry.sdk", reason="the SDK of OpenTelemetry is not installed")
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Telemetry:
    def __init__(self):
        self.exporter = InMemorySpanExporter()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        otel.instrument(tracer_provider=tracers, meter_provider=MeterProvider([self.reader]))

    def spans(self):
        return [
            (span.name, dict(span.attributes), span.status.status_code.name)
            for span in self.exporter.get_finished_spans()
        ]

    def metrics(self):
        data = self.reader.get_metrics_data()
        return {
            (metric.name, *sorted(point.attributes.items())): getattr(point, "value", None)
            or getattr(point, "count", None)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }

    def everything(self):
        return (
            repr(self.spans()) + repr(self.metrics()) + "".join(s.to_json() for s in self.exporter.get_finished_spans())
        )


@pytest.fixture
def telemetry_data():
    yield Telemetry()
    otel.uninstrument()
    assert telemetry.observer is None


@pytest.mark.asyncio
async def test_device_flow_spans_and_metrics(telemetry_data):
    async with scripted_device_flow(PENDING, SLOW_DOWN, http(503, b"", None), TOKEN) as setup:
        await setup.flow.run()
    requests = [span for span in telemetry_data.spans() if span[0] == "twilio_oauth.request"]
    assert [(attributes["url.path"], attributes["outcome"]) for _, attributes, _ in requests] == [
        ("/v1/device/code", "ok"),
        ("/v1/token", "AuthorizationPendingError"),
        ("/v1/token", "SlowDownError"),
        ("/v1/token", "ServerError"),
        ("/v1/token", "ok"),
    ]
    assert telemetry_data.spans()[-1] == ("twilio_oauth.device_flow", {"outcome": "ok"}, "UNSET")
    # The spans of the polls are children of the span of the flow.
    spans = telemetry_data.exporter.get_finished_spans()
    assert {span.parent.span_id for span in spans[1:-1]} == {spans[-1].context.span_id}
    metrics = telemetry_data.metrics()
    for step in ("Pending", "SlowedDown", "Unreachable", "Approved"):
        assert metrics["twilio_oauth.polls", ("step", step)] == 1
    assert metrics["twilio_oauth.device_flow.duration", ("outcome", "ok")] == 1
    assert "canary" not in telemetry_data.everything()


@pytest.mark.asyncio
async def test_denied_device_flow_has_outcome_and_error_status(telemetry_data):
    async with scripted_device_flow(http(400, {"error": "access_denied", "error_description": "dev-canary"})) as setup:
        with pytest.raises(AccessDeniedError):
            await setup.flow.run()
    assert telemetry_data.spans()[-1] == ("twilio_oauth.device_flow", {"outcome": "AccessDeniedError"}, "ERROR")
    assert telemetry_data.metrics()["twilio_oauth.polls", ("step", "AccessDeniedError")] == 1
    assert "canary" not in telemetry_data.everything()


@pytest.mark.asyncio
async def test_calls_of_a_store_that_fail_in_a_pool_are_counted(telemetry_data):
    async with emulated() as setup, setup.pool() as pool:
        setup.flows.fail("find_user", times=2)
        for _ in range(2):
            with pytest.raises(StoreError):
                await pool.submit("ada")
    assert telemetry_data.metrics()["twilio_oauth.pool.store_failures", ("store", "flow store")] == 2


@pytest.mark.asyncio
async def test_retried_request_reports_attempts_and_retries(telemetry_data):
    responses = [http(503, b"", None), http(200, {"keys": []})]
    async with scripted(*responses, retry=RetryPolicy(attempts=2)) as (_, session):
        await session.fetch_certs()
    assert telemetry_data.spans()[0][1] == {
        "http.request.method": "GET",
        "url.path": "/v1/certs",
        "attempts": 2,
        "outcome": "ok",
    }
    assert telemetry_data.metrics()["twilio_oauth.retries", ("url.path", "/v1/certs")] == 1


@pytest.mark.asyncio
async def test_refresh_reports_outcomes_and_lag(telemetry_data):
    setup = ScriptedManager({}, {}, TransportError("down"))
    await setup.manager.login()
    setup.clock.advance(3610)
    await setup.manager.token()
    setup.clock.advance(3550)
    await setup.manager.token()
    await run_turns()  # the refresh behind the valid token
    metrics = telemetry_data.metrics()
    assert metrics["twilio_oauth.refreshes", ("outcome", "ok")] == 1
    assert metrics["twilio_oauth.refreshes", ("outcome", "TransportError")] == 1
    assert metrics["twilio_oauth.refresh.lag",] == 1
    assert [name for name, _, _ in telemetry_data.spans()] == ["twilio_oauth.refresh"] * 2
    assert "canary" not in telemetry_data.everything()


def test_opentelemetry_is_not_imported_without_instrument():
    code = "import sys, twilio_oauth_async as t; t.DeviceFlow, t.TokenManager; print('opentelemetry' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_instrument_without_opentelemetry_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ModuleNotFoundError, match=r"twilio-oauth-async\[otel\]"):
        otel.instrument()
