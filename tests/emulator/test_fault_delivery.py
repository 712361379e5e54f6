"""Delivery faults on a bare socket: what is received, and whether the request was processed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.raw_client import CERTS, approved_device_code, poll_form, send_raw_request
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("how", "moment", "processed", "head", "share"),
    [
        ("reset", "before", False, False, 0),
        ("reset", "unanswered", True, False, 0),
        ("reset", "inside", True, True, 0.5),
        ("reset", "after", True, True, 1),
        ("hang_up", "before", False, False, 0),
        ("hang_up", "unanswered", True, False, 0),
        ("hang_up", "inside", True, True, 0.5),
        ("hang_up", "after", True, True, 1),
        ("stall", "before", False, False, 0),
        ("stall", "unanswered", True, False, 0),
        ("stall", "inside", True, True, 0.5),
    ],
)
async def test_connection_ends_at_the_given_moment(
    caller: Caller, how: str, moment: Any, processed: bool, head: bool, share: float
) -> None:
    code = await approved_device_code(caller)
    getattr(caller.emulator.faults.on("poll"), how)(moment)
    response = await send_raw_request(
        caller, "/v1/token", poll_form(caller, code), read_for=0.1 if how == "stall" else 2
    )
    assert response.was_reset == (how == "reset")
    assert response.timed_out == (how == "stall")
    assert response.data.startswith(b"HTTP/1.1 201") == head
    if head:
        assert len(response.body) == int(response.content_length * share)
    assert caller.emulator.requests.to("poll")[0].status == (201 if head else None)
    assert (await caller.poll(code["device_code"]))[0] == (400 if processed else 201)


async def test_drop_response_rotates_the_refresh_token(caller: Caller) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").drop_response()
    form = {
        "GrantType": "refresh_token",
        "ClientSid": caller.emulator.client_sid,
        "RefreshToken": token["refresh_token"],
    }
    assert (await send_raw_request(caller, "/v1/token", form)).data == b""
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_truncate_and_wrong_length(caller: Caller) -> None:
    on = caller.emulator.faults.on
    on("certs").truncate(0.25)
    on("certs").wrong_length(+10)
    on("certs").wrong_length(-10)
    truncated = await send_raw_request(caller)
    assert len(truncated.body) == truncated.content_length // 4
    too_large = await send_raw_request(caller)
    assert len(too_large.body) == too_large.content_length - 10
    too_small = await send_raw_request(caller)
    assert len(too_small.body) == too_small.content_length + 10
    assert "Connection: close" in too_small.head


async def test_drip_pauses_between_chunks(caller: Caller, clock: VirtualClock) -> None:
    clock.auto = True
    caller.emulator.faults.on("certs").drip(1.0, chunk=100)
    response = await send_raw_request(caller)
    assert json.loads(response.body)["keys"]
    assert clock.monotonic() == -(-response.content_length // 100)


async def test_drip_stops_when_the_client_disconnects(caller: Caller, clock: VirtualClock) -> None:
    caller.emulator.faults.on("certs").drip(1.0)
    await send_raw_request(caller, read_for=0.05)
    for _ in range(5):
        await asyncio.sleep(0)
        clock.advance(1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert "sleepers=0" in repr(clock)


async def test_delay_uses_the_emulators_clock(caller: Caller, clock: VirtualClock) -> None:
    clock.auto = True
    caller.emulator.faults.on("certs").delay(7).respond(503)
    caller.emulator.faults.on("certs").on_success().delay(3)
    assert (await caller.call("GET", CERTS))[0] == 503
    assert clock.monotonic() == 7
    assert (await caller.call("GET", CERTS))[0] == 200
    assert clock.monotonic() == 10


async def test_delayed_request_is_processed_after_the_client_disconnects(caller: Caller, clock: VirtualClock) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").delay(60)
    form = {
        "GrantType": "refresh_token",
        "ClientSid": caller.emulator.client_sid,
        "RefreshToken": token["refresh_token"],
    }
    assert (await send_raw_request(caller, "/v1/token", form, read_for=0.05)).timed_out
    clock.advance(60)
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_emulator_stops_while_a_request_is_stalled(clock: VirtualClock) -> None:
    async with aiohttp.ClientSession() as http:
        async with Emulator(clock=clock) as emulator:
            emulator.faults.on("certs").stall()
            request = asyncio.create_task(Caller(emulator, http).call("GET", CERTS))
            while not emulator.requests:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            await request
