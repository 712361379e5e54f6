"""Sign-in in the same browser: its callback is valid once, and only for the browser that started it."""

import asyncio
import base64
import re

import pytest
from yarl import URL

from tests.helpers.web_site import Visitor, clock_of, cookie_name, serving, stored
from twilio_oauth_async import IdTokenError, LoginRequired, StoreError, TokenManager
from twilio_oauth_async.stores.file import FileTokenStore
from twilio_oauth_async.web.cookies import REQUEST_AGE, REQUEST_SLOTS

pytestmark = pytest.mark.asyncio


async def open_callback(visitor, url):
    """Follow the redirect from Twilio to the example."""
    return await visitor.get(url.removeprefix(visitor.url))


async def test_code_login_signs_in_and_sign_out_revokes(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in())
    async with ada.request("GET", back.removeprefix(ada.url), allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/twilio/"), "the code does not stay in the URL"
    assert "Signed in as Ada Example." in await ada.get()
    await ada.submit("/sign-out")
    assert [entry.status for entry in emulator.requests if "revoke" in entry.path] == [200]


async def test_callback_can_be_used_once(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in())
    before = ada.cookie
    await open_callback(ada, back)
    for cookie in (ada.cookie, before):
        ada.cookie = cookie
        assert "has not started a sign-in" in await open_callback(ada, back)
        assert ada.status == 400
    assert len([entry for entry in emulator.requests if entry.path == "/v1/token"]) == 1


async def test_callback_in_another_browser_is_rejected(new_visitor, emulator):
    ada, eve = new_visitor(), new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in())
    for _ in range(2):
        assert "has not started a sign-in" in await open_callback(eve, back)
        await eve.start_browser_sign_in()
    await open_callback(ada, back)
    assert "Signed in as" in ada.text


async def test_callback_with_a_wrong_state_does_not_consume_the_right_one(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in())
    for wrong in (re.sub("state=[^&]+", "state=x", back), re.sub("state=[^&]+", "", back), "/callback"):
        await open_callback(ada, wrong)
        assert ada.status == 400
    await open_callback(ada, back)
    assert "Signed in as" in ada.text


async def test_second_callback_after_sign_in_is_rejected(new_visitor, emulator):
    ada = new_visitor()
    first, second = [await ada.start_browser_sign_in(), await ada.start_browser_sign_in()]
    await open_callback(ada, await emulator.authorize(first))
    assert "Signed in as" in ada.text
    await open_callback(ada, await emulator.authorize(second))
    assert ada.status == 400, "it belongs to the visitor before the sign-in"
    assert "Signed in as" in await ada.get()


async def test_cookie_set_by_an_attacker_is_not_signed_in_by_the_callback(new_visitor, emulator):
    ada, eve = new_visitor(), new_visitor()
    away = await eve.start_browser_sign_in()
    ada.http.cookie_jar.update_cookies(eve.cookies, URL(ada.url).origin())
    await open_callback(ada, await emulator.authorize(away))
    assert "Signed in as" in ada.text
    assert "Connect your Twilio account" in await eve.get()


async def test_denied_request_shows_that_the_user_denied(new_visitor, emulator):
    ada = new_visitor()
    await open_callback(ada, await emulator.authorize(await ada.start_browser_sign_in(), approve=False))
    assert "You denied the sign-in at Twilio" in ada.text
    assert "Use another device" in ada.text
    assert "Connect your Twilio account" in await ada.get()


async def test_error_in_the_callback_is_escaped(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in(), approve=False)
    await open_callback(ada, re.sub("error=[^&]+", "error=<script>alert(1)</script>", back))
    assert "&lt;script&gt;" in ada.text
    assert "<script>alert" not in ada.text


async def test_failed_code_exchange_is_reported_and_can_be_repeated(new_visitor, emulator):
    ada = new_visitor()
    emulator.faults.on("code").respond(503)
    await open_callback(ada, await emulator.authorize(await ada.start_browser_sign_in()))
    assert ada.status == 503
    assert "Try again in a moment" in ada.text
    await open_callback(ada, await emulator.authorize(await ada.start_browser_sign_in()))
    assert "Signed in as" in ada.text


