"""Requests over a bare socket, and everything that really came back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from urllib.parse import urlencode

from tests.helpers.emulator_caller import Caller

CERTS = "/v1/certs"


class Wire:
    """One request over a bare socket, and everything that came back."""

    def __init__(self) -> None:
        self.data = b""
        self.reset = False

    @property
    def head(self) -> str:
        return self.data.split(b"\r\n\r\n")[0].decode()

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def announced(self) -> int:
        return int(next(line for line in self.head.splitlines() if line.startswith("Content-Length")).split()[1])


async def raw(caller: Caller, path: str = CERTS, form: dict[str, str] | None = None, *, patience: float = 2.0) -> Wire:
    body = urlencode(form or {})
    method = "GET" if form is None else "POST"
    port = int(caller.emulator.base_url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {caller.basic}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()
    )
    wire = Wire()
    try:
        async with asyncio.timeout(patience):
            while chunk := await reader.read(65536):
                wire.data += chunk
    except ConnectionResetError:
        wire.reset = True
    except TimeoutError:
        wire.data += b"<still open>"
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return wire


def poll_form(caller: Caller, code: dict[str, Any]) -> dict[str, str]:
    return {
        "GrantType": caller.emulator.policy.device_grant_type,
        "ClientSid": caller.emulator.client_sid,
        "DeviceCode": code["device_code"],
    }


async def approved(caller: Caller) -> dict[str, Any]:
    code = await caller.device_code()
    await caller.emulator.approve(code["user_code"])
    return code
