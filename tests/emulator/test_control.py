"""Control over HTTP, spoken to as a test in another language does: with the URL and the control token alone."""

from __future__ import annotations

import re

import aiohttp
import pytest

from tests.helpers.authorization_code import url
from tests.helpers.emulator_caller import CONTROL_TOKEN as TOKEN
from tests.helpers.emulator_caller import Remote
from twilio_oauth_async.clock import SystemClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.control import http
from twilio_oauth_async.emulator.control.commands import COMMANDS
from twilio_oauth_async.emulator.control.http import Control

pytestmark = pytest.mark.asyncio


async def test_without_a_control_token_there_is_nothing() -> None:
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        remote = Remote(emulator, http)
        for path in ("/_control/", "/_control/requests", "/nowhere"):
            status, body, _ = await remote.call("GET", path, authorization=f"Bearer {TOKEN}")
            assert (status, body["error"]) == (404, "not_found")
        assert len(emulator.requests) == 3


@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer canary", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "account"]
)
@pytest.mark.parametrize("path", ["", "approve", "nowhere"])
async def test_nobody_gets_in_without_the_token(remote: Remote, authorization: str | None, path: str) -> None:
    status, body, response = await remote.call("GET", f"/_control/{path}", authorization=authorization)
    assert (status, list(body)) == (401, ["error"])
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert response.headers["Cache-Control"] == "no-store"


