"""The second button: sign-in in the browser; its callback is valid once, and only for the same browser."""

import re

import pytest

from tests.helpers.web_site import load

pytestmark = pytest.mark.asyncio


async def start_code_login(visitor):
    """Press the second button and return the URL to which the browser is sent."""
    await visitor.get()
    async with visitor.http.post("/login", data={"csrf": visitor.csrf}, allow_redirects=False) as response:
        assert response.status == 303, "307 would send the form to Twilio"
        return response.headers["Location"]


async def open_callback(visitor, url):
    """Follow the redirect from Twilio to the example."""
    return await visitor.get(url.removeprefix(visitor.url))


async def test_code_login_signs_in_and_sign_out_revokes(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await start_code_login(ada))
    async with ada.http.get(back.removeprefix(ada.url), allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/"), "the code does not stay in the URL"
    assert "<strong>Ada Example</strong>" in await ada.get()
    await ada.submit("/sign-out")
    assert [entry.status for entry in emulator.requests if "revoke" in entry.path] == [200]


async def test_callback_can_be_used_once(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await start_code_login(ada))
    before = ada.cookie
    await open_callback(ada, back)
    for cookie in (ada.cookie, before):
        ada.cookie = cookie
        assert "has not started a sign-in" in await open_callback(ada, back)
        assert ada.status == 400
    assert len([entry for entry in emulator.requests if entry.path == "/v1/token"]) == 1


async def test_callback_in_another_browser_is_rejected(new_visitor, emulator):
    ada, eve = new_visitor(), new_visitor()
    back = await emulator.authorize(await start_code_login(ada))
    for _ in range(2):
        assert "has not started a sign-in" in await open_callback(eve, back)
        await start_code_login(eve)
    await open_callback(ada, back)
    assert "Signed in as" in ada.text


async def test_callback_with_a_wrong_state_does_not_consume_the_right_one(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await start_code_login(ada))
    for wrong in (re.sub("state=[^&]+", "state=x", back), re.sub("state=[^&]+", "", back), "/callback"):
        await open_callback(ada, wrong)
        assert ada.status == 400
    await open_callback(ada, back)
    assert "Signed in as" in ada.text


async def test_second_callback_after_sign_in_is_rejected(new_visitor, emulator):
    ada = new_visitor()
    first, second = [await start_code_login(ada), await start_code_login(ada)]
    await open_callback(ada, await emulator.authorize(first))
    assert "Signed in as" in ada.text
    await open_callback(ada, await emulator.authorize(second))
    assert ada.status == 400, "it belongs to the visitor before the sign-in"
    assert "Signed in as" in await ada.get()


async def test_cookie_set_by_an_attacker_is_not_signed_in_by_the_callback(new_visitor, emulator):
    ada, eve = new_visitor(), new_visitor()
    away = await start_code_login(eve)
    ada.cookie = eve.cookie
    await open_callback(ada, await emulator.authorize(away))
    assert "Signed in as" in ada.text
    assert "Connect with a code" in await eve.get()


async def test_denied_request_shows_the_error(new_visitor, emulator):
    ada = new_visitor()
    await open_callback(ada, await emulator.authorize(await start_code_login(ada), approve=False))
    assert ada.status == 400
    assert "access_denied" in ada.text
    assert "Connect with a code" in await ada.get()


async def test_error_in_the_callback_is_escaped(new_visitor, emulator):
    ada = new_visitor()
    back = await emulator.authorize(await start_code_login(ada), approve=False)
    await open_callback(ada, re.sub("error=[^&]+", "error=<script>alert(1)</script>", back))
    assert "&lt;script&gt;" in ada.text
    assert "<script>alert" not in ada.text


async def test_failed_code_exchange_is_reported_and_can_be_repeated(new_visitor, emulator):
    ada = new_visitor()
    emulator.faults.on("code").respond(503)
    await open_callback(ada, await emulator.authorize(await start_code_login(ada)))
    assert ada.status == 503
    assert "Please try again" in ada.text
    await open_callback(ada, await emulator.authorize(await start_code_login(ada)))
    assert "Signed in as" in ada.text


async def test_oldest_redirect_is_dropped_when_there_are_too_many(new_visitor, emulator, monkeypatch):
    monkeypatch.setattr(load("_web_backend"), "MAX_REDIRECTED", 2)
    ada = new_visitor()
    away = [await start_code_login(ada) for _ in range(3)]
    await open_callback(ada, await emulator.authorize(away[0]))
    assert ada.status == 400
    await open_callback(ada, await emulator.authorize(away[1]))
    assert "Signed in as" in ada.text
