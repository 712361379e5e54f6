"""Metrics of a queue: how late polls are, how many sign-ins wait, and how many were taken over from another worker."""

import asyncio

import pytest

from tests.helpers.nats_server import until
from twilio_oauth_async import otel

pytest.importorskip("opentelemetry.sdk", reason="the SDK of OpenTelemetry is not installed")
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

pytestmark = pytest.mark.asyncio


@pytest.fixture
def metrics():
    """A function that returns the points of all metrics by name."""
    reader = InMemoryMetricReader()
    otel.instrument(meter_provider=MeterProvider([reader]))

    def points():
        data = reader.get_metrics_data()
        if data is None:
            return {}
        found = [metric for part in data.resource_metrics for scope in part.scope_metrics for metric in scope.metrics]
        return {metric.name: metric.data.data_points[0] for metric in found}

    yield points
    otel.uninstrument()


async def test_lateness_and_pending_sign_ins_are_reported(world, metrics):
    async with world.queues({"concurrency": 0}) as [web]:
        await web.submit("ada")
        await web.submit("bob")
        async with world.queues({}) as [worker]:
            await until(lambda: len(world.polls()) >= 2)
            found = metrics()
            assert await worker.pending() == 2
    assert found["twilio_oauth.queue.pending"].value == 2
    assert found["twilio_oauth.queue.lateness"].count >= 2
    assert found["twilio_oauth.polls"].value >= 2
    assert "twilio_oauth.queue.redeliveries" not in found


async def test_sign_in_that_is_taken_over_is_counted(world, metrics):
    """The first worker is cancelled in the middle of its poll, and does not give its message back."""
    stalled = world.emulator.faults.on("poll").times(1).stall()
    async with world.queues({"ack_wait": 1.0, "close_timeout": 0.1}) as [first]:
        sign_in = await first.submit("ada")
        await until(lambda: stalled.is_used_up)
    async with world.queues({"ack_wait": 1.0}) as [second]:
        await until(lambda: "twilio_oauth.queue.redeliveries" in metrics())
        await world.emulator.approve(sign_in.user_code)
        await asyncio.wait_for(second.result(sign_in.id), 30)
