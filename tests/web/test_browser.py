"""The pages of the site in a real browser; users approve on the emulator's pages."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest
import pytest_asyncio

from tests.helpers.browser import missing
from tests.helpers.web_site import FRAMEWORKS, MOUNT, clock_of, serving
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

NewBrowser = Callable[..., Awaitable["BrowserContext"]]


@pytest_asyncio.fixture(loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(clock=VirtualClock(auto=False)) as emulator:
        yield emulator


@pytest_asyncio.fixture(loop_scope="module")
async def new_browser(browser: Browser, emulator: Emulator, framework: str, state: Path) -> AsyncIterator[NewBrowser]:
    """Return a function that opens a new browser context; its arguments are those of Playwright's contexts.

    The test fails if a page sends a request to another machine, violates its Content-Security-Policy or logs an error.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def on_request(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:image/svg+xml", "data:,")):
            problems.append(f"a request to {request.url}")

    def on_console(message: ConsoleMessage) -> None:
        # The emulator has no icon, and one test requests an invalid callback.
        if message.type == "error" and not message.location["url"].endswith(("/favicon.ico", "/callback", "/connect")):
            problems.append(f"{message.text} {message.location['url']}")

    async with serving(framework, emulator, state) as url:

        async def open_browser(**options: Any) -> BrowserContext:
            context = await browser.new_context(base_url=url + "/", **options)
            context.set_default_timeout(20_000)
            context.on("request", on_request)
            context.on("console", on_console)
            contexts.append(context)
            return context

        yield open_browser
        for context in contexts:
            await context.close()
    assert problems == []


once = pytest.mark.parametrize("framework", FRAMEWORKS[:1])
"""Run with one framework only: the pages are the same."""


async def shows(page: Page, heading: str) -> None:
    """Wait until the page has this heading."""
    await page.get_by_role("heading", name=heading, exact=True).wait_for()


async def start(page: Page) -> str:
    """Start a sign-in with a code and return the user code."""
    await page.goto(".")
    await page.get_by_role("button", name="Use another device").click()
    await shows(page, "Approve the sign-in")
    return await page.locator(".user-code").inner_text()


async def approve(context: BrowserContext, page: Page, decision: str = "Approve") -> None:
    """Follow the link, and approve or deny on the emulator's page."""
    async with context.expect_page() as opened:
        await page.get_by_role("link", name="Open Twilio").click()
    consent = await opened.value
    await consent.get_by_role("button", name="Continue").click()
    await consent.get_by_role("button", name=decision).click()
    await consent.get_by_role("heading", name="Approved" if decision == "Approve" else "Denied").wait_for()
    await consent.close()


async def test_code_login_with_two_tabs_and_a_reload(new_browser: NewBrowser, emulator: Emulator) -> None:
    context = await new_browser()
    first = await context.new_page()
    code = await start(first)
    await first.reload()
    second = await context.new_page()
    await second.goto(".")
    assert await second.locator(".user-code").inner_text() == await first.locator(".user-code").inner_text() == code
    await approve(context, first)
    clock_of(emulator).advance(6)
    for page in (first, second):
        await shows(page, "Signed in")  # by the event stream, without a reload
        assert "Signed in as Ada Example" in await page.get_by_role("status").inner_text()
    await second.get_by_role("button", name="Sign out").click()
    await shows(second, "Connect your Twilio account")
    await first.reload()
    await shows(first, "Connect your Twilio account")


async def test_denied_sign_in_is_shown(new_browser: NewBrowser, emulator: Emulator) -> None:
    context = await new_browser()
    page = await context.new_page()
    await start(page)
    await approve(context, page, "Deny")
    clock_of(emulator).advance(6)
    await shows(page, "Sign-in denied")


async def test_cancel_is_shown_in_the_other_tab(new_browser: NewBrowser) -> None:
    context = await new_browser()
    first, second = await context.new_page(), await context.new_page()
    await start(first)
    await second.goto(".")
    await first.get_by_role("button", name="Cancel").click()
    for page in (first, second):
        await shows(page, "Sign-in cancelled")


async def expire(emulator: Emulator, page: Page) -> None:
    """Let the code of `page` expire. After so long the pool asks for its lease first, and waits a few seconds."""
    clock_of(emulator).advance(300)
    while not await page.get_by_role("heading", name="The code has expired", exact=True).is_visible():
        clock_of(emulator).advance(1)
        await page.wait_for_timeout(50)


async def test_expired_sign_in_can_be_repeated(new_browser: NewBrowser, emulator: Emulator) -> None:
    context = await new_browser()
    page = await context.new_page()
    code = await start(page)
    await expire(emulator, page)
    await page.get_by_role("button", name="Use another device").click()
    await shows(page, "Approve the sign-in")
    assert await page.locator(".user-code").inner_text() != code
    await approve(context, page)
    clock_of(emulator).advance(6)
    await shows(page, "Signed in")


async def test_first_button_signs_in_at_twilio_and_returns(new_browser: NewBrowser) -> None:
    context = await new_browser()
    page = await context.new_page()
    await page.goto(".")
    await page.get_by_role("button", name="Sign in with this browser").click()
    await page.get_by_role("button", name="Approve").click()
    await shows(page, "Signed in")
    assert page.url.endswith(f"{MOUNT}/"), "the code does not stay in the URL"


@once
async def test_twilio_may_lead_to_the_sign_in_of_a_company(new_browser: NewBrowser, emulator: Emulator) -> None:
    async with Emulator() as company:  # another origin
        page = await (await new_browser()).new_page()

        async def lead_on(route: Route) -> None:
            await route.fulfill(status=302, headers={"Location": company.activation_url})

        await page.route(f"{emulator.base_url}/**", lead_on)
        await page.goto(".")
        await page.get_by_role("button", name="Sign in with this browser").click()
        await shows(page, "Connect a device")
        assert page.url == company.activation_url


@once
async def test_failed_poll_is_shown(new_browser: NewBrowser, emulator: Emulator) -> None:
    page = await (await new_browser()).new_page()
    await start(page)
    emulator.faults.on("poll").respond(503)
    clock_of(emulator).advance(6)
    await page.get_by_text("Twilio cannot be reached at the moment").wait_for()


@once
async def test_page_can_be_used_with_the_keyboard(new_browser: NewBrowser) -> None:
    page = await (await new_browser()).new_page()
    await page.goto(".")
    await page.keyboard.press("Tab")
    focused = page.locator(":focus-visible")
    assert await focused.inner_text() == "Sign in with this browser"
    await page.keyboard.press("Tab")
    assert await focused.inner_text() == "Use another device"
    assert await focused.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await shows(page, "Approve the sign-in")
    await page.keyboard.press("Tab")
    assert await focused.inner_text() == "Open Twilio"
    await page.keyboard.press("Tab")
    assert await focused.inner_text() == "Cancel"
    await page.keyboard.press("Enter")
    await shows(page, "Sign-in cancelled")


@once
async def test_page_works_without_scripts(new_browser: NewBrowser, emulator: Emulator) -> None:
    context = await new_browser(java_script_enabled=False)
    page = await context.new_page()
    await start(page)
    await approve(context, page)
    clock_of(emulator).advance(6)
    await page.reload()  # it reloads itself only after five seconds
    await shows(page, "Signed in")


@once
@pytest.mark.parametrize("size", [(1280, 800), (375, 700)])
async def test_what_changes_is_visible_without_scrolling(new_browser: NewBrowser, size: tuple[int, int]) -> None:
    width, height = size
    context = await new_browser(viewport={"width": width, "height": height})
    page = await context.new_page()
    await start(page)
    visible = [
        page.get_by_role("status"),
        page.locator("[data-seconds]"),
        page.locator(".user-code"),
        page.get_by_role("link", name="Open Twilio"),
        page.get_by_role("button", name="Cancel"),
    ]
    boxes = [await element.bounding_box() for element in visible]
    assert [box is not None and box["y"] + box["height"] <= height for box in boxes] == [True] * len(visible)
    [link, cancel] = boxes[-2:]
    assert link is not None
    assert cancel is not None
    assert (link["width"], link["height"]) == (cancel["width"], cancel["height"]), "equally prominent"


@once
async def test_time_left_is_counted_down(new_browser: NewBrowser) -> None:
    page = await (await new_browser()).new_page()
    await page.clock.install()
    await start(page)
    left = page.locator("[data-seconds]")
    assert await left.inner_text() == "4:59 left"
    await page.clock.run_for(65_000)
    assert await left.inner_text() == "3:54 left"
    await page.clock.run_for(600_000)
    assert await left.inner_text() == "0:00 left"


@once
async def test_button_is_disabled_after_the_first_click(new_browser: NewBrowser) -> None:
    page = await (await new_browser()).new_page()
    await page.goto(".")
    released = asyncio.Event()

    async def hold(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await page.route("**/connect", hold)
    # In one script, because Playwright's own steps would wait for the response.
    click = "async button => { button.click(); await new Promise(done => setTimeout(done)); return button.disabled }"
    assert await page.get_by_role("button", name="Use another device").evaluate(click)
    released.set()
    await shows(page, "Approve the sign-in")


@once
async def test_hidden_tab_closes_its_event_stream(new_browser: NewBrowser, emulator: Emulator) -> None:
    page = await (await new_browser()).new_page()
    code = await start(page)
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
    hide += " document.dispatchEvent(new Event('visibilitychange')) }"
    await page.evaluate(hide, True)
    assert await page.evaluate("source.readyState") == 2
    await emulator.deny(code)
    clock_of(emulator).advance(6)
    await page.evaluate(hide, False)
    await shows(page, "Sign-in denied")


@once
async def test_every_state_of_the_page_is_accessible_in_light_and_dark_mode(
    new_browser: NewBrowser, emulator: Emulator, tmp_path: Path
) -> None:
    if find_spec("axe_playwright_python") is None:
        missing("axe-playwright-python, which carries axe-core, is not installed (the `browser` dependency group)")
    script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    # The Content-Security-Policy of the page would block axe. All other tests run with the policy.
    context = await new_browser(bypass_csp=True, has_touch=True)
    page = await context.new_page()

    async def check(state: str) -> None:
        await page.evaluate(script)
        for scheme, width in itertools.product(("light", "dark"), (320, 1280)):
            where = f"{state}-{scheme}-{width}"
            await page.set_viewport_size({"width": width, "height": 640})
            await page.emulate_media(color_scheme=cast("Literal['light', 'dark']", scheme))
            found = await page.evaluate("async () => (await axe.run()).violations")
            assert [(rule["id"], rule["impact"], where) for rule in found] == []
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, where
            for button in await page.locator("button, .button").all():
                box = await button.bounding_box()
                assert box is not None
                assert box["height"] >= 44, "too small for touch"
            await page.screenshot(path=tmp_path / f"{where}.png", full_page=True)

    await page.goto(".")
    await check("start")
    await start(page)
    await check("code")
    await expire(emulator, page)
    await check("expired")
    await start(page)
    await approve(context, page)
    clock_of(emulator).advance(6)
    await shows(page, "Signed in")
    await check("connected")
    await page.get_by_role("button", name="Sign out").click()
    code = await start(page)
    await emulator.deny(code)
    clock_of(emulator).advance(6)
    await shows(page, "Sign-in denied")
    await check("denied")
    emulator.faults.on("device_code").error("unauthorized_client")
    await page.get_by_role("button", name="Use another device").click()
    await shows(page, "Sign-in with a code is not available")
    await check("unavailable")
    await page.goto("callback")
    await check("problem")
