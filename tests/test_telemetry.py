"""`telemetry.observe`: one helper for the spans, durations and counters of requests, device flows and refreshes."""

import asyncio
import contextlib

import pytest

from tests.helpers.event_loop import other_tasks, run_turns
from tests.helpers.raw_server import http, silence
from tests.helpers.scripted_manager import scripted_manager_expired
from tests.helpers.scripted_server import scripted
from twilio_oauth_async import (
    AccessDeniedError,
    ConfigurationError,
    OAuthSession,
    TransportError,
    VirtualClock,
    telemetry,
)

pytestmark = pytest.mark.asyncio


class RecordingObserver:
    def __init__(self):
        self.spans = []
        self.counts = []
        self.records = []

    @contextlib.contextmanager
    def span(self, name, attributes):
        later = {}
        try:
            yield later
        finally:
            self.spans.append((name, {**attributes, **later}))

    def count(self, name, attributes, amount=1):
        self.counts.append((name, attributes, amount))

    def record(self, name, seconds, attributes):
        self.records.append((name, seconds, attributes))


@pytest.fixture
def observer(monkeypatch):
    observer = RecordingObserver()
    monkeypatch.setattr(telemetry, "observer", observer)
    return observer


@pytest.fixture
def clock():
    return VirtualClock(auto=False)


