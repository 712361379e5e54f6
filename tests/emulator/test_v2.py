"""``/v2/token``: client credentials, refresh, client authentication."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.helpers.authorization_code import code_for, exchange_v2, url, verified
from tests.helpers.emulator_caller import Caller

pytestmark = pytest.mark.asyncio


async def request_token(caller: Caller, query: str | None = None, **form: str | None) -> tuple[int, Any]:
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


async def test_client_credentials_grant_returns_an_access_token_of_the_app(caller: Caller) -> None:
    status, body = await request_token(caller, scope="messages.read calls.read", audience="https://api.example")
    assert status == 200
    access_token = body.pop("access_token")
    assert body == {"token_type": "Bearer", "expires_in": 3600}
    claims = await verified(caller, access_token)
    assert claims["sub"] == claims["client_id"] == caller.emulator.client_sid
    assert (claims["aud"], claims["scope"]) == ("https://api.example", "messages.read calls.read")
    assert await caller.userinfo_status(access_token) == 403


async def test_client_credentials_grant_with_openid_returns_no_id_token(caller: Caller) -> None:
    status, body = await request_token(caller, scope="openid")
    assert (status, "id_token" in body) == (200, False)


async def test_offline_access_returns_a_refresh_token_that_rotates(caller: Caller) -> None:
    _, first = await request_token(caller, scope="offline_access")
    refresh = {"grant_type": "refresh_token", "scope": None}
    status, second = await request_token(caller, **refresh, refresh_token=first["refresh_token"])
    assert status == 200
    assert second["refresh_token"] not in {None, first["refresh_token"]}
    assert (await request_token(caller, **refresh, refresh_token=first["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await request_token(caller, **refresh, refresh_token=second["refresh_token"]))[1][
        "error"
    ] == "invalid_grant"


async def test_authorization_code_without_offline_access_returns_no_refresh_token(caller: Caller) -> None:
    assert "refresh_token" not in (await exchange_v2(caller, await code_for(caller)))[1]
    code = await code_for(caller, scope="openid offline_access")
    assert (await exchange_v2(caller, code))[1]["refresh_token"]


async def test_refresh_can_request_fewer_but_not_more_scopes(caller: Caller) -> None:
    _, token = await exchange_v2(caller, await code_for(caller, scope="openid a offline_access"))
    refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    status, body = await request_token(caller, **refresh, scope="openid b")
    assert (status, body["error"]) == (400, "invalid_scope")
    status, narrow = await request_token(caller, **refresh, scope="a")
    assert (status, narrow["scope"], "id_token" in narrow) == (200, "a", False)
    status, whole = await request_token(caller, grant_type="refresh_token", refresh_token=narrow["refresh_token"])
    assert "scope" not in whole, "the new refresh token keeps the scopes of the old one"
    assert whole["id_token"]


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": None}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": None}, 400, "invalid_request"),
        ({"client_id": "OQother"}, 401, "invalid_client"),
        ({"client_secret": None}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"scope": "a  b"}, 400, "invalid_scope"),
        ({"grant_type": "refresh_token"}, 400, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "unknown"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code"}, 400, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "unknown"}, 400, "invalid_grant"),
    ],
)
async def test_invalid_token_request_gets_an_error(
    caller: Caller, change: dict[str, str | None], status: int, error: str
) -> None:
    actual_status, body = await request_token(caller, **change)
    assert (actual_status, body["error"]) == (status, error)


async def test_parameters_of_other_grants_are_not_recorded_as_unknown(caller: Caller) -> None:
    await request_token(caller, code_verifier="x", redirect_uri="y", extra="z")
    assert caller.emulator.requests[-1].unknown_parameters == ("extra",)


async def test_grant_of_v2_is_refreshed_at_v1_with_the_secret(caller: Caller) -> None:
    _, token = await request_token(caller, scope="offline_access")
    assert (await caller.refresh(token["refresh_token"]))[0] == 401
    assert (await caller.refresh(token["refresh_token"], ClientSecret=str(caller.emulator.client_secret)))[0] == 201


async def test_client_credentials_grant_of_public_client_is_rejected(caller: Caller) -> None:
    app = caller.emulator.add_app("Public", public=True)
    _, body = await request_token(caller, client_id=app.sid, client_secret=None)
    assert body["error"] == "unauthorized_client"


async def test_account_sid_and_secret_in_the_query(caller: Caller) -> None:
    assert (await request_token(caller, f"?account_sid={caller.emulator.account_sid}"))[0] == 200
    assert (await request_token(caller, "?account_sid=ACother"))[1]["error"] == "unauthorized_client"
    assert (await request_token(caller, "?client_secret=x"))[1]["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("pair", "form", "status"),
    [
        ("CLIENT:SECRET", {}, 401),
        ("CLIENT:SECRET", {"client_id": "CLIENT"}, 401),
        ("CLIENT:SECRET", {"client_id": "CLIENT", "client_secret": "SECRET"}, 401),
        ("CLIENT:wrong", {}, 401),
        ("ACCOUNT:TOKEN", {"client_id": "CLIENT", "client_secret": "SECRET"}, 200),
        ("ACCOUNT:TOKEN", {"client_id": "CLIENT"}, 401),
    ],
)
async def test_client_authentication_is_in_the_body_only(
    caller: Caller, pair: str, form: dict[str, str], status: int
) -> None:
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
    actual_status, _, response = await caller.call("POST", "/v2/token", filled, authorization=authorization)
    assert actual_status == status
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_metadata_describes_what_is_accepted(caller: Caller) -> None:
    status, body, _ = await caller.call("GET", "/.well-known/oauth-authorization-server", authorization=None)
    base = caller.emulator.base_url
    assert (status, body["issuer"]) == (200, caller.emulator.issuer)
    assert (body["authorization_endpoint"], body["token_endpoint"]) == (f"{base}/v2/authorize", f"{base}/v2/token")
    assert body["token_endpoint_auth_methods_supported"] == ["client_secret_post", "none"]
    assert body["code_challenge_methods_supported"] == ["S256"]
    for grant_type in body["grant_types_supported"]:
        _, error = await request_token(caller, grant_type=grant_type)
        assert error.get("error") != "unsupported_grant_type"
    callback = await caller.emulator.authorize(url(caller))
    assert body["authorization_response_iss_parameter_supported"] is ("iss=" in callback)


async def test_app_can_request_only_its_registered_scopes_and_audiences(caller: Caller) -> None:
    app = caller.emulator.add_app("Narrow", scopes=["a"], audiences=["x"])
    client = {"client_id": app.sid, "client_secret": app.secret}
    assert (await request_token(caller, **client, scope="a", audience="x"))[0] == 200
    assert (await request_token(caller, **client, scope="b"))[1]["error"] == "invalid_scope"
    assert (await request_token(caller, **client, audience="y"))[1]["error"] == "invalid_target"
