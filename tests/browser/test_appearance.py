"""How the emulator's pages look: accessible in all sizes and colours, with the main actions in sight."""

from __future__ import annotations

import itertools
from importlib import resources
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.authorization_code import url
from tests.helpers.browser import NewPage, missing
from tests.helpers.emulator_caller import Caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACTIVATE = "/v1/oauth2/device/activate"
SIZES = ((320, 568), (375, 700), (1280, 800))


async def visit_pages(caller: Caller, page: Page) -> AsyncIterator[str]:
    """Visit each page once, and return its name; the emulator has one user, and at the end several."""
    code, denied, expired = [await caller.device_code("openid", "profile", "email") for _ in range(3)]
    await caller.emulator.expire(expired["user_code"])
    await page.goto(ACTIVATE)
    yield "enter"
    await page.get_by_label("Code").fill(expired["user_code"])
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("alert").wait_for()
    yield "expired"
    await page.goto("/" + code["verification_uri_complete"])
    yield "prefilled"
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("heading", name="Allow Kitchen Display?").wait_for()
    yield "consent"
    await page.get_by_role("button", name="Approve").click()
    await page.get_by_role("heading", name="Approved").wait_for()
    yield "approved"
    await page.goto("/v1/oauth2/device/consent/denied")
    yield "denied"
    await page.goto(url(caller))
    yield "authorize"
    await page.goto("/v2/authorize")
    yield "error"
    await page.goto("/nowhere")
    yield "missing"
    caller.emulator.add_user("Grace", "Other", "grace@example.com")
    await page.goto("/" + denied["verification_uri_complete"])
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_label("Sign in as").wait_for()
    yield "users"


async def test_every_page_is_accessible_in_light_and_dark_mode_at_three_sizes(
    caller: Caller, new_page: NewPage
) -> None:
    if find_spec("axe_playwright_python") is None:
        missing("axe-playwright-python, which carries axe-core, is not installed (the `browser` dependency group)")
    script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    # The Content-Security-Policy of the pages would block axe. All other tests run with the policy.
    page = await new_page(bypass_csp=True, reduced_motion="reduce")
    async for name in visit_pages(caller, page):
        await page.evaluate(script)
        brightness: dict[str, int] = {}
        for scheme, (width, height) in itertools.product(("light", "dark"), SIZES):
            where = f"{name}-{scheme}-{width}"
            await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await page.set_viewport_size({"width": width, "height": height})
            found = await page.evaluate("async () => (await axe.run()).violations")
            assert [(rule["id"], rule["impact"], where) for rule in found] == []
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, where
            colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness[scheme] = sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
        assert brightness["dark"] < 200 < 600 < brightness["light"], name


async def test_buttons_and_links_are_above_the_fold(caller: Caller, new_page: NewPage) -> None:
    page = await new_page()
    async for name in visit_pages(caller, page):
        for width, height in SIZES[1:]:
            await page.set_viewport_size({"width": width, "height": height})
            for button in await page.locator("button:visible, .button").all():
                box = await button.bounding_box()
                assert box is not None
                assert box["height"] >= 44, "too small for touch"
                assert box["y"] + box["height"] <= height, f"{name}-{width}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_approving_and_denying_are_equally_prominent(caller: Caller, new_page: NewPage, scheme: str) -> None:
    """RFC 10027 6.1.14."""
    page = await new_page(color_scheme=scheme)
    look = """button => {
        const style = getComputedStyle(button);
        const names = ["color", "backgroundColor", "border", "fontSize", "fontWeight", "opacity", "textDecoration"];
        return [button.offsetWidth, button.offsetHeight, ...names.map(name => style[name])];
    }"""
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await page.goto(url(caller))
        looks: list[Any] = [await page.get_by_role("button", name=name).evaluate(look) for name in ("Approve", "Deny")]
        assert looks[0] == looks[1]


async def test_code_is_large_grouped_and_centred(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code()
    page = await new_page()
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        await page.goto("/" + code["verification_uri_complete"])
        for selector in ("#user_code", ".user-code"):
            shown = page.locator(selector)
            style = await shown.evaluate(
                "e => [parseFloat(getComputedStyle(e).fontSize), getComputedStyle(e).textAlign]"
            )
            assert style[0] >= 28
            assert style[1] == "center"
            assert await shown.evaluate("e => e.scrollWidth <= e.clientWidth"), "the code fits into its box"
            if selector == "#user_code":
                assert await shown.input_value() == code["user_code"]
                await page.get_by_role("button", name="Continue").click()
        assert (
            await page.get_by_role("group", name="It runs on the device that shows").inner_text() == code["user_code"]
        )