async def test_the_token_is_compared_in_constant_time(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("hmac.compare_digest", compare)
    await remote.order("")
    assert compared == [(TOKEN.encode(), TOKEN.encode())]


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é", "=", "a=b"])
async def test_a_token_that_no_header_can_carry(token: str) -> None:
    with pytest.raises(ValueError, match="control token is made of") as caught:
        Emulator(control_token=token)
    assert not token or token not in str(caught.value).split(" is made of")[0]


async def test_the_token_stands_in_no_repr(remote: Remote) -> None:
    emulator = remote.emulator
    http = emulator._control  # pyright: ignore[reportPrivateUsage]
    assert isinstance(http, Control)
    assert TOKEN not in repr((http, emulator, emulator._backend))  # pyright: ignore[reportPrivateUsage]


async def test_all_that_a_client_needs_to_know(remote: Remote) -> None:
    e = remote.emulator
    told = await remote.order("")
    assert told == {
        "base_url": e.base_url,
        "issuer": "https://iam.twilio.com",
        "account_sid": e.account_sid,
        "auth_token": e.auth_token,
        "client_sid": e.client_sid,
        "client_secret": e.client_secret,
        "users": [{"sid": e.user.sid, "first_name": "Ada", "last_name": "Example", "email": "ada@example.com"}],
        "policy": told["policy"],
        "clock": {"virtual": True, "monotonic": 0.0, "now": "2026-01-01T00:00:00+00:00"},
        "device_codes": {"pending": 0, "remembered": 0},
    }
    assert (told["policy"]["interval"], told["policy"]["expires_in"]) == (5, 299)


async def test_device_codes_are_counted(remote: Remote) -> None:
    codes = [(await remote.device_code())["user_code"] for _ in range(4)]
    await remote.order("approve", user_code=codes[0])
    await remote.order("expire", user_code=codes[1])
    assert (await remote.order(""))["device_codes"] == {"pending": 2, "remembered": 4}


async def test_the_table_in_the_docstring_is_what_there_is() -> None:
    # Columns are as wide as the rulers; what goes on in the next line has an empty first one.
    rows = [line for line in str(http.__doc__).splitlines() if re.match(r"(GET |POST) /_control/", line)]
    told = {re.sub(r"\s+", " ", row[:27]).strip(): row[28:81] for row in rows}
    assert list(told) == [f"{command.method} /_control/{name}" for name, command in COMMANDS.items()]
    for (_, takes), (name, command) in zip(told.items(), COMMANDS.items(), strict=True):
        if name != "add_fault":  # its arguments stand in `fault_orders`
            named = set(re.findall(r"\w+", takes.partition(":")[0].partition("=")[0]))
            assert named == {*command.needed, *command.optional}, name
            marked = set(re.findall(r"(\w+)\?", takes))
            assert marked == (set(command.optional) if command.method == "POST" else set()), name


async def test_approve_advance_and_revoke(remote: Remote) -> None:
    code = await remote.device_code("openid", "messages.read")
    assert (await remote.poll(code["device_code"]))[1]["error"] == "authorization_pending"
    other = (await remote.order("add_user", first_name="Grace", last_name="Other", email="g@example.com"))["sid"]
    assert await remote.order("approve", user_code=code["user_code"], user=other, scopes=["openid"]) == {}
    clock = (await remote.order("advance", seconds=5))["clock"]
    assert clock == {"virtual": True, "monotonic": 5.0, "now": "2026-01-01T00:00:05+00:00"}
    status, token = await remote.poll(code["device_code"])
    assert (status, token["scope"]) == (201, "openid")
    bearer = f"Bearer {token['access_token']}"
    assert (await remote.call("GET", "/v1/userinfo", authorization=bearer))[1]["user_sid"] == other
    await remote.order("revoke", token=token["refresh_token"])
    assert await remote.whose(token["access_token"]) == 401


@pytest.mark.parametrize(("order", "error"), [("deny", "access_denied"), ("expire", "expired_token")])
async def test_deny_and_expire(remote: Remote, order: str, error: str) -> None:
    code = await remote.device_code()
    await remote.order(order, user_code=code["user_code"])
    assert (await remote.poll(code["device_code"]))[1]["error"] == error


async def test_authorize(remote: Remote) -> None:
    location = (await remote.order("authorize", url=url(remote)))["location"]
    assert "code=" in location
    location = (await remote.order("authorize", url=url(remote), approve=False))["location"]
    assert "error=access_denied" in location
    assert await remote.try_order("authorize", url="http://127.0.0.1/oauth2/authorize?client_id=other") == (
        400,
        {"error": "There is no such client."},
    )
    assert (await remote.try_order("authorize", url="http://["))[0] == 400


async def test_rotate_keys(remote: Remote) -> None:
    async def kids() -> list[str]:
        return [key["kid"] for key in (await remote.call("GET", "/v1/certs"))[1]["keys"]]

    first = await kids()
    await remote.order("rotate_keys")
    assert (await kids())[2:] == first
    await remote.order("rotate_keys", keep=0)
    assert len(await kids()) == 2
    assert (await remote.try_order("rotate_keys", keep=-1))[0] == 400


async def test_apps_and_api_keys(remote: Remote) -> None:
    app = await remote.order(
        "add_app", name="Other", scopes=["a"], audiences=[], redirect_uris=["https://app.example/callback"]
    )
    added = remote.emulator._backend.state.apps[app["sid"]]  # pyright: ignore[reportPrivateUsage]
    assert (added.name, added.secret) == ("Other", app["secret"])
    assert (added.scopes, added.audiences) == (frozenset({"a"}), frozenset())
    assert added.redirect_uris == ("https://app.example/callback",)
    assert (await remote.order("add_app", name="Public", public=True))["secret"] is None
    assert (await remote.try_order("add_app", name="Bad", redirect_uris=["http://["]))[0] == 400
    key = await remote.order("add_api_key")
    caller = aiohttp.encode_basic_auth(key["sid"], key["secret"])
    assert (await remote.call("GET", "/v1/certs", authorization=caller))[0] == 200


async def test_the_journal_shows_no_secret(remote: Remote) -> None:
    token = await remote.sign_in("openid", ClientSecret=str(remote.emulator.client_secret), Odd="1")
    await remote.whose(token["access_token"])
    shown = (await remote.order("requests"))["requests"]
    assert [request["endpoint"] for request in shown] == ["device_code", "token", "userinfo"]
    assert (await remote.order("requests", endpoint="poll"))["requests"] == [shown[1]]
    poll = shown[1]
    assert (poll["method"], poll["path"], poll["kind"], poll["status"]) == ("POST", "/v1/token", "poll", 201)
    assert (poll["error"], poll["fault"], poll["unknown_parameters"]) == (None, None, ["Odd"])
    assert (poll["received_at"], poll["received_on"]) == (0.0, "2026-01-01T00:00:00+00:00")
    form = dict(poll["form"])
    assert form["ClientSid"] == remote.emulator.client_sid
    assert form["DeviceCode"] == "<32 characters>"
    for secret in (remote.emulator.auth_token, remote.emulator.client_secret, token["access_token"], remote.basic[6:]):
        assert str(secret) not in str(shown)
    status, body = await remote.try_order("requests", endpoint="polls")
    assert (status, "endpoint is one of activate, authorize, certs" in body["error"]) == (400, True)


async def test_poll_gaps(remote: Remote) -> None:
    first, second = [(await remote.device_code())["device_code"] for _ in range(2)]
    for code, pause in ((first, 5), (second, 0), (first, 2), (second, 0)):
        await remote.poll(code)
        await remote.order("advance", seconds=pause)
    assert await remote.order("poll_gaps") == {"gaps": [5.0, 2.0], "interval": 5, "polled_faster": True}
    of_first = await remote.order("poll_gaps", device_code=first, interval=5.0)
    assert of_first == {"gaps": [5.0], "interval": 5.0, "polled_faster": False}


async def test_control_is_neither_recorded_nor_hit_by_faults(remote: Remote) -> None:
    fault = await remote.order("add_fault", always=True, reset=True)
    assert fault == {"id": 0, "fault": "on().always().reset('before')"}
    assert (await remote.order("faults"))["faults"] == [{**fault, "hits": 0, "unused": True}]
    await remote.try_order("nowhere")
    assert len(remote.emulator.requests) == 0


async def test_faults_come_and_go(remote: Remote) -> None:
    for answer in (503, 404):
        await remote.order("add_fault", on=["certs"], answer=answer)
    await remote.order("remove_fault", id=0)
    assert (await remote.call("GET", "/v1/certs"))[0] == 404
    assert [(fault["hits"], fault["unused"]) for fault in (await remote.order("faults"))["faults"]] == [(1, False)]
    assert await remote.try_order("remove_fault", id=0) == (404, {"error": "there is no such fault"})


async def test_clear_one_thing_or_all(remote: Remote) -> None:
    async def left() -> tuple[int, int, int]:
        told = [(await remote.order(name))[name] for name in ("requests", "faults")]
        return len(told[0]), len(told[1]), (await remote.order(""))["device_codes"]["remembered"]

    token = await remote.sign_in()
    for _ in range(remote.emulator.policy.guess_limit):
        remote.emulator._backend.guesses.wrong("127.0.0.1", remote.emulator._backend.now())  # pyright: ignore[reportPrivateUsage]
    await remote.order("add_fault", answer=500)
    assert await left() == (2, 1, 1)
    await remote.order("clear", only=["faults"])
    assert await left() == (2, 0, 1)
    await remote.order("clear", only=["requests"])
    assert await left() == (0, 0, 1)
    assert await remote.whose(token["access_token"]) == 200
    await remote.order("clear")
    assert await left() == (0, 0, 0)
    assert await remote.whose(token["access_token"]) == 401
    remote.emulator._backend.guesses.demand_patience("127.0.0.1", remote.emulator._backend.now())  # pyright: ignore[reportPrivateUsage]
    await remote.sign_in()  # the account and the app are still there
    assert (await remote.try_order("clear", only=["users"]))[1] == {"error": "only is a list of requests, faults"}


async def test_the_machine_s_clock_cannot_be_advanced() -> None:
    async with Emulator(clock=SystemClock(), control_token=TOKEN) as emulator, aiohttp.ClientSession() as http:
        remote = Remote(emulator, http)
        status, body = await remote.try_order("advance", seconds=1)
        assert (status, "machine's clock" in body["error"]) == (409, True)
        assert (await remote.order(""))["clock"]["virtual"] is False
