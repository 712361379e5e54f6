"""A plain HTTP client for the emulator that shares no code with the package's own client."""

from __future__ import annotations

import base64
from typing import Any

import aiohttp

from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.control.http_commands import COMMANDS

CONTROL_TOKEN = "canary-control.token"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Caller:
    """Calls an emulator with plain aiohttp, because the client library could hide mistakes of the emulator."""

    def __init__(self, emulator: Emulator, http: aiohttp.ClientSession) -> None:
        self.emulator = emulator
        self.http = http

    @property
    def basic(self) -> str:
        pair = f"{self.emulator.account_sid}:{self.emulator.auth_token}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    async def call(
        self,
        method: str,
        path: str,
        form: list[tuple[str, str]] | dict[str, str] | None = None,
        *,
        authorization: str | None = "account",
        **arguments: Any,
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        headers = dict(arguments.pop("headers", {}))
        if authorization is not None:
            headers["Authorization"] = self.basic if authorization == "account" else authorization
        async with self.http.request(
            method, self.emulator.base_url + path, data=form, headers=headers, allow_redirects=False, **arguments
        ) as response:
            body = await response.json() if response.content_type == "application/json" else await response.text()
        return response.status, body, response

    async def device_code(self, *scopes: str) -> dict[str, Any]:
        form = [("ClientSid", self.emulator.client_sid), *(("Scopes", scope) for scope in scopes or ("openid",))]
        status, body, _ = await self.call("POST", "/v1/device/code", form)
        assert status == 201
        return dict(body)

    async def poll(self, device_code: str, **more: str) -> tuple[int, Any]:
        form = {"GrantType": DEVICE, "ClientSid": self.emulator.client_sid, "DeviceCode": device_code, **more}
        return (await self.call("POST", "/v1/token", form))[:2]

    async def refresh(self, refresh_token: str, **more: str) -> tuple[int, Any]:
        form = {
            "GrantType": "refresh_token",
            "ClientSid": self.emulator.client_sid,
            "RefreshToken": refresh_token,
            **more,
        }
        return (await self.call("POST", "/v1/token", form))[:2]

    async def sign_in(self, *scopes: str, **more: str) -> dict[str, Any]:
        code = await self.device_code(*scopes)
        await self.emulator.approve(code["user_code"])
        status, body = await self.poll(code["device_code"], **more)
        assert status == 201
        return dict(body)

    async def userinfo_status(self, access_token: str) -> int:
        """Return the status of a userinfo request with this token: 200 if the token is valid."""
        return (await self.call("GET", "/v1/userinfo", authorization=f"Bearer {access_token}"))[0]


class Remote(Caller):
    """Also sends control commands, as a test in another language does."""

    async def command(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        status, body = await self.try_command(name, **arguments)
        assert status == 200, body
        return body

    async def try_command(self, name: str, /, **arguments: Any) -> tuple[int, dict[str, Any]]:
        method = COMMANDS[name].method if name in COMMANDS else "POST"
        sent = {"params": arguments} if method == "GET" else {"json": arguments}
        status, body, _ = await self.call(method, f"/_control/{name}", authorization=f"Bearer {CONTROL_TOKEN}", **sent)
        return status, body
