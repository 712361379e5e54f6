"""The second button: to the server's own page and back, once, and for the browser that was sent there."""

import re

import pytest

from tests.helpers.web_site import load

pytestmark = pytest.mark.asyncio


async def sent_away(person):
    """Press the button; where the browser is sent."""
    await person.look()
    async with person.http.post("/login", data={"csrf": person.csrf}, allow_redirects=False) as response:
        assert response.status == 303, "never 307, which would send the form along"
        return response.headers["Location"]


async def came_back(person, url):
    """Follow the server's redirect to us."""
    return await person.look(url.removeprefix(person.url))


async def test_to_twilio_and_back(new_person, emulator):
    ada = new_person()
    back = await emulator.authorize(await sent_away(ada))
    async with ada.http.get(back.removeprefix(ada.url), allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/"), "the code leaves the address at once"
    assert "<strong>Ada Example</strong>" in await ada.look()
    await ada.press("/sign-out")
    assert [entry.status for entry in emulator.requests if "revoke" in entry.path] == [200]


async def test_a_callback_is_good_once(new_person, emulator):
    ada = new_person()
    back = await emulator.authorize(await sent_away(ada))
    before = ada.cookie
    await came_back(ada, back)
    for cookie in (ada.cookie, before):
        ada.cookie = cookie
        assert "has not begun a sign-in" in await came_back(ada, back)
        assert ada.status == 400
    assert len([entry for entry in emulator.requests if entry.path == "/v1/token"]) == 1


async def test_another_browser_cannot_use_the_callback(new_person, emulator):
    ada, eve = new_person(), new_person()
    back = await emulator.authorize(await sent_away(ada))
    for _ in range(2):
        assert "has not begun a sign-in" in await came_back(eve, back)
        await sent_away(eve)
    await came_back(ada, back)
    assert "Signed in as" in ada.text


async def test_a_wrong_state_does_not_use_up_the_right_one(new_person, emulator):
    ada = new_person()
    back = await emulator.authorize(await sent_away(ada))
    for wrong in (re.sub("state=[^&]+", "state=x", back), re.sub("state=[^&]+", "", back), "/callback"):
        await came_back(ada, wrong)
        assert ada.status == 400
    await came_back(ada, back)
    assert "Signed in as" in ada.text


async def test_two_tabs_can_be_away_at_once(new_person, emulator):
    ada = new_person()
    first, second = [await sent_away(ada), await sent_away(ada)]
    await came_back(ada, await emulator.authorize(first))
    assert "Signed in as" in ada.text
    await came_back(ada, await emulator.authorize(second))
    assert ada.status == 400, "it belongs to who she was before she signed in"
    assert "Signed in as" in await ada.look()


async def test_a_planted_cookie_is_not_signed_in_by_the_callback(new_person, emulator):
    ada, eve = new_person(), new_person()
    away = await sent_away(eve)
    ada.cookie = eve.cookie
    await came_back(ada, await emulator.authorize(away))
    assert "Signed in as" in ada.text
    assert "Connect with a code" in await eve.look()


async def test_refused(new_person, emulator):
    ada = new_person()
    await came_back(ada, await emulator.authorize(await sent_away(ada), approve=False))
    assert ada.status == 400
    assert "access_denied" in ada.text
    assert "Connect with a code" in await ada.look()


async def test_what_the_callback_brings_is_shown_as_text(new_person, emulator):
    ada = new_person()
    back = await emulator.authorize(await sent_away(ada), approve=False)
    await came_back(ada, re.sub("error=[^&]+", "error=<script>alert(1)</script>", back))
    assert "&lt;script&gt;" in ada.text
    assert "<script>alert" not in ada.text


async def test_an_exchange_that_fails(new_person, emulator):
    ada = new_person()
    emulator.faults.on("code").respond(503)
    await came_back(ada, await emulator.authorize(await sent_away(ada)))
    assert ada.status == 503
    assert "Please try again" in ada.text
    await came_back(ada, await emulator.authorize(await sent_away(ada)))
    assert "Signed in as" in ada.text


async def test_those_who_never_come_back_are_forgotten(new_person, emulator, monkeypatch):
    monkeypatch.setattr(load("_web_backend"), "MAX_REDIRECTED", 2)
    ada = new_person()
    away = [await sent_away(ada) for _ in range(3)]
    await came_back(ada, await emulator.authorize(away[0]))
    assert ada.status == 400
    await came_back(ada, await emulator.authorize(away[1]))
    assert "Signed in as" in ada.text