async def test_more_sign_ins_than_cookies_replace_the_oldest(new_visitor, emulator):
    ada = new_visitor()
    away = []
    for _ in range(REQUEST_SLOTS + 1):
        away.append(await ada.start_browser_sign_in())
        clock_of(emulator).advance(30)  # also because of the limit of sign-ins in a minute
    await open_callback(ada, await emulator.authorize(away[0]))
    assert ada.status == 400
    await open_callback(ada, await emulator.authorize(away[1]))
    assert "Signed in as" in ada.text


async def test_callback_that_comes_too_late_is_rejected(new_visitor, emulator):
    ada = new_visitor()
    away = await ada.start_browser_sign_in()
    clock_of(emulator).advance(REQUEST_AGE + 1)
    await open_callback(ada, await emulator.authorize(away))
    assert ada.status == 400


async def test_sign_in_started_in_one_process_is_completed_in_another(framework, emulator, state):
    public = "http://127.0.0.1:1/twilio"  # of a proxy before both
    async with (
        serving(framework, emulator, state, url=public) as first,
        serving(framework, emulator, state, url=public) as second,
        Visitor(first) as ada,
    ):
        back = await emulator.authorize(await ada.start_browser_sign_in())
        ada.url = second  # a browser sends cookies to all ports
        async with ada.request("GET", back.removeprefix(public), allow_redirects=False) as response:
            assert response.status == 303
        assert "Signed in as Ada Example" in await ada.get()


async def test_request_cookie_of_another_site_is_not_accepted(framework, emulator, state):
    async with (
        serving(framework, emulator, state) as url,
        serving(framework, emulator, state, mount="/other") as other,
        Visitor(url) as ada,
    ):
        back = await emulator.authorize(await ada.start_browser_sign_in())
        renamed = {name.replace(cookie_name(url), cookie_name(other)): value for name, value in ada.cookies.items()}
        ada.http.cookie_jar.update_cookies(renamed, URL(url).origin())
        callback, ada.url = back.removeprefix(url), other
        assert "has not started a sign-in" in await ada.get(callback)
        ada.url = url
        assert "Signed in as" in await ada.get(callback)


async def test_token_of_a_callback_that_cannot_be_saved_at_once_is_in_use_and_saved_later(
    new_visitor, emulator, monkeypatch, state
):
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in())
    save, failures = FileTokenStore.save, [StoreError("disk full")]

    async def fail_once(self, *args, **options):
        if failures:
            raise failures.pop()
        await save(self, *args, **options)

    monkeypatch.setattr(FileTokenStore, "save", fail_once)
    await open_callback(ada, back)
    assert "Signed in as Ada Example" in ada.text
    assert [entry for entry in emulator.requests if "revoke" in entry.path] == []
    clock_of(emulator).advance(120)
    await ada.get()
    async with asyncio.timeout(20):
        while "access_token" not in stored(state, "tokens.db"):
            clock_of(emulator).advance(10)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", [LoginRequired("signed out meanwhile"), IdTokenError("another user")])
async def test_token_of_a_callback_that_is_not_accepted_is_revoked(new_visitor, emulator, monkeypatch, error):
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in())

    async def adopt(*_, **__):
        raise error

    monkeypatch.setattr(TokenManager, "adopt", adopt)
    await open_callback(ada, back)
    assert ada.status == 503
    assert [entry.status for entry in emulator.requests if "revoke" in entry.path] == [200]


async def test_cookie_of_a_browser_sign_in_hides_what_it_contains(new_visitor, emulator):
    ada = new_visitor()
    away = await ada.start_browser_sign_in()
    [value] = [value for name, value in ada.cookies.items() if name.endswith("-0")]
    state = re.search("state=([^&]+)", away)[1]
    raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    assert state.encode() not in raw
    assert b"code_verifier" not in raw
    for altered in (value[:20] + ("A" if value[20] != "A" else "B") + value[21:], value[:-8], "", "é", "A" * 2000):
        name = next(name for name in ada.cookies if name.endswith("-0"))
        ada.http.cookie_jar.update_cookies({name: altered}, URL(ada.url).origin())
        await open_callback(ada, await emulator.authorize(away))
        assert ada.status == 400
