"""Sign-out: here, in another process, while a code waits for approval, and while Twilio cannot be reached."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.event_loop import settle
from tests.helpers.web_site import Visitor, approve, clock_of, serving

pytestmark = pytest.mark.asyncio

START = "Connect your Twilio account"


def by_header(request: Any) -> str | None:
    user: str | None = request.headers.get("X-User")
    return user


async def test_code_that_waits_is_cancelled_by_a_sign_in_in_the_browser(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    code = await ada.connect()
    before = ada.cookie
    back = await emulator.authorize(await ada.start_browser_sign_in_from_page())
    await ada.get(back.removeprefix(ada.url))
    assert "Signed in as" in ada.text
    await emulator.approve(code)
    clock_of(emulator).advance(60)
    await settle()
    ada.cookie = before
    assert "The sign-in was cancelled" in await ada.get()
    assert emulator.requests.to("poll") == []


async def test_code_that_waits_is_cancelled_by_a_sign_out(framework: str, emulator: Any, state: Any) -> None:
    async with serving(framework, emulator, state, identify=by_header) as url, Visitor(url) as ada:
        ada.http.headers["X-User"] = "ada"
        code = await ada.connect()
        csrf = ada.csrf
        async with ada.request("POST", "/sign-out", data={"csrf": csrf}) as response:
            assert response.status == 200
        await emulator.approve(code)
        for _ in range(5):
            clock_of(emulator).advance(6)
            await settle()
        assert START in await ada.get()


async def test_sign_out_in_one_process_is_noticed_in_another(framework: str, emulator: Any, state: Any) -> None:
    public = "http://127.0.0.1:1/twilio"  # of a proxy before both
    async with (
        serving(framework, emulator, state, url=public) as first,
        serving(framework, emulator, state, url=public) as second,
        Visitor(first) as ada,
        Visitor(second) as eve,
    ):
        await ada.get()
        async with ada.request("POST", "/connect", data={"csrf": ada.csrf}, allow_redirects=False):
            await ada.get()
        await approve(emulator, ada.code)
        await ada.wait_for("Signed in as")
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in ada.cookies.items())}
        assert "Signed in as" in await eve.get(headers=cookies)
        async with ada.request("POST", "/sign-out", data={"csrf": ada.csrf}, allow_redirects=False) as response:
            assert response.status == 303
        assert START in await eve.get(headers=cookies)
        host = second.removesuffix("/twilio")
        async with eve.http.get(f"{host}/whoami/twilio", headers=cookies) as response:
            assert await response.text() == "None"


async def test_sign_out_while_twilio_cannot_be_reached_says_so(new_visitor: Any, emulator: Any) -> None:
    ada = new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    emulator.faults.on("revoke").respond(503)
    await ada.submit("/sign-out")
    assert ada.status == 503
    assert "You are still signed in: Twilio did not confirm the sign-out." in ada.text
    await ada.get()
    await ada.submit("/sign-out")
    assert START in ada.text
