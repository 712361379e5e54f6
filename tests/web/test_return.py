"""`require_sign_in`: it sends a browser through the site and back to the page where it was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.web_site import Visitor, approve

pytestmark = pytest.mark.asyncio

PAGE = {"Accept": "text/html"}


def private(visitor: Visitor, query: str = "") -> str:
    """The URL of a page of the host application that needs a sign-in."""
    return visitor.url.removesuffix("/twilio") + "/private/twilio" + query


async def test_browser_returns_after_a_sign_in_with_a_code(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    async with ada.http.get(private(ada, "?a=1&b=%2F"), headers=PAGE) as response:
        assert str(response.url).startswith(f"{ada.url}/?next=")
        ada.text = await response.text()
    next_ = "/private/twilio?a=1&b=%2F"
    await ada.submit("/connect", data={"next": next_})
    code = ada.code
    await approve(emulator, code)
    await ada.wait_for("private page of Ada Example")
    assert "Signed in as" in await ada.get(), "a later visit shows the page of the site"
    async with ada.http.get(private(ada), headers=PAGE) as response:
        assert await response.text() == "private page of Ada Example"


async def test_page_keeps_the_path_to_return_to(new_visitor: Any) -> None:
    ada = new_visitor()
    assert '<input type="hidden" name="next" value="/private/twilio?a=1&amp;b=2">' in await ada.get(
        "/?next=%2Fprivate%2Ftwilio%3Fa%3D1%26b%3D2"
    )


async def test_browser_returns_after_a_sign_in_in_the_browser(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    back = await emulator.authorize(await ada.start_browser_sign_in("/private/twilio"))
    assert await ada.get(back.removeprefix(ada.url)) == "private page of Ada Example"


async def test_path_is_kept_when_a_sign_in_is_repeated(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    await ada.get()
    await ada.submit("/connect", data={"next": "/private/twilio"})
    await emulator.deny(ada.code)
    emulator.clock.advance(6)
    assert 'name="next" value="/private/twilio"' in await ada.wait_for("You denied the sign-in")


async def test_signed_in_browser_returns_at_once(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    assert await ada.get("/?next=/private/twilio") == "private page of Ada Example"


@pytest.mark.parametrize("next_", ["https://evil.example/", "//evil.example", "/\\evil.example", "/\t/evil.example"])
async def test_browser_is_not_sent_to_another_site(new_visitor: Any, emulator: Any, next_: str) -> None:
    ada = new_visitor()
    assert 'name="next"' not in await ada.get("/", params={"next": next_})
    await ada.submit("/connect", data={"next": next_})
    await approve(emulator, ada.code)
    await ada.wait_for("Signed in as")
    async with ada.request("GET", "/", params={"next": next_}, allow_redirects=False) as response:
        assert response.status == 200


async def test_client_that_loads_no_page_gets_401(new_visitor: Any) -> None:
    ada = new_visitor()
    for headers in ({}, {"Accept": "application/json"}, PAGE | {"Sec-Fetch-Mode": "cors"}):
        async with ada.http.get(private(ada), headers=headers, allow_redirects=False) as response:
            assert response.status == 401
            assert f"Sign in first: {ada.url}/" in await response.text()


async def test_user_stays_signed_in_while_twilio_cannot_be_reached(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    whoami = ada.url.removesuffix("/twilio") + "/whoami/twilio"
    async with ada.http.get(whoami) as response:
        user = await response.text()
    assert len(user) == 64
    emulator.clock.advance(24 * 3600)
    emulator.faults.on("refresh").respond(503).times(2)
    async with ada.http.get(whoami) as response:
        assert await response.text() == user
