"""The rest of the contract's endpoints, credentials, both dialects, the journal and bad input."""

from __future__ import annotations

import base64
import re
from typing import Any

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio

API = [
    ("GET", "/v1/.well-known/openid-configuration"),
    ("GET", "/v1/certs"),
    ("POST", "/v1/device/code"),
    ("POST", "/v1/token"),
    ("GET", "/v1/userinfo"),
]


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


async def test_discovery_has_twilios_odd_names_and_working_addresses(caller: Caller) -> None:
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


async def test_certs_publish_an_ec_and_an_rsa_key_and_nothing_private(caller: Caller) -> None:
    _, body, _ = await caller.call("GET", "/v1/certs")
    assert body["url"] == caller.emulator.base_url + "/v1/certs"
    ec, rsa = body["keys"]
    assert (ec["alg"], ec["kty"], ec["crv"], ec["use"], ec["key_ops"]) == ("ES256", "EC", "P-256", "sig", [])
    assert (rsa["alg"], rsa["kty"], rsa["use"], rsa["key_ops"]) == ("RS256", "RSA", "sig", [])
    assert all(re.fullmatch(r"IC[0-9a-f]{32}", key["kid"]) for key in body["keys"])
    assert not {"d", "p", "q", "dp", "dq", "qi"} & (set(ec) | set(rsa))


async def test_userinfo_by_bearer_and_by_basic(caller: Caller) -> None:
    token = await caller.sign_in()
    _, by_bearer, _ = await caller.call("GET", "/v1/userinfo", authorization=f"Bearer {token['access_token']}")
    _, by_basic, _ = await caller.call("GET", "/v1/userinfo")
    assert by_bearer == by_basic
    assert set(by_bearer) == {"user_sid", "first_name", "last_name", "friendly_name", "email", "url"}
    assert re.fullmatch(r"US[0-9a-f]{32}", by_bearer["user_sid"])


