"""Control over HTTP, as a test in another language uses it: with only the URL and the control token."""

from __future__ import annotations

import aiohttp
import pytest

from tests.helpers.authorization_code import url
from tests.helpers.emulator_caller import CONTROL_TOKEN as TOKEN
from tests.helpers.emulator_caller import Remote
from twilio_oauth_async.clock import SystemClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.control.http_routes import HttpControl

pytestmark = pytest.mark.asyncio


async def test_without_control_token_paths_get_404() -> None:
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        remote = Remote(emulator, http)
        for path in ("/_control/", "/_control/requests", "/unknown"):
            status, body, _ = await remote.call("GET", path, authorization=f"Bearer {TOKEN}")
            assert (status, body["error"]) == (404, "not_found")
        assert len(emulator.requests) == 3


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer canary", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "account"]
)
@pytest.mark.parametrize("path", ["", "approve", "unknown"])
async def test_missing_or_wrong_control_token_gets_401(remote: Remote, authorization: str | None, path: str) -> None:
    status, body, response = await remote.call("GET", f"/_control/{path}", authorization=authorization)
    assert (status, list(body)) == (401, ["error"])
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.headers["Cache-Control"] == "no-store"


async def test_control_token_is_compared_in_constant_time(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("hmac.compare_digest", compare)
    await remote.command("")
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é", "=", "a=b"])
async def test_control_token_with_invalid_characters_raises(token: str) -> None:
    with pytest.raises(ValueError, match="control token can contain only") as caught:
        Emulator(control_token=token)
    assert not token or token not in str(caught.value).split(" can contain")[0]


async def test_reprs_do_not_contain_the_control_token(remote: Remote) -> None:
    emulator = remote.emulator
    http_control = emulator._control  # pyright: ignore[reportPrivateUsage]
    assert isinstance(http_control, HttpControl)
    assert TOKEN not in repr((http_control, emulator, emulator._backend))  # pyright: ignore[reportPrivateUsage]


async def test_root_command_describes_the_emulator(remote: Remote) -> None:
    e = remote.emulator
    described = await remote.command("")
    assert described == {
        "base_url": e.base_url,
        "issuer": "https://iam.twilio.com",
        "account_sid": e.account_sid,
        "auth_token": e.auth_token,
        "client_sid": e.client_sid,
        "client_secret": e.client_secret,
        "users": [{"sid": e.user.sid, "first_name": "Ada", "last_name": "Example", "email": "ada@example.com"}],
        "policy": described["policy"],
        "clock": {"virtual": True, "monotonic": 0.0, "now": "2026-01-01T00:00:00+00:00"},
        "device_codes": {"pending": 0, "remembered": 0},
    }
    assert (described["policy"]["interval"], described["policy"]["expires_in"]) == (5, 299)


async def test_root_command_counts_device_codes(remote: Remote) -> None:
    codes = [(await remote.device_code())["user_code"] for _ in range(4)]
    await remote.command("approve", user_code=codes[0])
    await remote.command("expire", user_code=codes[1])
    assert (await remote.command(""))["device_codes"] == {"pending": 2, "remembered": 4}


async def test_commands_approve_advance_and_revoke(remote: Remote) -> None:
    code = await remote.device_code("openid", "messages.read")
    assert (await remote.poll(code["device_code"]))[1]["error"] == "authorization_pending"
    other = (await remote.command("add_user", first_name="Grace", last_name="Other", email="g@example.com"))["sid"]
    assert await remote.command("approve", user_code=code["user_code"], user=other, scopes=["openid"]) == {}
    clock = (await remote.command("advance", seconds=5))["clock"]
    assert clock == {"virtual": True, "monotonic": 5.0, "now": "2026-01-01T00:00:05+00:00"}
    status, token = await remote.poll(code["device_code"])
    assert (status, token["scope"]) == (201, "openid")
    bearer = f"Bearer {token['access_token']}"
    assert (await remote.call("GET", "/v1/userinfo", authorization=bearer))[1]["user_sid"] == other
    await remote.command("revoke", token=token["refresh_token"])
    assert await remote.userinfo_status(token["access_token"]) == 401


@pytest.mark.parametrize(("command", "error"), [("deny", "access_denied"), ("expire", "expired_token")])
async def test_commands_deny_and_expire(remote: Remote, command: str, error: str) -> None:
    code = await remote.device_code()
    await remote.command(command, user_code=code["user_code"])
    assert (await remote.poll(code["device_code"]))[1]["error"] == error


async def test_command_authorize(remote: Remote) -> None:
    location = (await remote.command("authorize", url=url(remote)))["location"]
    assert "code=" in location
    location = (await remote.command("authorize", url=url(remote), approve=False))["location"]
    assert "error=access_denied" in location
    assert await remote.try_command("authorize", url="http://127.0.0.1/oauth2/authorize?client_id=other") == (
        400,
        {"error": "There is no such client."},
    )
    assert (await remote.try_command("authorize", url="http://["))[0] == 400


async def test_command_rotate_keys(remote: Remote) -> None:
    async def kids() -> list[str]:
        return [key["kid"] for key in (await remote.call("GET", "/v1/certs"))[1]["keys"]]

    first = await kids()
    await remote.command("rotate_keys")
    assert (await kids())[2:] == first
    await remote.command("rotate_keys", keep=0)
    assert len(await kids()) == 2
    assert (await remote.try_command("rotate_keys", keep=-1))[0] == 400


async def test_commands_add_app_and_add_api_key(remote: Remote) -> None:
    app = await remote.command(
        "add_app", name="Other", scopes=["a"], audiences=[], redirect_uris=["https://app.example/callback"]
    )
    added = remote.emulator._backend.server.apps[app["sid"]]  # pyright: ignore[reportPrivateUsage]
    assert (added.name, added.secret) == ("Other", app["secret"])
    assert (added.scopes, added.audiences) == (frozenset({"a"}), frozenset())
    assert added.redirect_uris == ("https://app.example/callback",)
    assert (await remote.command("add_app", name="Public", public=True))["secret"] is None
    assert (await remote.try_command("add_app", name="Bad", redirect_uris=["http://["]))[0] == 400
    key = await remote.command("add_api_key")
    authorization = aiohttp.encode_basic_auth(key["sid"], key["secret"])
    assert (await remote.call("GET", "/v1/certs", authorization=authorization))[0] == 200


async def test_command_requests_redacts_secrets(remote: Remote) -> None:
    token = await remote.sign_in("openid", ClientSecret=str(remote.emulator.client_secret), Odd="1")
    await remote.userinfo_status(token["access_token"])
    recorded = (await remote.command("requests"))["requests"]
    assert [request["endpoint"] for request in recorded] == ["device_code", "token", "userinfo"]
    assert (await remote.command("requests", endpoint="poll"))["requests"] == [recorded[1]]
    poll = recorded[1]
    assert (poll["method"], poll["path"], poll["kind"], poll["status"]) == ("POST", "/v1/token", "poll", 201)
    assert (poll["error"], poll["fault"], poll["unknown_parameters"]) == (None, None, ["Odd"])
    assert (poll["received_at"], poll["received_on"]) == (0.0, "2026-01-01T00:00:00+00:00")
    form = dict(poll["form"])
    assert form["ClientSid"] == remote.emulator.client_sid
    assert form["DeviceCode"] == "<32 characters>"
    for secret in (remote.emulator.auth_token, remote.emulator.client_secret, token["access_token"], remote.basic[6:]):
        assert str(secret) not in str(recorded)
    status, body = await remote.try_command("requests", endpoint="polls")
    assert (status, "endpoint must be one of activate, authorize, certs" in body["error"]) == (400, True)


async def test_command_poll_gaps(remote: Remote) -> None:
    first, second = [(await remote.device_code())["device_code"] for _ in range(2)]
    for code, seconds in ((first, 5), (second, 0), (first, 2), (second, 0)):
        await remote.poll(code)
        await remote.command("advance", seconds=seconds)
    assert await remote.command("poll_gaps") == {"gaps": [5.0, 2.0], "interval": 5, "polled_faster": True}
    of_first = await remote.command("poll_gaps", device_code=first, interval=5.0)
    assert of_first == {"gaps": [5.0], "interval": 5.0, "polled_faster": False}


async def test_control_requests_are_not_recorded_and_not_hit_by_faults(remote: Remote) -> None:
    fault = await remote.command("add_fault", always=True, reset=True)
    assert fault == {"id": 0, "fault": "on().always().reset('before')"}
    assert (await remote.command("faults"))["faults"] == [{**fault, "hits": 0, "unused": True}]
    await remote.try_command("unknown")
    assert len(remote.emulator.requests) == 0


async def test_commands_add_fault_remove_fault_and_faults(remote: Remote) -> None:
    for status in (503, 404):
        await remote.command("add_fault", on=["certs"], respond=status)
    await remote.command("remove_fault", id=0)
    assert (await remote.call("GET", "/v1/certs"))[0] == 404
    assert [(fault["hits"], fault["unused"]) for fault in (await remote.command("faults"))["faults"]] == [(1, False)]
    assert await remote.try_command("remove_fault", id=0) == (404, {"error": "there is no such fault"})


async def test_command_clear_deletes_parts_or_everything(remote: Remote) -> None:
    async def counts() -> tuple[int, int, int]:
        lists = [(await remote.command(name))[name] for name in ("requests", "faults")]
        return len(lists[0]), len(lists[1]), (await remote.command(""))["device_codes"]["remembered"]

    token = await remote.sign_in()
    for _ in range(remote.emulator.policy.guess_limit):
        remote.emulator._backend.user_code_limit.record_wrong_code("127.0.0.1", remote.emulator._backend.now())  # pyright: ignore[reportPrivateUsage]
    await remote.command("add_fault", respond=500)
    assert await counts() == (2, 1, 1)
    await remote.command("clear", only=["faults"])
    assert await counts() == (2, 0, 1)
    await remote.command("clear", only=["requests"])
    assert await counts() == (0, 0, 1)
    assert await remote.userinfo_status(token["access_token"]) == 200
    await remote.command("clear")
    assert await counts() == (0, 0, 0)
    assert await remote.userinfo_status(token["access_token"]) == 401
    remote.emulator._backend.user_code_limit.check_rate_limit("127.0.0.1", remote.emulator._backend.now())  # pyright: ignore[reportPrivateUsage]
    await remote.sign_in()  # the account and the app still exist
    assert (await remote.try_command("clear", only=["users"]))[1] == {
        "error": "only must be a list with items from: requests, faults"
    }


async def test_system_clock_cannot_be_advanced() -> None:
    async with Emulator(clock=SystemClock(), control_token=TOKEN) as emulator, aiohttp.ClientSession() as http:
        remote = Remote(emulator, http)
        status, body = await remote.try_command("advance", seconds=1)
        assert (status, "system clock" in body["error"]) == (409, True)
        assert (await remote.command(""))["clock"]["virtual"] is False
