"""Refresh at ``/v1/token`` and revocation at ``/oauth2/revoke``."""

from __future__ import annotations

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def test_reused_refresh_token_revokes_the_whole_grant(caller: Caller) -> None:
    first = await caller.sign_in()
    status, second = await caller.refresh(first["refresh_token"])
    assert status == 201
    assert second["refresh_token"] != first["refresh_token"]
    assert await caller.userinfo_status(second["access_token"]) == 200
    assert (await caller.refresh(first["refresh_token"]))[1]["error"] == "invalid_grant"
    assert await caller.userinfo_status(second["access_token"]) == 401
    assert (await caller.refresh(second["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_refresh_without_rotation_returns_no_new_refresh_token(caller: Caller) -> None:
    caller.emulator.policy.rotate_refresh_tokens = False
    token = await caller.sign_in()
    for _ in range(2):
        status, body = await caller.refresh(token["refresh_token"])
        assert (status, body["refresh_token"], body["refresh_token_expires_at"]) == (201, None, None)


async def test_expired_refresh_token_is_rejected(caller: Caller, clock: VirtualClock) -> None:
    token = await caller.sign_in()
    clock.advance(30 * 86400)
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_refresh_of_grant_started_with_secret_requires_the_secret(caller: Caller) -> None:
    secret = caller.emulator.client_secret
    assert secret is not None
    token = await caller.sign_in(ClientSecret=secret)
    status, body = await caller.refresh(token["refresh_token"])
    assert (status, body["error"]) == (401, "invalid_client")
    assert (await caller.refresh(token["refresh_token"], ClientSecret=secret))[0] == 201


async def test_refresh_token_is_rejected_with_another_device_id(caller: Caller) -> None:
    token = await caller.sign_in(DeviceId="phone")
    assert (await caller.refresh(token["refresh_token"], DeviceId="laptop"))[1]["error"] == "invalid_grant"
    assert (await caller.refresh(token["refresh_token"], DeviceId="phone"))[0] == 201


async def test_public_app_signs_in_and_refreshes_without_secret(clock: VirtualClock) -> None:
    async with Emulator(clock=clock, public=True) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        assert emulator.client_secret is None
        token = await caller.sign_in()
        assert (await caller.refresh(token["refresh_token"]))[0] == 201
    with pytest.raises(ValueError, match="public"):
        Emulator(public=True, client_secret="x")


@pytest.mark.parametrize("token_name", ["access_token", "refresh_token"])
async def test_revoked_token_is_rejected(caller: Caller, token_name: str) -> None:
    token = await caller.sign_in()
    form = {"token": token[token_name], "client_id": caller.emulator.client_sid, "token_type_hint": "unknown", "x": "y"}
    assert (await caller.call("POST", "/oauth2/revoke", form))[0] == 200
    assert caller.emulator.requests[-1].unknown_parameters == ("x",)
    assert await caller.userinfo_status(token["access_token"]) == 401
    assert (await caller.refresh(token["refresh_token"]))[0] == (400 if token_name == "refresh_token" else 201)


@pytest.mark.parametrize(
    ("form", "authorization", "status"),
    [
        ({"token": "unknown", "client_id": "CLIENT", "client_secret": "SECRET"}, None, 200),
        ({"Token": "unknown", "ClientSid": "CLIENT", "ClientSecret": "SECRET"}, None, 200),
        ({"token": "unknown"}, "CLIENT:SECRET", 200),
        ({"token": "unknown"}, "CLIENT:wrong", 401),
        ({"token": "unknown", "client_id": "CLIENT"}, None, 401),
        ({"token": "unknown", "client_id": "CLIENT", "client_secret": "wrong"}, None, 401),
        ({"token": "unknown"}, "account", 400),
        ({"client_id": "CLIENT"}, "account", 400),
        ({"token": "unknown", "client_secret": "SECRET"}, "CLIENT:SECRET", 400),
    ],
)
async def test_revocation_requires_client_or_account_credentials(
    caller: Caller, form: dict[str, str], authorization: str | None, status: int
) -> None:
    emulator = caller.emulator

    def fill(text: str) -> str:
        return text.replace("CLIENT", emulator.client_sid).replace("SECRET", emulator.client_secret or "")

    if authorization not in {None, "account"}:
        authorization = aiohttp.encode_basic_auth(*fill(str(authorization)).split(":"))
    filled = {name: fill(value) for name, value in form.items()}
    assert (await caller.call("POST", "/oauth2/revoke", filled, authorization=authorization))[0] == status


@pytest.mark.parametrize(
    ("password", "status"),
    [("a+b%3Ac%252F%26", 200), ("a%20b:c%252F&", 200), ("a b:c%2F&", 401), ("%FF", 401), ("", 401)],
)
async def test_revocation_form_decodes_the_basic_credentials_of_a_client(
    clock: VirtualClock, password: str, status: int
) -> None:
    """RFC 6749 2.3.1 and appendix B."""
    async with Emulator(clock=clock, client_secret="a b:c%2F&") as emulator, aiohttp.ClientSession() as http:
        authorization = aiohttp.encode_basic_auth(emulator.client_sid, password)
        form = {"token": "unknown"}
        response = await Caller(emulator, http).call("POST", "/oauth2/revoke", form, authorization=authorization)
        assert response[0] == status


async def test_public_client_revokes_with_an_empty_basic_password(clock: VirtualClock) -> None:
    """RFC 6749 2.3.1: an empty secret is the same as none. Some clients send one."""
    async with Emulator(clock=clock, public=True) as emulator, aiohttp.ClientSession() as http:
        authorization = aiohttp.encode_basic_auth(emulator.client_sid, "")
        form = {"token": "unknown"}
        response = await Caller(emulator, http).call("POST", "/oauth2/revoke", form, authorization=authorization)
        assert response[0] == 200


async def test_emulator_revoke_ends_the_grant(caller: Caller) -> None:
    token = await caller.sign_in()
    await caller.emulator.revoke(token["refresh_token"])
    assert await caller.userinfo_status(token["access_token"]) == 401
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    with pytest.raises(LookupError):
        await caller.emulator.revoke("unknown")
