"""Every response has a ``Date`` with the time of the emulator's clock (RFC 9110 6.6.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.helpers.emulator_caller import CONTROL_TOKEN, Caller, Remote
from tests.helpers.raw_client import CERTS, send_raw_request
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator.faults.fault import Fault

pytestmark = pytest.mark.asyncio

NOW = "Thu, 01 Jan 2026 00:00:00 GMT"


async def dates(caller: Caller, method: str, path: str, **arguments: Any) -> list[str]:
    response = (await caller.call(method, path, **arguments))[2]
    return response.headers.getall("Date", [])


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", CERTS, 200),
        ("POST", "/v1/token", 400),
        ("GET", "/v1/oauth2/device/activate", 200),
        ("GET", "/nothing", 404),
        ("PUT", CERTS, 405),
    ],
)
async def test_response_has_the_date_of_the_clock(caller: Caller, method: str, path: str, status: int) -> None:
    got, _, response = await caller.call(method, path)
    assert got == status
    assert response.headers.getall("Date") == [NOW]


async def test_date_follows_the_wall_clock_in_whole_seconds(caller: Caller, clock: VirtualClock) -> None:
    clock.advance(59.999)
    assert await dates(caller, "GET", CERTS) == ["Thu, 01 Jan 2026 00:00:59 GMT"]
    clock.shift_wall(-timedelta(days=1).total_seconds())
    assert await dates(caller, "GET", CERTS) == ["Wed, 31 Dec 2025 00:00:59 GMT"]


@pytest.mark.parametrize(
    "fault",
    [
        lambda fault: fault.respond(503, retry_after=3),
        lambda fault: fault.html(502),
        lambda fault: fault.redirect("/elsewhere"),
        lambda fault: fault.garble("empty"),
        lambda fault: fault.wrong_length(-1),
        lambda fault: fault.truncate(0.5),
        lambda fault: fault.drip(0.0, chunk=4096),
        lambda fault: fault.hang_up("inside"),
        lambda fault: fault.reset("after"),
    ],
)
async def test_response_with_fault_has_the_date_of_the_clock(caller: Caller, fault: Callable[[Fault], Any]) -> None:
    fault(caller.emulator.faults.on("certs"))
    response = await send_raw_request(caller, read_for=0.5)
    assert [line for line in response.head.splitlines() if line.startswith("Date:")] == [f"Date: {NOW}"]


async def test_date_is_the_time_after_the_delay(caller: Caller, clock: VirtualClock) -> None:
    clock.auto = True
    caller.emulator.faults.on("certs").delay(7)
    assert await dates(caller, "GET", CERTS) == ["Thu, 01 Jan 2026 00:00:07 GMT"]


async def test_fault_can_change_or_remove_the_date(caller: Caller) -> None:
    on = caller.emulator.faults.on
    on("certs").header("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
    on("certs").header("Date", None)
    on("certs").respond(200, headers={"Date": "yesterday"})
    assert await dates(caller, "GET", CERTS) == ["Sun, 06 Nov 1994 08:49:37 GMT"]
    assert await dates(caller, "GET", CERTS) == []
    assert await dates(caller, "GET", CERTS) == ["yesterday"]
    assert await dates(caller, "GET", CERTS) == [NOW]


async def test_control_response_has_the_date_of_the_clock(remote: Remote) -> None:
    for token in (CONTROL_TOKEN, "wrong"):
        assert await dates(remote, "GET", "/_control", authorization=f"Bearer {token}") == [NOW]


async def test_malformed_request_gets_a_response_with_the_date_of_the_clock(caller: Caller) -> None:
    port = int(caller.emulator.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"this is not HTTP\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.0 400")
    assert head.count(b"\r\nDate:") == 1
    assert f"\r\nDate: {NOW}\r\n".encode() in head
