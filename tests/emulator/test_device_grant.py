"""The device grant over HTTP: format of the responses, rules of RFC 8628, one use of each code."""

from __future__ import annotations

import re

import pytest

from tests.helpers.emulator_caller import DEVICE, Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def test_device_code_response_has_the_format_of_twilios_example(caller: Caller) -> None:
    code = await caller.device_code("openid", "profile")
    assert set(code) == {
        "device_code",
        "user_code",
        "verification_uri",
        "verification_uri_complete",
        "expires_in",
        "interval",
    }
    assert re.fullmatch(r"[A-Za-z0-9]{32}", code["device_code"])
    assert re.fullmatch(r"[A-Z]{4}-[A-Z]{4}", code["user_code"])
    assert code["verification_uri"] == "v1/oauth2/device/activate"
    assert code["verification_uri_complete"] == f"v1/oauth2/device/activate?user_code={code['user_code']}"
    assert (code["expires_in"], code["interval"]) == (299, 5)


async def test_poll_is_pending_until_approval_then_returns_tokens(caller: Caller, clock: VirtualClock) -> None:
    code = await caller.device_code()
    status, body = await caller.poll(code["device_code"])
    assert (status, body["error"]) == (400, "authorization_pending")
    await caller.emulator.approve(code["user_code"].lower().replace("-", " "))
    clock.advance(5)
    status, token = await caller.poll(code["device_code"])
    assert status == 201
    assert set(token) == {
        "access_token",
        "access_token_expires_at",
        "refresh_token",
        "refresh_token_expires_at",
        "id_token",
    }
    assert token["access_token_expires_at"] == "Thu, 01 Jan 2026 01:00:05 +0000"
    assert token["refresh_token_expires_at"] == "Sat, 31 Jan 2026 00:00:05 +0000"


async def test_token_response_without_openid_has_no_id_token(caller: Caller) -> None:
    assert (await caller.sign_in("messages.read"))["id_token"] is None


@pytest.mark.parametrize(("early", "error"), [(0.0, "authorization_pending"), (0.5, "slow_down")])
async def test_poll_before_the_interval_gets_slow_down(
    caller: Caller, clock: VirtualClock, early: float, error: str
) -> None:
    code = await caller.device_code()
    await caller.poll(code["device_code"])
    clock.advance(5 - early)
    assert (await caller.poll(code["device_code"]))[1]["error"] == error


async def test_slow_down_increases_the_interval_of_that_code_only(caller: Caller, clock: VirtualClock) -> None:
    too_fast, on_time = await caller.device_code(), await caller.device_code()
    await caller.poll(too_fast["device_code"])
    await caller.poll(on_time["device_code"])
    assert (await caller.poll(too_fast["device_code"]))[1]["error"] == "slow_down"
    clock.advance(9.5)
    assert (await caller.poll(on_time["device_code"]))[1]["error"] == "authorization_pending"
    assert (await caller.poll(too_fast["device_code"]))[1]["error"] == "slow_down"
    clock.advance(15)
    assert (await caller.poll(too_fast["device_code"]))[1]["error"] == "authorization_pending"


async def test_poll_after_denial_gets_access_denied(caller: Caller) -> None:
    code = await caller.device_code()
    await caller.emulator.deny(code["user_code"])
    assert (await caller.poll(code["device_code"]))[1]["error"] == "access_denied"


async def test_device_code_expires_and_is_deleted_600_seconds_later(caller: Caller, clock: VirtualClock) -> None:
    code = await caller.device_code()
    clock.advance(298.9)
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"
    clock.advance(0.1)
    assert (await caller.poll(code["device_code"]))[1]["error"] == "expired_token"
    with pytest.raises(ValueError, match="expired"):
        await caller.emulator.approve(code["user_code"])
    clock.advance(600)
    assert (await caller.poll(code["device_code"]))[1]["error"] == "invalid_grant"
    with pytest.raises(LookupError):
        await caller.emulator.approve(code["user_code"])


async def test_approved_device_code_can_expire(caller: Caller) -> None:
    code = await caller.device_code()
    await caller.emulator.approve(code["user_code"])
    await caller.emulator.expire(code["user_code"])
    assert (await caller.poll(code["device_code"]))[1]["error"] == "expired_token"