async def test_an_access_token_expires(caller: Caller, clock: VirtualClock) -> None:
    token = await caller.sign_in()
    clock.advance(3599)
    assert await caller.whose(token["access_token"]) == 200
    clock.advance(1)
    _, body, response = await caller.call("GET", "/v1/userinfo", authorization=f"Bearer {token['access_token']}")
    assert (response.status, body["error"]) == (401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(("method", "path"), API)
@pytest.mark.parametrize(
    "authorization",
    [None, "Basic", "Basic !!!", basic("no colon"), basic("ACnobody:x"), "Digest x", "Basic " + "A" * 5000],
)
async def test_every_endpoint_wants_the_account(
    caller: Caller, method: str, path: str, authorization: str | None
) -> None:
    status, body, response = await caller.call(
        method, path, {} if method == "POST" else None, authorization=authorization
    )
    assert (status, body["error"]) == (401, "invalid_client")
    assert response.headers["WWW-Authenticate"].startswith("Basic")


async def test_basic_credentials_are_read_strictly(caller: Caller) -> None:
    encoded = caller.basic.removeprefix("Basic ")
    for tampered in (f"{encoded[:8]}!{encoded[8:]}", encoded[:8] + " " + encoded[8:]):
        assert (await caller.call("GET", "/v1/certs", authorization=f"Basic {tampered}"))[0] == 401
    assert (await caller.call("GET", "/v1/certs", authorization=f"basic  {encoded}"))[0] == 200


async def test_a_wrong_auth_token_is_refused(caller: Caller) -> None:
    wrong = basic(f"{caller.emulator.account_sid}:{caller.emulator.auth_token}x")
    assert (await caller.call("GET", "/v1/certs", authorization=wrong))[0] == 401


async def test_a_malformed_bearer_is_a_bad_request(caller: Caller) -> None:
    assert (await caller.call("GET", "/v1/userinfo", authorization="Bearer a b"))[0] == 400


async def test_refresh_rotates_and_reuse_kills_the_grant(caller: Caller) -> None:
    first = await caller.sign_in()
    status, second = await caller.refresh(first["refresh_token"])
    assert status == 201
    assert second["refresh_token"] != first["refresh_token"]
    assert await caller.whose(second["access_token"]) == 200
    assert (await caller.refresh(first["refresh_token"]))[1]["error"] == "invalid_grant"
    assert await caller.whose(second["access_token"]) == 401
    assert (await caller.refresh(second["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_without_rotation_the_refresh_token_stays(caller: Caller) -> None:
    caller.emulator.policy.rotate_refresh_tokens = False
    token = await caller.sign_in()
    for _ in range(2):
        status, body = await caller.refresh(token["refresh_token"])
        assert (status, body["refresh_token"], body["refresh_token_expires_at"]) == (201, None, None)


async def test_a_refresh_token_expires(caller: Caller, clock: VirtualClock) -> None:
    token = await caller.sign_in()
    clock.advance(30 * 86400)
    assert (await caller.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_a_grant_begun_with_the_secret_is_refreshed_with_it_only(caller: Caller) -> None:
    secret = caller.emulator.client_secret
    assert secret is not None
    token = await caller.sign_in(ClientSecret=secret)
    status, body = await caller.refresh(token["refresh_token"])
    assert (status, body["error"]) == (401, "invalid_client")
    assert (await caller.refresh(token["refresh_token"], ClientSecret=secret))[0] == 201


async def test_a_refresh_token_stays_on_its_device(caller: Caller) -> None:
    token = await caller.sign_in(DeviceId="phone")
    assert (await caller.refresh(token["refresh_token"], DeviceId="laptop"))[1]["error"] == "invalid_grant"
    assert (await caller.refresh(token["refresh_token"], DeviceId="phone"))[0] == 201


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_revocation(caller: Caller, which: str) -> None:
    token = await caller.sign_in()
    form = {"token": token[which], "client_id": caller.emulator.client_sid, "token_type_hint": "nonsense", "x": "y"}
    assert (await caller.call("POST", "/oauth2/revoke", form))[0] == 200
    assert caller.emulator.requests[-1].unknown_parameters == ("x",)
    assert await caller.whose(token["access_token"]) == 401
    assert (await caller.refresh(token["refresh_token"]))[0] == (400 if which == "refresh_token" else 201)


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
async def test_who_may_revoke(caller: Caller, form: dict[str, str], authorization: str | None, status: int) -> None:
    emulator = caller.emulator

    def fill(text: str) -> str:
        return text.replace("CLIENT", emulator.client_sid).replace("SECRET", emulator.client_secret or "")

    if authorization not in {None, "account"}:
        authorization = basic(fill(str(authorization)))
    filled = {name: fill(value) for name, value in form.items()}
    assert (await caller.call("POST", "/oauth2/revoke", filled, authorization=authorization))[0] == status


async def test_a_public_app_has_no_secret(clock: VirtualClock) -> None:
    async with Emulator(clock=clock, public=True) as emulator, aiohttp.ClientSession() as http:
        caller = Caller(emulator, http)
        assert emulator.client_secret is None
        token = await caller.sign_in()
        assert (await caller.refresh(token["refresh_token"]))[0] == 201
    with pytest.raises(ValueError, match="public"):
        Emulator(public=True, client_secret="x")


async def test_twilios_dialects(clock: VirtualClock) -> None:
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


async def test_answers_carry_twilios_headers_and_are_not_cached(caller: Caller) -> None:
    _, _, response = await caller.call("GET", "/v1/certs")
    assert re.fullmatch(r"RQ[0-9a-f]{32}", response.headers["Twilio-Request-Id"])
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "arguments", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("DELETE", "/v1/token", {}, 405),
        ("POST", "/v1/token", {"data": b"x" * 70_000}, 413),
        ("POST", "/v1/token", {"data": b"\xff\xfe=1"}, 400),
        ("POST", "/v1/token", {"data": b"GrantType=%ff"}, 400),
        ("POST", "/v1/token", {"data": b"&".join(b"a=1" for _ in range(300))}, 400),
        ("POST", "/v1/token", {"json": {"GrantType": "x"}}, 400),
        ("POST", "/v1/token", {"data": b"GrantType=%00&ClientSid=%00"}, 400),
        ("GET", "/v1/oauth2/device/activate?user_code=%00%ff" + "A" * 4000, {}, 200),
    ],
)
async def test_bad_input_is_a_clean_answer(
    caller: Caller, method: str, path: str, arguments: dict[str, Any], status: int
) -> None:
    headers = {"Authorization": caller.basic}
    if "data" in arguments:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    url = caller.emulator.base_url + path
    async with caller.http.request(method, url, headers=headers, **arguments) as response:
        assert response.status == status
        if status == 405:
            assert response.headers["Allow"] == "POST"


async def test_the_journal_has_everything_and_shows_no_secret(caller: Caller) -> None:
    emulator = caller.emulator
    code = await caller.device_code()
    await caller.poll(code["device_code"], ClientSecret="canary-secret", Whatever="1", DeviceId="")
    issued, polled = emulator.requests
    assert (issued.endpoint, polled.endpoint) == ("device_code", "token")
    assert (polled.method, polled.path, polled.status, polled.error) == ("POST", "/v1/token", 401, "invalid_client")
    assert polled.form["ClientSecret"] == "canary-secret"
    assert polled.form["DeviceCode"] == code["device_code"]
    assert polled.form["DeviceId"] == ""
    assert polled.headers["authorization"] == caller.basic
    assert polled.unknown_parameters == ("Whatever",)
    assert polled.received_at == 0
    assert issued.peer_port == polled.peer_port
    for text in (repr(polled), repr(polled.form), repr(polled.headers), repr(emulator.requests), repr(emulator)):
        assert "canary-secret" not in text
        assert code["device_code"] not in text
        assert caller.basic not in text
    assert emulator.requests.to("token") == [polled]
    assert emulator.requests[-1] is polled
    assert emulator.requests[:1] == [issued]
    emulator.requests.clear()
    assert len(emulator.requests) == 0


async def test_starting_and_stopping(clock: VirtualClock) -> None:
    emulator = Emulator(clock=clock)
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url
    async with emulator:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", emulator.base_url)
        with pytest.raises(RuntimeError, match="already"):
            await emulator.__aenter__()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.base_url


async def test_a_port_that_is_taken(emulator: Emulator) -> None:
    taken = int(emulator.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        async with Emulator(port=taken):
            pass


async def test_one_emulator_can_be_started_again(clock: VirtualClock) -> None:
    emulator = Emulator(clock=clock)
    for _ in range(2):
        async with emulator, aiohttp.ClientSession() as http:
            code = await Caller(emulator, http).device_code()
            assert (await Caller(emulator, http).poll(code["device_code"]))[0] == 400
    assert emulator.pending_device_codes == emulator.remembered_device_codes == 2
    assert emulator.clock is clock


async def test_a_seed_makes_everything_the_same() -> None:
    one, other, third = Emulator(seed=7), Emulator(seed=7), Emulator()
    assert one.client_sid == other.client_sid != third.client_sid
    assert one.auth_token == other.auth_token
