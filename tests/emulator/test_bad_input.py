"""Whatever is sent, the answer is a clean one: never a 5xx, and no secret and no traceback in it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote_plus

import aiohttp
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
def test_nothing_makes_it_stumble(requests: list[tuple[str, str, Any, Any, str | None]]) -> None:
    asyncio.run(send_all(requests))


async def send_all(requests: list[tuple[str, str, Any, Any, str | None]]) -> None:
    async with Emulator(clock=VirtualClock(auto=False)) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        for method, path, query, body, authorization in requests:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            if authorization is not None:
                headers["Authorization"] = caller.basic if authorization == "account" else authorization
            address = f"{emulator.base_url}{path}?{encoded(emulator, query).decode('latin-1')}"
            async with http.request(
                method,
                address.replace("#", "%23"),
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
