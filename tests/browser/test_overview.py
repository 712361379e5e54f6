"""The emulator's overview page in a browser: it updates itself, and it is accessible."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from importlib import resources
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from tests.helpers.browser import NewPage
from tests.helpers.emulator_caller import CONTROL_TOKEN, Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(clock=VirtualClock(auto=False), control_token=CONTROL_TOKEN) as emulator:
        yield emulator


@pytest_asyncio.fixture(loop_scope="module")
async def caller(emulator: Emulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(emulator, http)


async def open_overview(new_page: NewPage, **options: Any) -> Page:
    page = await new_page(**options)
    await page.goto("/")
    await page.get_by_label("Control token").fill(CONTROL_TOKEN)
    await page.get_by_role("button", name="Show").click()
    await page.get_by_role("heading", name="Codes that wait for a user").wait_for()
    return page


async def test_page_updates_itself_and_its_buttons_work(caller: Caller, new_page: NewPage) -> None:
    page = await open_overview(new_page)
    codes = page.get_by_role("region", name="Codes that wait")
    await codes.get_by_text("No code waits.").wait_for()
    code = await caller.device_code()
    await codes.get_by_text(code["user_code"]).wait_for()
    await page.get_by_text("This page updates itself.").wait_for()
    await codes.get_by_role("button", name="Approve").click()
    await codes.get_by_text("No code waits.").wait_for()
    assert (await caller.poll(code["device_code"]))[0] == 201
    await page.get_by_role("region", name="Latest requests").get_by_text("poll").wait_for()


async def test_section_with_the_focus_is_not_replaced(caller: Caller, new_page: NewPage) -> None:
    first = await caller.device_code()
    page = await open_overview(new_page)
    codes = page.get_by_role("region", name="Codes that wait")
    await codes.get_by_role("button", name="Deny").focus()
    second = await caller.device_code()
    await page.get_by_role("region", name="Latest requests").get_by_text("device_code").nth(1).wait_for()
    assert await codes.get_by_text(second["user_code"]).count() == 0
    await page.keyboard.press("Enter")
    await codes.get_by_text(second["user_code"]).wait_for()
    assert (await caller.poll(first["device_code"]))[1]["error"] == "access_denied"


async def test_page_says_that_the_emulator_has_stopped(emulator: Emulator, new_page: NewPage) -> None:
    page = await open_overview(new_page)
    await page.route("**/*", lambda route: route.abort())
    await page.get_by_text("The emulator does not respond. It may have stopped.").wait_for()


async def test_page_works_without_scripts(caller: Caller, new_page: NewPage) -> None:
    page = await open_overview(new_page, java_script_enabled=False)
    code = await caller.device_code()
    await page.get_by_role("link", name="Load the page again").click()
    await page.get_by_role("button", name="Deny").click()
    await page.get_by_text("No code waits.").wait_for()
    assert (await caller.poll(code["device_code"]))[1]["error"] == "access_denied"


async def test_page_is_accessible_and_fits_in_light_and_dark_mode(caller: Caller, new_page: NewPage) -> None:
    script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    page = await new_page(bypass_csp=True, reduced_motion="reduce")
    caller.emulator.add_user("Grace", "Other", "grace@example.com")
    caller.emulator.faults.on("refresh").times(2).respond(503)
    await caller.sign_in("openid", "email")
    await caller.device_code("openid", "profile", "email", "messages.read")
    for name in ("closed", "open"):
        await page.goto("/")
        if name == "open":
            await page.get_by_label("Control token").fill(CONTROL_TOKEN)
            await page.get_by_role("button", name="Show").click()
            await page.get_by_role("heading", name="Latest requests").wait_for()
        await page.evaluate(script)
        for scheme, (width, height) in itertools.product(("light", "dark"), ((320, 568), (1280, 800))):
            where = f"{name}-{scheme}-{width}"
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": height})
            found = await page.evaluate("async () => (await axe.run()).violations")
            assert [(rule["id"], rule["impact"], where) for rule in found] == []
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, where
