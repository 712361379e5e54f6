"""Control of tokens and settings: introspection, expiry and revocation of many, refreshes that fail, the policy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.emulator_caller import CONTROL_TOKEN, Remote
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def test_introspection_of_each_kind_of_token(remote: Remote, clock: VirtualClock) -> None:
    clock.advance(100)
    token = await remote.sign_in("openid", "email")
    user, issued = remote.emulator.user, int(clock.now().timestamp())
    expected = {
        "active": True,
        "scope": "openid email",
        "client_id": remote.emulator.client_sid,
        "sub": user.sid,
        "username": user.email,
        "aud": "https://iam.twilio.com",
        "iss": "https://iam.twilio.com",
        "iat": issued,
    }
    clock.advance(60)
    access = await remote.command("introspect", token=token["access_token"], token_type_hint="access_token")
    assert access == {**expected, "token_type": "Bearer", "exp": issued + 3600}
    refresh = await remote.command("introspect", token=token["refresh_token"])
    assert refresh == {**expected, "exp": issued + 30 * 86400}
    for other in (token["id_token"], "unknown", ""):
        assert await remote.command("introspect", token=other) == {"active": False}


async def test_introspection_of_a_token_that_cannot_be_used_says_nothing_else(remote: Remote) -> None:
    first = await remote.sign_in()
    second = (await remote.refresh(first["refresh_token"]))[1]
    inactive = {"active": False}
    assert await remote.command("introspect", token=first["refresh_token"]) == inactive  # replaced
    assert (await remote.command("introspect", token=second["refresh_token"]))["active"]
    await remote.command("expire_access_tokens")
    assert await remote.command("introspect", token=second["access_token"]) == inactive
    await remote.command("revoke", token=second["refresh_token"])
    assert await remote.command("introspect", token=second["refresh_token"]) == inactive


async def test_introspection_of_the_token_of_an_app_has_no_user(remote: Remote) -> None:
    e = remote.emulator
    form = {
        "grant_type": "client_credentials",
        "client_id": e.client_sid,
        "client_secret": str(e.client_secret),
        "audience": "https://api.example",
    }
    token = (await remote.call("POST", "/v2/token", form, authorization=None))[1]
    members = await remote.command("introspect", token=token["access_token"])
    assert (members["sub"], members["aud"]) == (e.client_sid, "https://api.example")
    assert "username" not in members


async def test_introspection_takes_a_form(remote: Remote) -> None:
    token = await remote.sign_in()
    authorization = f"Bearer {CONTROL_TOKEN}"
    form = {"token": token["access_token"], "token_type_hint": "access_token"}
    status, body, _ = await remote.call("POST", "/_control/introspect", form, authorization=authorization)
    assert (status, body["active"]) == (200, True)


async def test_all_access_tokens_expire_and_can_be_refreshed(remote: Remote) -> None:
    tokens = [await remote.sign_in() for _ in range(3)]
    assert await remote.command("expire_access_tokens") == {"expired": 3}
    assert await remote.command("expire_access_tokens") == {"expired": 0}
    assert [await remote.userinfo_status(token["access_token"]) for token in tokens] == [401] * 3
    assert (await remote.refresh(tokens[0]["refresh_token"]))[0] == 201


async def test_revoke_user_revokes_what_this_user_has_granted(remote: Remote) -> None:
    e = remote.emulator
    ada = await remote.sign_in()
    grace = e.add_user("Grace", "Example", "grace@example.com")
    code = await remote.device_code()
    await e.approve(code["user_code"], grace)
    token = (await remote.poll(code["device_code"]))[1]
    assert await remote.command("revoke_user", user=grace.sid) == {"revoked": 1}
    assert await remote.userinfo_status(token["access_token"]) == 401
    assert (await remote.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    assert await remote.userinfo_status(ada["access_token"]) == 200
    assert await remote.command("revoke_user") == {"revoked": 1}  # the default user
    assert await remote.userinfo_status(ada["access_token"]) == 401
    assert await remote.try_command("revoke_user", user="US0") == (404, {"error": "there is no such user"})


async def test_next_refreshes_fail(remote: Remote) -> None:
    token = await remote.sign_in()
    fault = await remote.command("fail_refreshes", count=2)
    assert fault == {"id": 0, "fault": "on('refresh').times(2).error('invalid_grant')"}
    for _ in range(2):
        assert (await remote.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await remote.refresh(token["refresh_token"]))[0] == 201
    await remote.command("fail_refreshes", error="temporarily_unavailable")
    assert (await remote.refresh("x"))[1]["error"] == "temporarily_unavailable"
    assert (await remote.try_command("fail_refreshes", count=0))[0] == 400


async def test_policy_is_changed_as_a_whole_or_not(remote: Remote) -> None:
    policy = (await remote.command("set_policy", interval=1, access_token_lifetime=2.5))["policy"]
    assert (policy["interval"], policy["access_token_lifetime"], policy["expires_in"]) == (1, 2.5, 299)
    assert (await remote.device_code())["interval"] == 1
    status, body = await remote.try_command("set_policy", interval=7, expires_in=-1)
    assert (status, body) == (400, {"error": "expires_in must be a positive integer"})
    assert (await remote.command(""))["policy"]["interval"] == 1


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("interval", 0, "a positive integer"),
        ("interval", 2.5, "a positive integer"),
        ("interval", True, "a positive integer"),
        ("expires_in", "5", "a positive integer"),
        ("expires_in", 10**9, "a positive integer"),
        ("access_token_lifetime", 0, "a positive number of seconds"),
        ("refresh_token_lifetime", float("nan"), "a positive number of seconds"),
        ("guess_window", None, "a positive number of seconds"),
        ("rotate_refresh_tokens", 1, "true or false"),
        ("device_grant_type", "", "a string"),
    ],
)
async def test_invalid_setting_of_the_policy_is_refused(setting: str, value: Any, problem: str) -> None:
    emulator = Emulator()
    with pytest.raises(ValueError, match=f"{setting} must be {problem}"):
        setattr(emulator.policy, setting, value)
    with pytest.raises(ValueError, match=f"{setting} must be {problem}"):
        emulator.set_policy(**{setting: value})


async def test_unknown_setting_of_the_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="the policy has no polling; it has interval, expires_in"):
        Emulator().set_policy(polling=1)


async def test_device_codes_that_can_be_approved(remote: Remote, clock: VirtualClock) -> None:
    first, second, third = [await remote.device_code("openid", "a") for _ in range(3)]
    await remote.command("deny", user_code=first["user_code"])
    await remote.command("expire", user_code=second["user_code"])
    clock.advance(9)
    assert await remote.command("device_codes") == {
        "device_codes": [
            {
                "user_code": third["user_code"],
                "app": "Example App",
                "client_sid": remote.emulator.client_sid,
                "scopes": ["openid", "a"],
                "audiences": [],
                "requested_on": "2026-01-01T00:00:00+00:00",
                "expires_in": 290.0,
            }
        ]
    }