async def test_second_exchange_of_a_device_code_revokes_its_tokens(caller: Caller) -> None:
    code = await caller.device_code()
    await caller.emulator.approve(code["user_code"])
    token = (await caller.poll(code["device_code"]))[1]
    assert await caller.userinfo_status(token["access_token"]) == 200
    assert (await caller.poll(code["device_code"]))[1]["error"] == "invalid_grant"
    assert await caller.userinfo_status(token["access_token"]) == 401
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_deny_after_approve_raises(caller: Caller) -> None:
    code = await caller.device_code()
    await caller.emulator.approve(code["user_code"])
    with pytest.raises(ValueError, match="already"):
        await caller.emulator.deny(code["user_code"])


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ([], "invalid_request"),
        ([("ClientSid", "CLIENT")], "invalid_request"),
        ([("Scopes", "openid")], "invalid_request"),
        ([("ClientSid", "OQother"), ("Scopes", "openid")], "invalid_client"),
        ([("ClientSid", "CLIENT"), ("ClientSid", "CLIENT"), ("Scopes", "openid")], "invalid_request"),
        ([("ClientSid", "CLIENT"), ("Scopes", "")], "invalid_request"),
        ([("ClientSid", "CLIENT"), ("Scopes", "openid profile")], "invalid_scope"),
        ([("ClientSid", "CLIENT"), ("Scopes", 'a"b')], "invalid_scope"),
        ([("ClientSid", "CLIENT"), ("Scopes", "openid"), ("Audiences", "a b")], "invalid_target"),
    ],
)
async def test_invalid_device_code_request_gets_an_error(
    caller: Caller, form: list[tuple[str, str]], error: str
) -> None:
    filled = [(name, caller.emulator.client_sid if value == "CLIENT" else value) for name, value in form]
    status, body, response = await caller.call("POST", "/v1/device/code", filled)
    assert body["error"] == error
    assert status == (401 if error == "invalid_client" else 400)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"DeviceCode": ""}, 400, "invalid_request"),
        ({"DeviceCode": "unknown"}, 400, "invalid_grant"),
        ({"GrantType": ""}, 400, "invalid_request"),
        ({"GrantType": "password"}, 400, "unsupported_grant_type"),
        ({"ClientSecret": "wrong"}, 401, "invalid_client"),
        ({"ClientSid": "OQother"}, 401, "invalid_client"),
    ],
)
async def test_invalid_poll_gets_an_error_and_does_not_use_the_code(
    caller: Caller, change: dict[str, str], status: int, error: str
) -> None:
    code = await caller.device_code()
    await caller.emulator.approve(code["user_code"])
    actual_status, body = await caller.poll(code["device_code"], **change)
    assert (actual_status, body["error"]) == (status, error)
    assert (await caller.poll(code["device_code"]))[0] == 201


async def test_secret_in_the_url_is_rejected(caller: Caller) -> None:
    code = await caller.device_code()
    form = {"GrantType": DEVICE, "ClientSid": caller.emulator.client_sid, "DeviceCode": code["device_code"]}
    status, body, _ = await caller.call("POST", "/v1/token?ClientSecret=x", form)
    assert (status, body["error"]) == (400, "invalid_request")


async def test_policy_device_secret_required(caller: Caller) -> None:
    emulator = caller.emulator
    emulator.policy.device_secret_required = True
    code = await caller.device_code()
    await emulator.approve(code["user_code"])
    assert (await caller.poll(code["device_code"]))[1]["error"] == "invalid_client"
    assert emulator.client_secret is not None
    assert (await caller.poll(code["device_code"], ClientSecret=emulator.client_secret))[0] == 201


async def test_device_code_of_another_client_is_rejected(clock: VirtualClock, caller: Caller) -> None:
    code = await caller.device_code()
    async with Emulator(clock=clock) as other:
        other_caller = Caller(other, caller.http)
        assert (await other_caller.poll(code["device_code"]))[1]["error"] == "invalid_grant"


async def test_approval_of_fewer_scopes_is_reported_in_scope(caller: Caller) -> None:
    code = await caller.device_code("openid", "a", "b")
    await caller.emulator.approve(code["user_code"], scopes=["a"])
    _, body = await caller.poll(code["device_code"])
    assert (body["scope"], body["id_token"]) == ("a", None)
    code = await caller.device_code("a", "b")
    await caller.emulator.approve(code["user_code"], scopes=["b", "a"])
    assert "scope" not in (await caller.poll(code["device_code"]))[1]
    code = await caller.device_code("a")
    with pytest.raises(ValueError, match="were requested"):
        await caller.emulator.approve(code["user_code"], scopes=["b"])
