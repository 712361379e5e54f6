"""HTTP requests over a bare socket, and the bytes of the response."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import urlencode

from tests.helpers.emulator_caller import Caller

CERTS = "/v1/certs"


class RawResponse:
    """All bytes that were received, and how the connection ended."""

    def __init__(self) -> None:
        self.data = b""
        self.was_reset = False
        self.timed_out = False

    @property
    def head(self) -> str:
        return self.data.split(b"\r\n\r\n")[0].decode()

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def content_length(self) -> int:
        return int(next(line for line in self.head.splitlines() if line.startswith("Content-Length")).split()[1])


async def send_raw_request(
    caller: Caller, path: str = CERTS, form: dict[str, str] | None = None, *, read_for: float = 2.0
) -> RawResponse:
    """Send a request and read until the connection is closed, but at most `read_for` seconds."""
    body = urlencode(form or {})
    method = "GET" if form is None else "POST"
    port = int(caller.emulator.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {caller.basic}\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
    )
    response = RawResponse()
    try:
        async with asyncio.timeout(read_for):
            while chunk := await reader.read(65536):
                response.data += chunk
    except ConnectionResetError:
        response.was_reset = True
    except TimeoutError:
        response.timed_out = True
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return response


def poll_form(caller: Caller, code: dict[str, Any]) -> dict[str, str]:
    """Return the form of a poll for the device code response `code`."""
    return {
        "GrantType": caller.emulator.policy.device_grant_type,
        "ClientSid": caller.emulator.client_sid,
        "DeviceCode": code["device_code"],
    }


async def approved_device_code(caller: Caller) -> dict[str, Any]:
    """Return a device code response whose code was approved."""
    code = await caller.device_code()
    await caller.emulator.approve(code["user_code"])
    return code
