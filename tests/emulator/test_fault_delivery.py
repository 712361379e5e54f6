"""Answers sent badly, seen from the socket: what arrives, and whether the request was processed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.wire import CERTS, approved, poll_form, raw
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
async def test_broken_connections(
    caller: Caller, how: str, moment: Any, processed: bool, head: bool, share: float
) -> None:
    code = await approved(caller)
    getattr(caller.emulator.faults.on("poll"), how)(moment)
    wire = await raw(caller, "/v1/token", poll_form(caller, code), patience=0.1 if how == "stall" else 2)
    assert wire.reset == (how == "reset")
    body = wire.body.removesuffix(b"<still open>")
    assert wire.data.endswith(b"<still open>") == (how == "stall")
    assert wire.data.startswith(b"HTTP/1.1 201") == head
    if head:
        assert len(body) == int(wire.announced * share)
    assert caller.emulator.requests.to("poll")[0].status == (201 if head else None)
    assert (await caller.poll(code["device_code"]))[0] == (400 if processed else 201)


async def test_a_dropped_answer_has_rotated(caller: Caller) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").drop_answer()
    form = {
        "GrantType": "refresh_token",
        "ClientSid": caller.emulator.client_sid,
        "RefreshToken": token["refresh_token"],
    }
    assert (await raw(caller, "/v1/token", form)).data == b""
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_a_truncated_body_and_wrong_lengths(caller: Caller) -> None:
    on = caller.emulator.faults.on
    on("certs").truncate(0.25)
    on("certs").wrong_length(+10)
    on("certs").wrong_length(-10)
    cut = await raw(caller)
    assert len(cut.body) == cut.announced // 4
    longer = await raw(caller)
    assert len(longer.body) == longer.announced - 10
    shorter = await raw(caller)
    assert len(shorter.body) == shorter.announced + 10
    assert "Connection: close" in shorter.head


async def test_a_dripping_body_takes_its_time(caller: Caller, clock: VirtualClock) -> None:
    clock.auto = True
    caller.emulator.faults.on("certs").drip(1.0, chunk=100)
    wire = await raw(caller)
    assert json.loads(wire.body)["keys"]
    assert clock.monotonic() == -(-wire.announced // 100)


async def test_dripping_stops_when_the_client_is_gone(caller: Caller, clock: VirtualClock) -> None:
    caller.emulator.faults.on("certs").drip(1.0)
    await raw(caller, patience=0.05)
    for _ in range(5):
        await asyncio.sleep(0)
        clock.advance(1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert "sleepers=0" in repr(clock)


async def test_delays_pass_on_the_emulators_clock(caller: Caller, clock: VirtualClock) -> None:
    clock.auto = True
    caller.emulator.faults.on("certs").delay(7).answer(503)
    caller.emulator.faults.on("certs").on_success().delay(3)
    assert (await caller.call("GET", CERTS))[0] == 503
    assert clock.monotonic() == 7
    assert (await caller.call("GET", CERTS))[0] == 200
    assert clock.monotonic() == 10


async def test_a_delayed_request_is_processed_although_the_client_gave_up(caller: Caller, clock: VirtualClock) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").delay(60)
    form = {
        "GrantType": "refresh_token",
        "ClientSid": caller.emulator.client_sid,
        "RefreshToken": token["refresh_token"],
    }
    assert (await raw(caller, "/v1/token", form, patience=0.05)).data == b"<still open>"
    clock.advance(60)
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_stalled_requests_do_not_keep_the_emulator_from_stopping(clock: VirtualClock) -> None:
    async with aiohttp.ClientSession() as http:
        async with Emulator(clock=clock) as emulator:
            emulator.faults.on("certs").stall()
            waiting = asyncio.create_task(Caller(emulator, http).call("GET", CERTS))
            while not emulator.requests:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientError):
            await waiting
