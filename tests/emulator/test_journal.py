"""The journal of requests: what it contains, and the gaps between polls."""

from __future__ import annotations

import pytest

from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.clock import VirtualClock

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