async def test_observe_device_flow_success_reports_ok_and_duration(observer, clock):
    with telemetry.observe("twilio_oauth.device_flow", clock):
        clock.advance(12.5)
    assert observer.spans == [("twilio_oauth.device_flow", {"outcome": "ok"})]
    assert observer.records == [("twilio_oauth.device_flow.duration", 12.5, {"outcome": "ok"})]
    assert observer.counts == []


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (AccessDeniedError(), "AccessDeniedError"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyError("canary"), "KeyError"),
        (KeyboardInterrupt(), "cancelled"),
        (GeneratorExit(), "cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_observe_raised_exception_is_reported_and_raised(observer, clock, error, outcome):
    with pytest.raises(type(error)) as caught:
        with telemetry.observe("twilio_oauth.device_flow", clock):
            clock.advance(1)
            raise error
    assert caught.value is error
    assert observer.spans == [("twilio_oauth.device_flow", {"outcome": outcome})]
    assert observer.records == [("twilio_oauth.device_flow.duration", 1.0, {"outcome": outcome})]


async def test_observe_task_cancelled_while_it_waits_reports_cancelled(observer, clock):
    async def flow():
        with telemetry.observe("twilio_oauth.device_flow", clock):
            await asyncio.Event().wait()

    task = asyncio.create_task(flow())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert observer.spans == [("twilio_oauth.device_flow", {"outcome": "cancelled"})]


@pytest.mark.parametrize(
    ("result", "outcome"), [(TransportError("down"), "TransportError"), ("a token", "ok"), (None, "ok")], ids=str
)
async def test_observe_request_reports_returned_error_and_labels(observer, clock, result, outcome):
    """The form for `client.exchange`, which returns errors instead of raising them."""
    labels = {"url.path": "/v1/token"}
    with telemetry.observe(
        "twilio_oauth.request", clock, attributes={"http.request.method": "POST"}, labels=labels
    ) as operation:
        clock.advance(2)
        operation.set_result(result)
        operation.set_attribute("attempts", 3)
        operation.count("twilio_oauth.retries", labels, 2)
    assert observer.spans == [
        (
            "twilio_oauth.request",
            {"http.request.method": "POST", "url.path": "/v1/token", "attempts": 3, "outcome": outcome},
        )
    ]
    assert observer.records == [
        ("twilio_oauth.request.duration", 2.0, {"url.path": "/v1/token", "outcome": outcome}),
    ]
    assert observer.counts == [("twilio_oauth.retries", {"url.path": "/v1/token"}, 2)]
    assert labels == {"url.path": "/v1/token"}


async def test_cancelled_request_reports_outcome_attempts_and_duration(observer):
    async with scripted(http(503), silence) as (server, session):
        requesting = asyncio.create_task(session.fetch_certs())
        while len(server.requests) < 2:
            await asyncio.sleep(0)
        requesting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await requesting
    [(name, attributes)] = observer.spans
    assert (name, attributes["outcome"], attributes["attempts"]) == ("twilio_oauth.request", "cancelled", 2)
    [(name, seconds, labels)] = observer.records
    assert (name, labels) == ("twilio_oauth.request.duration", {"url.path": "/v1/certs", "outcome": "cancelled"})
    assert seconds >= 0
    assert observer.counts == [("twilio_oauth.retries", {"url.path": "/v1/certs"}, 1)]


async def test_request_of_a_session_that_is_not_open_reports_the_error(observer):
    with pytest.raises(ConfigurationError):
        await OAuthSession().fetch_certs()
    assert observer.spans[0][1]["outcome"] == "ConfigurationError"


async def test_observe_refresh_counts_the_outcome_and_records_no_duration(observer):
    class NoTimer:
        """Fails the test if it is read: a refresh has no duration histogram."""

    with telemetry.observe("twilio_oauth.refresh", NoTimer()) as operation:
        pass
    operation.record("twilio_oauth.refresh.lag", 0.5, {})
    with pytest.raises(TransportError):
        with telemetry.observe("twilio_oauth.refresh", NoTimer()):
            raise TransportError("down")
    assert observer.spans == [
        ("twilio_oauth.refresh", {"outcome": "ok"}),
        ("twilio_oauth.refresh", {"outcome": "TransportError"}),
    ]
    assert observer.counts == [
        ("twilio_oauth.refreshes", {"outcome": "ok"}, 1),
        ("twilio_oauth.refreshes", {"outcome": "TransportError"}, 1),
    ]
    assert observer.records == [("twilio_oauth.refresh.lag", 0.5, {})]


async def test_observe_reports_to_the_observer_of_its_start(observer, clock, monkeypatch):
    with telemetry.observe("twilio_oauth.device_flow", clock):
        monkeypatch.setattr(telemetry, "observer", None)
    assert len(observer.spans) == len(observer.records) == 1


async def test_observe_without_observer_does_nothing_and_can_be_nested():
    assert telemetry.observer is None
    first = telemetry.observe("twilio_oauth.request", None)
    with first as outer, telemetry.observe("twilio_oauth.refresh", None) as inner:
        outer.set_result(None)
        outer.set_attribute("attempts", 1)
        inner.count("twilio_oauth.retries", {})
        inner.record("twilio_oauth.refresh.lag", 1.0, {})
    with pytest.raises(TransportError), telemetry.observe("twilio_oauth.refresh", None):
        raise TransportError("down")
    assert telemetry.observe("twilio_oauth.request", None) is first, "one object serves every unobserved operation"


async def test_refresh_that_is_cancelled_by_the_end_of_the_program_reports_cancelled(observer):
    setup = await scripted_manager_expired()
    setup.grant.gate = asyncio.Event()
    waiting = asyncio.create_task(setup.manager.token())
    await run_turns()
    assert observer.spans == []  # the request is under way
    waiting.cancel()
    for task in await other_tasks():
        task.cancel()  # as asyncio.run() does
    await run_turns()
    assert observer.spans == [("twilio_oauth.refresh", {"outcome": "cancelled"})]
    assert observer.counts == [("twilio_oauth.refreshes", {"outcome": "cancelled"}, 1)]
    assert observer.records == []
    assert (await setup.stored()).unanswered == 1  # it is not known whether the server has processed it


async def test_refresh_that_is_late_reports_by_how_much(observer):
    setup = await scripted_manager_expired()
    await setup.manager.token()
    assert observer.records == [("twilio_oauth.refresh.lag", 0.0, {})]
    setup.clock.advance(3600 + 25)
    await setup.manager.token()
    assert observer.records[1:] == [("twilio_oauth.refresh.lag", 25.0, {})]
