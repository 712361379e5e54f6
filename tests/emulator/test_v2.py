"""``/v2/token``: client credentials, refresh, client authentication."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.helpers.authorization_code import code_for, exchange_v2, verified
from tests.helpers.emulator_caller import Caller

pytestmark = pytest.mark.asyncio


async def ask(caller: Caller, query: str | None = None, **form: str | None) -> tuple[int, Any]:
    filled = {
        "grant_type": "client_credentials",
        "client_id": caller.emulator.client_sid,
        "client_secret": caller.emulator.client_secret,
    } | form
    return (
        await caller.call(
            "POST", "/v2/token" + (query or ""), {k: v for k, v in filled.items() if v is not None}, authorization=None
        )
    )[:2]


async def test_client_credentials(caller: Caller) -> None:
    status, body = await ask(caller, scope="messages.read calls.read", audience="https://api.example")
    assert status == 200
    access_token = body.pop("access_token")
    assert body == {"refresh_token": None, "id_token": None, "token_type": "Bearer", "expires_in": 3600}
    claims = await verified(caller, access_token)
    assert claims["sub"] == claims["client_id"] == caller.emulator.client_sid
    assert (claims["aud"], claims["scope"]) == ("https://api.example", "messages.read calls.read")
    assert await caller.whose(access_token) == 403


async def test_client_credentials_never_give_an_id_token(caller: Caller) -> None:
    status, body = await ask(caller, scope="openid")
    assert (status, body["id_token"]) == (200, None)


async def test_offline_access_gives_a_refresh_token_that_rotates(caller: Caller) -> None:
    _, first = await ask(caller, scope="offline_access")
    refresh = {"grant_type": "refresh_token", "scope": None}
    status, second = await ask(caller, **refresh, refresh_token=first["refresh_token"])
    assert status == 200
    assert second["refresh_token"] not in {None, first["refresh_token"]}
    assert (await ask(caller, **refresh, refresh_token=first["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await ask(caller, **refresh, refresh_token=second["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_a_code_without_offline_access_gives_none(caller: Caller) -> None:
    assert (await exchange_v2(caller, await code_for(caller)))[1]["refresh_token"] is None
    code = await code_for(caller, scope="openid offline_access")
    assert (await exchange_v2(caller, code))[1]["refresh_token"] is not None


async def test_a_refresh_can_narrow_but_not_widen(caller: Caller) -> None:
    _, token = await exchange_v2(caller, await code_for(caller, scope="openid a offline_access"))
    refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    status, body = await ask(caller, **refresh, scope="openid b")
    assert (status, body["error"]) == (400, "invalid_scope")
    status, narrow = await ask(caller, **refresh, scope="a")
    assert (status, narrow["scope"], narrow["id_token"]) == (200, "a", None)
    status, whole = await ask(caller, grant_type="refresh_token", refresh_token=narrow["refresh_token"])
    assert "scope" not in whole, "the new refresh token is good for what the old one was good for"
    assert whole["id_token"] is not None


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": None}, 400, "invalid_request"),
        ({"client_id": "OQnobody"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"scope": "a  b"}, 400, "invalid_scope"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "nonsense"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "nonsense"}, 400, "invalid_grant"),
    ],
)
async def test_bad_requests(caller: Caller, change: dict[str, str | None], status: int, error: str) -> None:
    answered, body = await ask(caller, **change)
    assert (answered, body["error"]) == (status, error)


async def test_known_parameters_that_a_grant_does_not_use_are_not_noted(caller: Caller) -> None:
    await ask(caller, code_verifier="x", redirect_uri="y", whatever="z")
    assert caller.emulator.requests[-1].unknown_parameters == ("whatever",)


async def test_a_grant_of_v2_is_refreshed_with_the_secret_at_v1_too(caller: Caller) -> None:
    _, token = await ask(caller, scope="offline_access")
    assert (await caller.refresh(token["refresh_token"]))[0] == 401
    assert (await caller.refresh(token["refresh_token"], ClientSecret=str(caller.emulator.client_secret)))[0] == 201


async def test_a_public_client_has_no_credentials(caller: Caller) -> None:
    app = caller.emulator.add_app("Public", public=True)
    _, body = await ask(caller, client_id=app.sid, client_secret=None)
    assert body["error"] == "unauthorized_client"


async def test_the_account_of_the_query(caller: Caller) -> None:
    assert (await ask(caller, f"?account_sid={caller.emulator.account_sid}"))[0] == 200
    assert (await ask(caller, "?account_sid=ACother"))[1]["error"] == "unauthorized_client"
    assert (await ask(caller, "?client_secret=x"))[1]["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("pair", "form", "status"),
    [
        ("CLIENT:SECRET", {}, 200),
        ("CLIENT:SECRET", {"client_id": "CLIENT"}, 200),
        ("CLIENT:SECRET", {"client_id": "OQother"}, 400),
        ("CLIENT:SECRET", {"client_id": "CLIENT", "client_secret": "SECRET"}, 400),
        ("CLIENT:wrong", {}, 401),
        ("ACCOUNT:TOKEN", {"client_id": "CLIENT", "client_secret": "SECRET"}, 200),
        ("ACCOUNT:TOKEN", {"client_id": "CLIENT"}, 401),
    ],
)
async def test_who_the_client_is(caller: Caller, pair: str, form: dict[str, str], status: int) -> None:
    emulator = caller.emulator

    def fill(text: str) -> str:
        for name, value in (
            ("CLIENT", emulator.client_sid),
            ("SECRET", emulator.client_secret or ""),
            ("ACCOUNT", emulator.account_sid),
            ("TOKEN", emulator.auth_token),
        ):
            text = text.replace(name, value)
        return text

    authorization = "Basic " + base64.b64encode(fill(pair).encode()).decode()
    filled = {"grant_type": "client_credentials"} | {name: fill(value) for name, value in form.items()}
    answered, _, response = await caller.call("POST", "/v2/token", filled, authorization=authorization)
    assert answered == status
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_apps_may_ask_only_for_what_they_are_registered_for(caller: Caller) -> None:
    app = caller.emulator.add_app("Narrow", scopes=["a"], audiences=["x"])
    client = {"client_id": app.sid, "client_secret": app.secret}
    assert (await ask(caller, **client, scope="a", audience="x"))[0] == 200
    assert (await ask(caller, **client, scope="b"))[1]["error"] == "invalid_scope"
    assert (await ask(caller, **client, audience="y"))[1]["error"] == "invalid_target"


async def test_an_api_key_opens_the_first_generation(caller: Caller) -> None:
    sid, secret = caller.emulator.add_api_key()
    assert sid.startswith("SK")
    authorization = "Basic " + base64.b64encode(f"{sid}:{secret}".encode()).decode()
    assert (await caller.call("GET", "/v1/certs", authorization=authorization))[0] == 200


async def test_revoking_from_outside(caller: Caller) -> None:
    token = await caller.sign_in()
    await caller.emulator.revoke(token["refresh_token"])
    assert await caller.whose(token["access_token"]) == 401
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    with pytest.raises(LookupError):
        await caller.emulator.revoke("nonsense")


async def test_approving_less_than_was_asked_for_is_told(caller: Caller) -> None:
    code = await caller.device_code("openid", "a", "b")
    await caller.emulator.approve(code["user_code"], scopes=["a"])
    _, body = await caller.poll(code["device_code"])
    assert (body["scope"], body["id_token"]) == ("a", None)
    code = await caller.device_code("a", "b")
    await caller.emulator.approve(code["user_code"], scopes=["b", "a"])
    assert "scope" not in (await caller.poll(code["device_code"]))[1]
    code = await caller.device_code("a")
    with pytest.raises(ValueError, match="asked for"):
        await caller.emulator.approve(code["user_code"], scopes=["b"])
