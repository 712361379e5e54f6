"""Invalid requests get an error response: never a 5xx, and never a secret or a traceback."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.emulator_caller import DEVICE, Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

# fmt: off
_NAMES = [
    "GrantType", "ClientSid", "ClientSecret", "DeviceCode", "DeviceId", "RefreshToken", "Code", "CodeVerifier",
    "Scopes", "Audiences", "token", "grant_type", "client_id", "client_secret", "scope", "audience", "code",
    "code_verifier", "redirect_uri", "refresh_token", "account_sid", "user_code", "csrf", "decision", "user",
    "request_id", "response_type", "state", "code_challenge", "code_challenge_method", "nonce", "prompt",
]
_PATHS = [
    "/v1/device/code", "/v1/token", "/v2/token", "/oauth2/revoke", "/oauth2/token", "/v1/oauth2/device/activate",
    "/v1/oauth2/device/consent", "/oauth2/authorize/consent", "/v2/authorize", "/v1/userinfo", "/v1/certs",
    "/v1/.well-known/openid-configuration", "/nothing",
]
# fmt: on
NAMES = st.sampled_from(_NAMES) | st.text(max_size=8)
PATHS = st.sampled_from(_PATHS)
VALUES = st.sampled_from(
    [
        DEVICE,
        "refresh_token",
        "authorization_code",
        "client_credentials",
        "CLIENT",
        "SECRET",
        "http://127.0.0.1:1/x",
        "code",
        "S256",
    ]
) | st.text(max_size=60)
BODIES = st.lists(st.tuples(NAMES, VALUES), max_size=6) | st.binary(max_size=200)
AUTHORIZATIONS = st.sampled_from(["account", "Basic", "Basic Og==", "Bearer x", "Bearer \xff", "Basic \xff", None])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    requests=st.lists(
        st.tuples(st.sampled_from(["GET", "POST", "PUT"]), PATHS, BODIES, BODIES, AUTHORIZATIONS),
        min_size=1,
        max_size=4,
    )
)
def test_random_requests_get_no_5xx_no_secret_and_no_traceback(
    requests: list[tuple[str, str, Any, Any, str | None]],
) -> None:
    asyncio.run(send_all(requests))


async def send_all(requests: list[tuple[str, str, Any, Any, str | None]]) -> None:
    async with Emulator(clock=VirtualClock(auto=False)) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        for method, path, query, body, authorization in requests:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            if authorization is not None:
                headers["Authorization"] = caller.basic if authorization == "account" else authorization
            url = f"{emulator.base_url}{path}?{encoded(emulator, query).decode('latin-1')}"
            async with http.request(
                method,
                url.replace("#", "%23"),
                data=encoded(emulator, body),
                headers=headers,
                allow_redirects=False,
            ) as response:
                text = await response.text(errors="replace")
            assert response.status < 500, text
            assert "Traceback" not in text
            assert str(emulator.client_secret) not in text
            if response.content_type == "application/json":
                json.loads(text)


def encoded(emulator: Emulator, content: bytes | list[tuple[str, str]]) -> bytes:
    if isinstance(content, bytes):
        return bytes(byte for byte in content if byte not in b"\r\n\x00 ")
    known: dict[str, str] = {"CLIENT": emulator.client_sid, "SECRET": str(emulator.client_secret)}
    return "&".join(f"{quote(name)}={quote(known.get(value, value))}" for name, value in content).encode("ascii")


def quote(text: str) -> str:
    return quote_plus(text.encode("utf-8", "surrogatepass"))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("GET", "/unknown", {}, 404),
        ("DELETE", "/v1/token", {}, 405),
        ("POST", "/v1/token", {"data": b"x" * 70_000}, 413),
        ("POST", "/v1/token", {"data": b"\xff\xfe=1"}, 400),
        ("POST", "/v1/token", {"data": b"GrantType=%ff"}, 400),
        ("POST", "/v1/token", {"data": b"&".join(b"a=1" for _ in range(300))}, 400),
        ("POST", "/v1/token", {"json": {"GrantType": "x"}}, 400),
        ("POST", "/v1/token", {"data": b"GrantType=%00&ClientSid=%00"}, 400),
        ("GET", "/v1/oauth2/device/activate?user_code=%00%ff" + "A" * 4000, {}, 200),
    ],
)
async def test_invalid_request_gets_an_error_status(
    caller: Caller, method: str, path: str, arguments: dict[str, Any], status: int
) -> None:
    headers = {"Authorization": caller.basic}
    if "data" in arguments:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    url = caller.emulator.base_url + path
    async with caller.http.request(method, url, headers=headers, **arguments) as response:
        assert response.status == status
        if status == 405:
            assert response.headers["Allow"] == "POST"
