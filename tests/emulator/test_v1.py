"""The v1 endpoints other than the grants: discovery, keys, userinfo, authentication of the account, formats."""

from __future__ import annotations

import base64
import re

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio

ENDPOINTS = [
    ("GET", "/v1/.well-known/openid-configuration"),
    ("GET", "/v1/certs"),
    ("POST", "/v1/device/code"),
    ("POST", "/v1/token"),
    ("GET", "/v1/userinfo"),
]


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def test_discovery_has_twilios_member_names_and_working_urls(caller: Caller) -> None:
    _, body, _ = await caller.call("GET", "/v1/.well-known/openid-configuration")
    assert body["issuer"] == caller.emulator.issuer == "https://iam.twilio.com"
    assert body["jwk_uri"] == caller.emulator.base_url + "/oauth2/certs"
    assert body["response_type_supported"] == ["code"]
    assert body["subject_type_supported"] == ["public"]
    assert body["id_token_signing_alg_values_supported"] == ["ECDSA", "RSA256"]
    assert "jwks_uri" not in body
    for name in ("jwk_uri", "userinfo_endpoint"):
        path = body[name].removeprefix(caller.emulator.base_url)
        assert (await caller.call("GET", path))[0] == 200
    for name in ("token_endpoint", "device_authorization_endpoint", "revocation_endpoint"):
        path = body[name].removeprefix(caller.emulator.base_url)
        assert (await caller.call("POST", path, {}))[1]["error"] == "invalid_request"


async def test_certs_contains_public_ec_and_rsa_keys_only(caller: Caller) -> None:
    _, body, _ = await caller.call("GET", "/v1/certs")
    assert body["url"] == caller.emulator.base_url + "/v1/certs"
    ec, rsa = body["keys"]
    assert (ec["alg"], ec["kty"], ec["crv"], ec["use"], ec["key_ops"]) == ("ES256", "EC", "P-256", "sig", [])
    assert (rsa["alg"], rsa["kty"], rsa["use"], rsa["key_ops"]) == ("RS256", "RSA", "sig", [])
    assert all(re.fullmatch(r"IC[0-9a-f]{32}", key["kid"]) for key in body["keys"])
    assert not {"d", "p", "q", "dp", "dq", "qi"} & (set(ec) | set(rsa))


async def test_userinfo_accepts_bearer_and_basic_credentials(caller: Caller) -> None:
    token = await caller.sign_in()
    _, by_bearer, _ = await caller.call("GET", "/v1/userinfo", authorization=f"Bearer {token['access_token']}")
    _, by_basic, _ = await caller.call("GET", "/v1/userinfo")
    assert by_bearer == by_basic
    assert set(by_bearer) == {"user_sid", "first_name", "last_name", "friendly_name", "email", "url"}
    assert re.fullmatch(r"US[0-9a-f]{32}", by_bearer["user_sid"])


async def test_expired_access_token_is_rejected_with_invalid_token(caller: Caller, clock: VirtualClock) -> None:
    token = await caller.sign_in()
    clock.advance(3599)
    assert await caller.userinfo_status(token["access_token"]) == 200
    clock.advance(1)
    _, body, response = await caller.call("GET", "/v1/userinfo", authorization=f"Bearer {token['access_token']}")
    assert (response.status, body["error"]) == (401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
@pytest.mark.parametrize(
    "authorization",
    [None, "Basic", "Basic !!!", basic("no colon"), basic("ACother:x"), "Digest x", "Basic " + "A" * 5000],
)
async def test_missing_or_wrong_account_credentials_get_401(
    caller: Caller, method: str, path: str, authorization: str | None
) -> None:
    status, body, response = await caller.call(
        method, path, {} if method == "POST" else None, authorization=authorization
    )
    assert (status, body["error"]) == (401, "invalid_client")
    assert response.headers["WWW-Authenticate"].startswith("Basic")


async def test_malformed_base64_in_basic_credentials_is_rejected(caller: Caller) -> None:
    encoded = caller.basic.removeprefix("Basic ")
    for tampered in (f"{encoded[:8]}!{encoded[8:]}", encoded[:8] + " " + encoded[8:]):
        assert (await caller.call("GET", "/v1/certs", authorization=f"Basic {tampered}"))[0] == 401
    assert (await caller.call("GET", "/v1/certs", authorization=f"basic  {encoded}"))[0] == 200


async def test_wrong_auth_token_gets_401(caller: Caller) -> None:
    wrong = basic(f"{caller.emulator.account_sid}:{caller.emulator.auth_token}x")
    assert (await caller.call("GET", "/v1/certs", authorization=wrong))[0] == 401


async def test_malformed_bearer_token_gets_400(caller: Caller) -> None:
    assert (await caller.call("GET", "/v1/userinfo", authorization="Bearer a b"))[0] == 400


async def test_twilio_error_format_and_iso8601_dates(clock: VirtualClock) -> None:
    async with (
        Emulator(clock=clock, errors="twilio", dates="iso8601") as emulator,
        aiohttp.ClientSession() as http,
    ):
        caller = Caller(emulator, http)
        code = await caller.device_code()
        status, body = await caller.poll(code["device_code"])
        assert (status, body["message"], body["status"]) == (400, "authorization_pending", 400)
        assert body["more_info"] == f"https://www.twilio.com/docs/errors/{body['code']}"
        status, body, _ = await caller.call("GET", "/v1/certs", authorization=None)
        assert (status, body["code"], body["message"]) == (401, 20003, "Authenticate")
        token = await caller.sign_in()
        assert token["access_token_expires_at"] == "2026-01-01T01:00:00Z"


async def test_responses_have_twilio_headers_and_no_store(caller: Caller) -> None:
    _, _, response = await caller.call("GET", "/v1/certs")
    assert re.fullmatch(r"RQ[0-9a-f]{32}", response.headers["Twilio-Request-Id"])
    assert response.headers["Cache-Control"] == "no-store"


async def test_api_key_is_accepted_as_basic_credentials(caller: Caller) -> None:
    sid, secret = caller.emulator.add_api_key()
    assert sid.startswith("SK")
    authorization = "Basic " + base64.b64encode(f"{sid}:{secret}".encode()).decode()
    assert (await caller.call("GET", "/v1/certs", authorization=authorization))[0] == 200
