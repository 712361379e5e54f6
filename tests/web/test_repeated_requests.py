"""Requests that arrive together, twice or late: callbacks, forms, and pages that are loaded while a sign-in ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import attrs
import pytest
from yarl import URL

from tests.helpers.web_site import SECRET, Visitor, approve, clock_of, open_site, serving
from twilio_oauth_async import SignIn
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.protocol import authorization_request
from twilio_oauth_async.sign_in.members import Members
from twilio_oauth_async.web.authorization_cookie import MAX_SKEW, RequestCipher, RequestInCookie
from twilio_oauth_async.web.cookies import REQUEST_AGE

pytestmark = pytest.mark.asyncio


def exchanges(emulator: Emulator) -> int:
    return len(emulator.requests.to("code"))


async def test_callback_whose_response_was_lost_can_be_repeated(new_visitor: Any, emulator: Emulator) -> None:
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in("/private/twilio"))
    before = ada.cookies
    callback = back.removeprefix(ada.url)
    async with ada.request("GET", callback, allow_redirects=False) as response:
        assert response.status == 303
    first = ada.cookie
    ada.http.cookie_jar.clear()
    ada.http.cookie_jar.update_cookies(before, URL(ada.url).origin())  # as if the response had not arrived
    assert await ada.get(callback) == "private page of Ada Example"
    assert ada.cookie == first
    assert exchanges(emulator) == 1


async def test_callbacks_that_arrive_together_exchange_the_code_once(new_visitor: Any, emulator: Emulator) -> None:
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in())
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in ada.cookies.items())}

    async def call() -> tuple[int, str]:
        async with (
            Visitor(ada.url) as tab,
            tab.request("GET", back.removeprefix(ada.url), headers=headers, allow_redirects=False) as response,
        ):
            return response.status, response.headers.getall("Set-Cookie")[0].partition(";")[0]

    results = await asyncio.gather(*(call() for _ in range(5)))
    assert {status for status, _ in results} == {303}
    assert len({cookie for _, cookie in results}) == 1
    assert exchanges(emulator) == 1


async def test_secret_of_the_visitor_follows_from_the_code_and_the_key_of_the_site() -> None:
    cipher = RequestCipher(SECRET, "cookie")
    secret = cipher.visitor_secret("state", "/callback?code=a&state=state")
    assert len(secret) == 43
    assert secret == cipher.visitor_secret("state", "/callback?code=a&state=state")
    others = {
        cipher.visitor_secret("state", "/callback?code=b&state=state"),
        cipher.visitor_secret("other", "/callback?code=a&state=state"),
        RequestCipher(b"x" * 32, "cookie").visitor_secret("state", "/callback?code=a&state=state"),
    }
    assert len(others | {secret}) == 4


async def test_forms_that_arrive_together_start_one_sign_in(new_visitor: Any, emulator: Emulator) -> None:
    ada = new_visitor()
    await ada.get()
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in ada.cookies.items())}

    async def connect() -> str:
        async with (
            Visitor(ada.url) as tab,
            tab.request(
                "POST", "/connect", data={"csrf": ada.csrf}, headers=headers, allow_redirects=False
            ) as response,
        ):
            assert response.status == 303
            return str(response.headers["Set-Cookie"])

    assert len(set(await asyncio.gather(*(connect() for _ in range(4))))) == 1
    assert len(emulator.requests.to("device_code")) == 1


async def test_starts_that_fail_are_limited_too(framework: str, emulator: Emulator, state: Any) -> None:
    async with serving(framework, emulator, state, starts_per_visitor=2) as url, Visitor(url) as ada:
        emulator.faults.on("device_code").respond(503).always()
        statuses = []
        for _ in range(4):
            await ada.get()
            await ada.submit("/connect")
            statuses.append(ada.status)
        assert statuses == [503, 503, 429, 429]
    assert len(emulator.requests.to("device_code")) == 2


async def test_page_that_is_loaded_before_the_end_is_published_returns(
    new_visitor: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = new_visitor()
    await ada.get()
    await ada.submit("/connect", data={"next": "/private/twilio"})
    look_at = Members.look_at

    async def outdated(self: Members, running: Any) -> Any:
        return attrs.evolve(await look_at(self, running), state="pending", problem=None)

    monkeypatch.setattr(Members, "look_at", outdated)
    monkeypatch.setattr(Members, "seen", _pending)
    await approve(emulator, ada.code)
    await ada.wait_for("private page of Ada Example")


def _pending(_: Members, flow: Any) -> Any:
    return attrs.evolve(SignIn.of(flow), state="pending", problem=None)


async def test_request_cookie_is_accepted_within_its_age_and_a_small_skew(emulator: Emulator) -> None:
    cipher = RequestCipher(SECRET, "cookie")
    pending = authorization_request.begin(
        "https://example.com/authorize", client_sid="OQ1", redirect_uri="https://a.example/cb", scopes=(), issuer="i"
    )
    now = emulator.clock.now()
    value = cipher.encrypt(RequestInCookie(pending=pending, visitor="ada", next="", started_at=now))
    for seconds, accepted in (
        (-MAX_SKEW - 1, False),
        (-MAX_SKEW, True),
        (0, True),
        (REQUEST_AGE, True),
        (REQUEST_AGE + 1, False),
    ):
        assert (cipher.decrypt(value, now + timedelta(seconds=seconds)) is not None) is accepted


async def test_cookies_of_several_requests_fit_into_the_headers_that_servers_take(
    new_visitor: Any, emulator: Emulator
) -> None:
    ada = new_visitor()
    longest = "/" + '"' * 255
    for _ in range(5):
        await ada.start_browser_sign_in(longest)
    assert len(ada.cookies) == 4  # of the visitor, and three requests
    size = sum(len(name) + len(value) + 3 for name, value in ada.cookies.items())
    assert size < 7_000
    await ada.get()
    assert ada.status == 200


async def test_site_that_is_opened_and_closed_at_once_is_in_one_state(emulator: Emulator, state: Any) -> None:
    async with open_site(emulator, state, "http://127.0.0.1:1/twilio") as site:
        await asyncio.gather(site.close(), site.open(), site.close(), site.open())
        assert site.is_open
        assert await site._runner.find("x") is None
        sign_in = await site._runner.submit("ada")
        await asyncio.gather(site.close(), site.close())
        assert not site.is_open
        await site.open()
        assert await site._runner.find(sign_in.id) is not None
        clock_of(emulator).advance(1)
