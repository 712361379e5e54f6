"""The journal of requests: what it contains, what it forgets, and the gaps between polls."""

from __future__ import annotations

from datetime import UTC, datetime

import aiohttp
import pytest

from tests.helpers.emulator_caller import CONTROL_TOKEN, Caller, Remote
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.messages.journal import (
    ForgottenRequestsError,
    Headers,
    Journal,
    Parameters,
    RecordedRequest,
)

pytestmark = pytest.mark.asyncio


async def test_journal_records_requests_and_its_reprs_show_no_secret(caller: Caller) -> None:
    emulator = caller.emulator
    code = await caller.device_code()
    await caller.poll(code["device_code"], ClientSecret="canary-secret", Extra="1", DeviceId="")
    issued, polled = emulator.requests
    assert (issued.endpoint, polled.endpoint) == ("device_code", "token")
    assert (polled.method, polled.path, polled.status, polled.error) == ("POST", "/v1/token", 401, "invalid_client")
    assert polled.form["ClientSecret"] == "canary-secret"
    assert polled.form["DeviceCode"] == code["device_code"]
    assert polled.form["DeviceId"] == ""
    assert polled.headers["authorization"] == caller.basic
    assert polled.unknown_parameters == ("Extra",)
    assert polled.received_at == 0
    assert issued.peer_port == polled.peer_port
    for text in (repr(polled), repr(polled.form), repr(polled.headers), repr(emulator.requests), repr(emulator)):
        assert "canary-secret" not in text
        assert code["device_code"] not in text
        assert caller.basic not in text
    assert emulator.requests.to("token") == [polled]
    assert emulator.requests[-1] is polled
    assert emulator.requests[:1] == [issued]
    emulator.requests.clear()
    assert len(emulator.requests) == 0


async def test_poll_gaps_are_separate_for_each_device_code(caller: Caller, clock: VirtualClock) -> None:
    first, second = await caller.device_code(), await caller.device_code()
    for seconds in (0, 5, 7):
        clock.advance(seconds)
        await caller.poll(first["device_code"])
    await caller.poll(second["device_code"])
    requests = caller.emulator.requests
    assert requests.poll_gaps() == [5, 7]
    assert requests.poll_gaps(second["device_code"]) == []
    assert not requests.polled_faster_than(5)
    assert requests.polled_faster_than(6)
    clock.advance(1)
    await caller.poll(second["device_code"])
    assert requests.polled_faster_than(5)


def request(path: str = "/", **headers: str) -> RecordedRequest:
    return RecordedRequest(
        method="POST",
        path=path,
        endpoint="token",
        kind="poll",
        query=Parameters(),
        form=Parameters(DeviceCode="d"),
        headers=Headers(headers),
        body=b"",
        received_at=0.0,
        received_on=datetime(2026, 1, 1, tzinfo=UTC),
        peer_port=None,
    )


async def test_oldest_requests_are_forgotten_beyond_a_number() -> None:
    journal = Journal(max_requests=3)
    added = [request() for _ in range(5)]
    for each in added:
        journal.add(each)
    assert list(journal) == added[2:]
    assert journal.forgotten == 2
    assert repr(journal) == "<Journal of 3 requests, 2 older ones forgotten>"


async def test_oldest_requests_are_forgotten_beyond_a_size() -> None:
    journal = Journal(max_bytes=1_000)
    first, second, third = request(Cookie="x" * 300), request(), request("/" + "x" * 200)
    for each in (first, second, third):
        journal.add(each)
    journal.add_body(second, b"x" * 400)
    assert list(journal) == [first, second, third]
    journal.add_body(third, b"x" * 100)
    assert list(journal) == [second, third]
    journal.add_body(first, b"x" * 900)  # it is forgotten already
    assert list(journal) == [second, third]
    large = request()
    journal.add(large)
    journal.add_body(large, b"x" * 2_000)
    assert list(journal) == [large]  # the newest is kept
    assert journal.forgotten == 3
    assert (first.body, large.body) == (b"x" * 900, b"x" * 2_000)


async def test_journal_that_has_forgotten_requests_does_not_say_that_no_poll_was_early() -> None:
    journal = Journal(max_requests=2)
    for _ in range(3):
        journal.add(request())
    for ask in (journal.poll_gaps, lambda: journal.polled_faster_than(5)):
        with pytest.raises(ForgottenRequestsError, match="has forgotten the 1 oldest requests"):
            ask()
    journal.clear()
    assert journal.forgotten == 0
    assert journal.poll_gaps() == []


async def test_emulator_limits_its_journal_and_says_so_over_http() -> None:
    async with (
        Emulator(journal_size=2, journal_bytes=10_000, control_token=CONTROL_TOKEN) as emulator,
        aiohttp.ClientSession() as http,
    ):
        remote = Remote(emulator, http)
        await remote.device_code()
        await remote.call("POST", "/v1/token", {"a": "x" * 9_500})
        assert [len(each.body) > 9_500 for each in emulator.requests] == [True]
        assert (await remote.command("requests"))["forgotten"] == 1
        status, body = await remote.try_command("poll_gaps")
        assert (status, "give the emulator a larger journal_size" in body["error"]) == (409, True)
