"""Answers that no good server gives: instead of processing, changed afterwards, forged."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.wire import CERTS, Wire
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
async def test_every_kind_of_retry_after(caller: Caller, retry_after: Any, text: str) -> None:
    caller.emulator.faults.on("certs").answer(429, retry_after=retry_after)
    status, _, response = await caller.call("GET", CERTS)
    assert (status, response.headers["Retry-After"]) == (429, text)


async def test_answers_of_any_kind(caller: Caller) -> None:
    on = caller.emulator.faults.on
    on("certs").answer(200, json=[1])
    on("certs").answer(200, text="héllo")
    on("certs").answer(200, body=b"\x00", content_type="application/octet-stream", headers={"X-Y": "z"})
    on("certs").answer(204)
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
async def test_whether_a_failed_request_was_processed(caller: Caller, processed: bool) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").answer(503, processed=processed)
    assert (await caller.refresh(token["refresh_token"]))[0] == 503
    assert (await caller.refresh(token["refresh_token"]))[0] == (400 if processed else 201)


async def test_an_answer_in_twilios_dialect(clock: VirtualClock) -> None:
    async with Emulator(clock=clock, errors="twilio") as emulator, aiohttp.ClientSession() as http:
        for status, code in ((429, 20429), (401, 20003), (403, 20003), (404, 20404), (503, 20503), (500, 20500)):
            emulator.faults.on("certs").answer(status)
            _, body, response = await Caller(emulator, http).call("GET", CERTS)
            assert (body["status"], body["code"]) == (status, code)
            assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_members_are_changed_and_left_out(caller: Caller) -> None:
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


async def test_status_and_headers(caller: Caller) -> None:
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
async def test_garbled_json(caller: Caller, how: Any, found: bytes) -> None:
    caller.emulator.faults.on("certs").garble(how)
    async with caller.http.get(caller.emulator.base_url + CERTS, headers={"Authorization": caller.basic}) as response:
        body = await response.read()
    assert found in body
    assert how != "empty" or body == b""


async def test_cut_json_with_the_right_length(caller: Caller) -> None:
    caller.emulator.faults.on("certs").garble("truncated")
    async with caller.http.get(caller.emulator.base_url + CERTS, headers={"Authorization": caller.basic}) as response:
        body = await response.text()
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


async def test_ten_megabytes_and_a_bomb(caller: Caller) -> None:
    caller.emulator.faults.on("certs").pad(10 << 20)
    caller.emulator.faults.on("certs").gzip_bomb(32 << 20)
    big = await raw_until_complete(caller)
    assert len(big.body) == 10 << 20
    assert json.loads(big.body)["keys"]
    bomb = await raw_until_complete(caller)
    assert "Content-Encoding: gzip" in bomb.head
    assert len(bomb.body) < 64 << 10
    assert len(gzip.decompress(bomb.body)) == pytest.approx(32 << 20, abs=64)


async def raw_until_complete(caller: Caller) -> Wire:
    wire = Wire()
    headers = {"Authorization": caller.basic}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(caller.emulator.base_url + CERTS, headers=headers) as response,
    ):
        head = "\r\n".join(f"{name}: {value}" for name, value in response.headers.items())
        wire.data = head.encode() + b"\r\n\r\n" + await response.read()
    return wire


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    head, payload, signature = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))
    return json.loads(head), json.loads(payload), signature


@pytest.mark.parametrize("signed_by", ["emulator", "stranger", "hmac", "nobody"])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_forged_id_tokens(clock: VirtualClock, signed_by: Any, algorithm: Any) -> None:
    async with (
        Emulator(clock=clock, signing_algorithm=algorithm) as emulator,
        aiohttp.ClientSession() as http,
    ):
        caller = Caller(emulator, http)
        emulator.faults.on("poll").id_token(
            claims={"iss": "https://evil.example"}, omit=("at_hash",), header={"kid": "other"}, signed_by=signed_by
        )
        header, claims, signature = parts((await caller.sign_in())["id_token"])
    assert header["kid"] == "other"
    assert header["alg"] == {"emulator": algorithm, "stranger": algorithm, "hmac": "HS256", "nobody": "none"}[signed_by]
    assert (claims["iss"], claims["sub"]) == ("https://evil.example", emulator.user.sid)
    assert "at_hash" not in claims
    assert (len(signature) == 0) == (signed_by == "nobody")


async def test_an_answer_without_an_id_token_has_none_to_forge(caller: Caller) -> None:
    caller.emulator.faults.on("poll").id_token(claims={"iss": "x"})
    assert (await caller.sign_in("messages.read"))["id_token"] is None
