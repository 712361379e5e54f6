"""Faulty responses: sent instead of processing the request, or made from the real response."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.raw_client import CERTS, RawResponse
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize(
    ("retry_after", "text"),
    [
        (3, "3"),
        (2.5, "2.5"),
        (-1, "-1"),
        (10**9, "1000000000"),
        ("soon", "soon"),
        (datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC), "Thu, 01 Jan 2026 00:00:30 GMT"),
    ],
)
async def test_retry_after_header(caller: Caller, retry_after: Any, text: str) -> None:
    caller.emulator.faults.on("certs").respond(429, retry_after=retry_after)
    status, _, response = await caller.call("GET", CERTS)
    assert (status, response.headers["Retry-After"]) == (429, text)


async def test_respond_html_redirect_and_error(caller: Caller) -> None:
    on = caller.emulator.faults.on
    on("certs").respond(200, json=[1])
    on("certs").respond(200, text="héllo")
    on("certs").respond(200, body=b"\x00", content_type="application/octet-stream", headers={"X-Y": "z"})
    on("certs").respond(204)
    on("certs").html(502)
    on("certs").redirect("http://127.0.0.1:1/", status=308)
    on("certs").error("slow_down")
    assert (await caller.call("GET", CERTS))[1] == [1]
    assert (await caller.call("GET", CERTS))[1] == "héllo"
    _, _, response = await caller.call("GET", CERTS)
    assert (response.content_type, response.headers["X-Y"]) == ("application/octet-stream", "z")
    assert (await caller.call("GET", CERTS))[0] == 204
    _, _, response = await caller.call("GET", CERTS)
    assert (response.status, response.content_type) == (502, "text/html")
    _, _, response = await caller.call("GET", CERTS)
    assert (response.status, response.headers["Location"]) == (308, "http://127.0.0.1:1/")
    assert (await caller.call("GET", CERTS))[1]["error"] == "slow_down"


@pytest.mark.parametrize("processed", [False, True])
async def test_respond_with_processed_also_processes_the_request(caller: Caller, processed: bool) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").respond(503, processed=processed)
    assert (await caller.refresh(token["refresh_token"]))[0] == 503
    assert (await caller.refresh(token["refresh_token"]))[0] == (400 if processed else 201)


async def test_respond_uses_the_twilio_error_format(clock: VirtualClock) -> None:
    async with Emulator(clock=clock, errors="twilio") as emulator, aiohttp.ClientSession() as http:
        for status, code in ((429, 20429), (401, 20003), (403, 20003), (404, 20404), (503, 20503), (500, 20500)):
            emulator.faults.on("certs").respond(status)
            _, body, response = await Caller(emulator, http).call("GET", CERTS)
            assert (body["status"], body["code"]) == (status, code)
            assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_change_and_omit_members(caller: Caller) -> None:
    on = caller.emulator.faults.on

    def with_slash(issuer: str) -> str:
        return issuer + "/"

    on("discovery").change(token_endpoint="https://evil.example/token", issuer=with_slash)
    on("device_code").change(expires_in="5").omit("interval")
    _, body, _ = await caller.call("GET", "/v1/.well-known/openid-configuration")
    assert (body["token_endpoint"], body["issuer"]) == ("https://evil.example/token", "https://iam.twilio.com/")
    code = await caller.device_code()
    assert code["expires_in"] == "5"
    assert "interval" not in code


async def test_status_and_header(caller: Caller) -> None:
    on = caller.emulator.faults.on
    on("poll").status(200)
    on("certs").header("Content-Type", "text/plain").header("Twilio-Request-Id", None)
    code = await caller.device_code()
    status, body = await caller.poll(code["device_code"])
    assert (status, body["error"]) == (200, "authorization_pending")
    _, _, response = await caller.call("GET", CERTS)
    assert response.content_type == "text/plain"
    assert "Twilio-Request-Id" not in response.headers


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ("empty", b""),
        ("invalid", b",}"),
        ("bom", b"\xef\xbb\xbf{"),
        ("bad_utf8", b'"extra": "\xff\xfe"}'),
        ("nan", b'"extra": NaN}'),
        ("deep", b'"extra": ' + b"[" * 100_000),
        ("huge_number", b'"extra": ' + b"9" * 5_000 + b"}"),
        ("surrogate", b'"extra": "\\ud800"}'),
        ("duplicate", b'"keys": null}'),
        ("list", b'[{"keys"'),
        ("string", b'"text"'),
        ("null", b"null"),
    ],
)
async def test_garble(caller: Caller, how: Any, found: bytes) -> None:
    caller.emulator.faults.on("certs").garble(how)
    async with caller.http.get(caller.emulator.base_url + CERTS, headers={"Authorization": caller.basic}) as response:
        body = await response.read()
    assert found in body
    assert how != "empty" or body == b""


async def test_garble_truncated_has_a_correct_content_length(caller: Caller) -> None:
    caller.emulator.faults.on("certs").garble("truncated")
    async with caller.http.get(caller.emulator.base_url + CERTS, headers={"Authorization": caller.basic}) as response:
        body = await response.text()
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_pad_and_gzip_bomb(caller: Caller) -> None:
    caller.emulator.faults.on("certs").pad(10 << 20)
    caller.emulator.faults.on("certs").gzip_bomb(32 << 20)
    padded = await compressed_response(caller)
    assert len(padded.body) == 10 << 20
    assert json.loads(padded.body)["keys"]
    bomb = await compressed_response(caller)
    assert "Content-Encoding: gzip" in bomb.head
    assert len(bomb.body) < 64 << 10
    assert len(gzip.decompress(bomb.body)) == pytest.approx(32 << 20, abs=64)


async def compressed_response(caller: Caller) -> RawResponse:
    raw = RawResponse()
    headers = {"Authorization": caller.basic}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(caller.emulator.base_url + CERTS, headers=headers) as response,
    ):
        head = "\r\n".join(f"{name}: {value}" for name, value in response.headers.items())
        raw.data = head.encode() + b"\r\n\r\n" + await response.read()
    return raw


def decoded(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    head, payload, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    return json.loads(head), json.loads(payload), signature


@pytest.mark.parametrize("signed_by", ["emulator", "other_key", "hmac", "none"])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_id_token_fault_forges_the_token(clock: VirtualClock, signed_by: Any, algorithm: Any) -> None:
    async with (
        Emulator(clock=clock, signing_algorithm=algorithm) as emulator,
        aiohttp.ClientSession() as http,
    ):
        caller = Caller(emulator, http)
        emulator.faults.on("poll").id_token(
            claims={"iss": "https://evil.example"}, omit=("at_hash",), header={"kid": "other"}, signed_by=signed_by
        )
        header, claims, signature = decoded((await caller.sign_in())["id_token"])
    assert header["kid"] == "other"
    assert header["alg"] == {"emulator": algorithm, "other_key": algorithm, "hmac": "HS256", "none": "none"}[signed_by]
    assert (claims["iss"], claims["sub"]) == ("https://evil.example", emulator.user.sid)
    assert "at_hash" not in claims
    assert (len(signature) == 0) == (signed_by == "none")


async def test_id_token_fault_does_nothing_without_an_id_token(caller: Caller) -> None:
    caller.emulator.faults.on("poll").id_token(claims={"iss": "x"})
    assert (await caller.sign_in("messages.read"))["id_token"] is None
