"""Users that the host application identifies: `identify`, `login_url`, `user` and `manager`."""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any
from urllib.parse import unquote

import pytest

from tests.helpers.web_site import Visitor, approve, open_site, serving, stored
from twilio_oauth_async import ConfigurationError, LoginRequired
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio

HEADERS = {"ada": {"X-User": "ada"}, "eve": {"X-User": "eve"}}


def by_header(request: Any) -> str | None:
    """Identify the user as a proxy with single sign-on does."""
    return request.headers.get("X-User")


async def by_header_later(request: Any) -> str | None:
    await asyncio.sleep(0)
    return by_header(request)


@pytest.mark.parametrize("identify", [by_header, by_header_later])
async def test_token_is_stored_under_the_user_of_the_host(
    framework: str, emulator: Emulator, state: Any, identify: Any
) -> None:
    async with serving(framework, emulator, state, identify=identify) as url, Visitor(url) as ada, Visitor(url) as eve:
        ada.http.headers.update(HEADERS["ada"])
        eve.http.headers.update(HEADERS["eve"])
        await ada.get()
        assert "Set-Cookie" not in ada.headers
        await ada.submit("/connect")
        code = ada.code
        assert code not in await eve.get()
        await approve(emulator, code)
        assert "Signed in as Ada Example" in await ada.wait_for("Signed in as")
        assert '"ada"' in stored(state, "tokens.db") or "ada" in stored(state, "tokens.db")
        assert "Connect your Twilio account" in await eve.get()
        host = url.rpartition("/twilio")[0]
        for visitor, expected in ((ada, "ada"), (eve, "None")):
            async with visitor.http.get(f"{host}/whoami/twilio") as response:
                assert await response.text() == expected


async def test_sign_in_of_a_user_is_shown_in_each_browser_of_this_user(
    framework: str, emulator: Emulator, state: Any
) -> None:
    async with serving(framework, emulator, state, identify=by_header) as url, Visitor(url) as one, Visitor(url) as two:
        one.http.headers.update(HEADERS["ada"])
        two.http.headers.update(HEADERS["ada"])
        code = await one.connect()
        await two.get()
        assert two.code == code
        await two.submit("/cancel")
        assert "The sign-in was cancelled" in two.text
        assert "The sign-in was cancelled" in await one.get()


async def test_form_of_another_user_is_refused(framework: str, emulator: Emulator, state: Any) -> None:
    async with serving(framework, emulator, state, identify=by_header) as url, Visitor(url) as ada:
        await ada.get(headers=HEADERS["ada"])
        async with ada.request("POST", "/connect", data={"csrf": ada.csrf}, headers=HEADERS["eve"]) as response:
            assert response.status == 403
        async with ada.request("POST", "/connect", data={"csrf": ada.csrf}, headers=HEADERS["ada"]) as response:
            assert response.status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_browser_without_a_user_of_the_host_gets_401(
    framework: str, emulator: Emulator, state: Any, method: str
) -> None:
    async with serving(framework, emulator, state, identify=by_header) as url, Visitor(url) as stranger:
        for path in (
            ("/connect", "/login", "/cancel", "/sign-out") if method == "POST" else ("/", "/events", "/callback")
        ):
            async with stranger.request(method, path) as response:
                assert response.status == 401
                assert "Sign in to Example first" in await response.text()
        async with stranger.request("GET", "/static/pages.css") as response:
            assert response.status == 200


async def test_browser_without_a_user_of_the_host_is_sent_to_its_login(
    framework: str, emulator: Emulator, state: Any
) -> None:
    async with (
        serving(framework, emulator, state, identify=by_header, login_url="/login-here") as url,
        Visitor(url) as visitor,
        visitor.request("GET", "/", allow_redirects=False) as response,
    ):
        assert (response.status, response.headers["Location"]) == (303, "/login-here")


