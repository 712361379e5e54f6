"""Sends a response directly over the transport: in small pieces, truncated, or with the connection broken."""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import web

from twilio_oauth_async import in_flight
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator.faults.plan import Break, Plan

_ITERATIONS_BEFORE_RESET = 3
"""Iterations of the event loop in which the client can read what was written. A reset discards data not yet read."""


async def send_raw(
    response: web.Response, transport: asyncio.Transport, plan: Plan, clock: Clock, closing: asyncio.Event
) -> None:
    """Send the part of `response` that `plan` selects, and end the connection."""
    if plan.sends_head:
        body = response.body if isinstance(response.body, bytes) else b""
        stops_inside = plan.broken is not None and plan.broken.moment == "inside"
        keep = min(plan.keep, 0.5) if stops_inside else plan.keep
        transport.write(_head(response, len(body) + plan.length_error, announce_close=plan.broken is None))
        await _write(body[: int(len(body) * keep)], transport, plan, clock)
    await end_connection(transport, plan.broken or Break("hang_up", "after"), closing)


async def end_connection(transport: asyncio.Transport, broken: Break, closing: asyncio.Event) -> None:
    """End the connection as `broken` specifies. A stalled connection is closed when the emulator stops."""
    if broken.how == "stall":
        with in_flight.server_wait():
            await closing.wait()
    elif broken.how == "reset":
        for _ in range(_ITERATIONS_BEFORE_RESET):
            await asyncio.sleep(0)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # With a linger time of zero, the kernel sends RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    transport.close()


async def wait(seconds: float, clock: Clock) -> None:
    """Wait on `clock` while a request is processed."""
    with in_flight.server_wait():
        await clock.sleep(seconds)


async def _write(body: bytes, transport: asyncio.Transport, plan: Plan, clock: Clock) -> None:
    if plan.drip is None:
        transport.write(body)
        return
    pause, chunk = plan.drip
    for start in range(0, len(body), chunk):
        await wait(pause, clock)
        if transport.is_closing():
            return
        transport.write(body[start : start + chunk])


def _head(response: web.Response, length: int, *, announce_close: bool) -> bytes:
    headers = response.headers.copy()
    headers["Content-Length"] = str(max(length, 0))
    if announce_close:
        headers["Connection"] = "close"
    lines = [
        f"HTTP/1.1 {response.status} {response.reason}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
