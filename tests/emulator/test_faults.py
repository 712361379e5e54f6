"""Every fault, seen from the socket: what really arrives, and whether the request was processed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.emulator.conftest import Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio

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


# -- which requests are hit


async def test_a_fault_hits_once_and_then_all_is_well(caller: Caller) -> None:
    fault = caller.emulator.faults.on("certs").answer(503, retry_after=3)
    status, body, response = await caller.call("GET", CERTS)
    assert (status, body["error"], response.headers["Retry-After"]) == (503, "temporarily_unavailable", "3")
    assert (await caller.call("GET", CERTS))[0] == 200
    assert (fault.hits, fault.is_used_up, caller.emulator.faults.unused) == (1, True, [])
    first, second = caller.emulator.requests
    assert first.fault is not None
    assert "answer(503)" in first.fault
    assert second.fault is None


async def test_times_after_and_order(caller: Caller) -> None:
    faults = caller.emulator.faults
    faults.on("certs").after(1).times(2).answer(500)
    faults.on("certs").answer(404)
    assert [(await caller.call("GET", CERTS))[0] for _ in range(5)] == [404, 500, 500, 200, 200]


async def test_always_until_removed(caller: Caller) -> None:
    fault = caller.emulator.faults.on().always().answer(500)
    assert [(await caller.call("GET", CERTS))[0] for _ in range(3)] == [500] * 3
    assert caller.emulator.faults.unused == []
    caller.emulator.faults.remove(fault)
    caller.emulator.faults.remove(fault)
    assert (await caller.call("GET", CERTS))[0] == 200
    never_hit = caller.emulator.faults.on("revoke").always().answer(500)
    assert caller.emulator.faults.unused == [never_hit]
    caller.emulator.faults.clear()
    assert caller.emulator.faults.unused == []


async def test_chance_is_the_same_in_every_run(clock: VirtualClock) -> None:
    runs: list[list[int]] = []
    for _ in range(2):
        async with Emulator(clock=clock, seed=3) as emulator, aiohttp.ClientSession() as http:
            emulator.faults.on("certs").always().chance(0.5).answer(500)
            caller = Caller(emulator, http)
            runs.append([(await caller.call("GET", CERTS))[0] for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


async def test_kinds_of_token_requests(caller: Caller) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").answer(500)
    code = await approved(caller)
    assert (await caller.poll(code["device_code"]))[0] == 201
    assert (await caller.refresh(token["refresh_token"]))[0] == 500
    assert [request.kind for request in caller.emulator.requests.to("token")] == ["poll", "poll", "refresh"]
    assert len(caller.emulator.requests.to("refresh")) == 1


async def test_when(caller: Caller) -> None:
    caller.emulator.faults.on("certs").when(lambda request: request.query.get("x") == "1").answer(500)
    assert (await caller.call("GET", CERTS))[0] == 200
    assert (await caller.call("GET", CERTS + "?x=1"))[0] == 500


async def test_on_success_waits_for_a_good_answer(caller: Caller, clock: VirtualClock) -> None:
    fault = caller.emulator.faults.on("poll").on_success().change(access_token="forged")
    code = await caller.device_code()
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"
    assert fault.hits == 0
    await caller.emulator.approve(code["user_code"])
    clock.advance(5)
    assert (await caller.poll(code["device_code"]))[1]["access_token"] == "forged"


# -- answers instead of processing


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


# -- changed answers


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


# -- badly sent answers


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


# -- forged id tokens


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


# -- misuse


async def test_misuse_is_told(caller: Caller) -> None:
    on = caller.emulator.faults.on
    misuses: tuple[Callable[[], object], ...] = (
        lambda: on("nonsense"),  # type: ignore[arg-type]
        lambda: on().times(0),
        lambda: on().after(0),
        lambda: on().chance(1.5),
        lambda: on().truncate(1),
        lambda: on().drip(chunk=0),
        lambda: on().stall("after"),
        lambda: on().reset("someday"),  # type: ignore[arg-type]
        lambda: on().garble("nicely"),  # type: ignore[arg-type]
        lambda: on().id_token(signed_by="me"),  # type: ignore[arg-type]
    )
    for misuse in misuses:
        with pytest.raises(ValueError, match=r"is one of|at least 1|between|part of|stall before|no such endpoint"):
            misuse()


async def test_changing_what_is_no_json_object_changes_nothing(caller: Caller) -> None:
    caller.emulator.faults.on("certs").html().change(x=1).omit("y")
    assert "Bad Gateway" in (await caller.call("GET", CERTS))[1]


async def test_a_fault_reads_as_it_was_written(caller: Caller) -> None:
    fault = caller.emulator.faults.on("token", "certs").times(2).delay(1).answer(503, retry_after=3)
    assert repr(fault) == "<Fault on('certs', 'token').times(2).delay(1).answer(503), 0 hits>"
    assert repr(caller.emulator.faults) == f"<Faults [{fault!r}]>"
    assert repr(caller.emulator.faults.on().hang_up()) == "<Fault on().hang_up('before'), 0 hits>"