async def test_callback_of_another_user_is_rejected(framework: str, emulator: Emulator, state: Any) -> None:
    async with serving(framework, emulator, state, identify=by_header) as url, Visitor(url) as browser:
        back = await emulator.authorize(await browser.start_browser_sign_in(headers=HEADERS["ada"]))
        callback = back.removeprefix(url)
        assert "has not started a sign-in" in await browser.get(callback, headers=HEADERS["eve"])
        assert "Signed in as" in await browser.get(callback, headers=HEADERS["ada"])


async def test_errors_of_identify_are_those_of_the_application(framework: str, emulator: Emulator, state: Any) -> None:
    for wrong in (lambda _: 42, lambda _: 1 / 0):
        async with serving(framework, emulator, state, identify=wrong) as url, Visitor(url) as ada:
            await ada.get()
            assert ada.status == 500
            assert "Twilio" not in ada.text


async def test_user_that_the_handler_changes_is_identified_again(emulator: Emulator, state: Any) -> None:
    async with open_site(emulator, state, "http://127.0.0.1:1/twilio", identify=lambda request: request.user) as site:
        request = FakeRequest("ada")
        await site.user(request)
        request.user = "eve"
        assert site.manager(request) is site._runner.manager("eve")


@pytest.mark.parametrize("origin", ["cross-site", "same-origin"])
async def test_callback_without_the_cookie_of_the_application_leads_to_itself_once(
    framework: str, emulator: Emulator, state: Any, origin: str
) -> None:
    async with (
        serving(framework, emulator, state, identify=by_header, login_url="/login-here") as url,
        Visitor(url) as ada,
    ):
        back = await emulator.authorize(await ada.start_browser_sign_in(headers=HEADERS["ada"]))
        callback = back.removeprefix(url)
        # A cookie with SameSite=Strict is not sent when another site leads here.
        async with ada.request("GET", callback, headers={"Sec-Fetch-Site": origin}, allow_redirects=False) as response:
            ada.text = await response.text()
            assert (response.status, response.headers.get("Location")) == (
                (200, None) if origin == "cross-site" else (303, "/login-here")
            )
        if origin == "cross-site":
            assert unquote(ada.leads_to) == unquote(back)
            assert "Signed in as" in await ada.get(callback, headers=HEADERS["ada"])


class FakeRequest:
    """A request with what `SignInSite.user` and `manager` need."""

    def __init__(self, user: Any = None) -> None:
        self.cookies: dict[str, str] = {}
        self.user = user


async def test_manager_is_that_of_the_user(emulator: Emulator, state: Any) -> None:
    async with open_site(
        emulator, state, "http://127.0.0.1:1/twilio", identify=lambda request: request.user, clock=emulator.clock
    ) as site:
        request = FakeRequest("ada")
        assert site.manager(request) is site.manager(request)
        with pytest.raises(LoginRequired):
            await site.manager(request).token()
        with pytest.raises(LoginRequired, match="no user is signed in"):
            site.manager(FakeRequest())
        assert await site.user(request) is None


async def test_manager_with_asynchronous_identify_needs_user_first(emulator: Emulator, state: Any) -> None:
    async def identify(request: FakeRequest) -> str | None:
        return request.user

    async with open_site(emulator, state, "http://127.0.0.1:1/twilio", identify=identify) as site:
        request = FakeRequest("ada")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(ConfigurationError, match=r"await site\.user\(request\) before"):
                site.manager(request)
            gc.collect()
        await site.user(request)
        with pytest.raises(LoginRequired):
            await site.manager(request).token()


@pytest.mark.parametrize("user", ["", 7, b"ada", ["ada"]])
async def test_identify_that_returns_no_text_is_an_error(emulator: Emulator, state: Any, user: Any) -> None:
    async with open_site(emulator, state, "http://127.0.0.1:1/twilio", identify=lambda _: user) as site:
        with pytest.raises(ConfigurationError, match="identify must return the user as a text"):
            await site.user(FakeRequest())
        with pytest.raises(ConfigurationError, match="identify must return the user as a text"):
            site.manager(FakeRequest())
