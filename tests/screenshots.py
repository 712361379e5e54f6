"""Takes a picture of each page of the sign-in site and of the emulator: nox -s screenshots -- FOLDER.

At 1280 and 375 pixels, in light and in dark mode, as much as the window shows: what lies below is not seen at once.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers.browser import FLAGS, executable
from tests.helpers.web_site import clock_of, serving
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

SIZES = {"1280": (1280, 800), "375": (375, 700)}
SCHEMES = ("light", "dark")


class Studio:
    """One browser that visits the pages in all sizes and colour schemes."""

    def __init__(self, browser: Browser, emulator: Emulator, folder: Path) -> None:
        self.browser, self.emulator, self.folder = browser, emulator, folder

    async def take(self, name: str, page: Page) -> None:
        """Take the pictures of what `page` shows now."""
        for size, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                await page.screenshot(path=self.folder / f"{name}-{size}-{scheme}.png")

    async def visit(self, url: str, name: str, steps: Callable[[BrowserContext, Page], Awaitable[None]]) -> None:
        """Take the pictures of the page to which `steps` lead a new visitor."""
        context = await self.browser.new_context(reduced_motion="reduce")
        page = await context.new_page()
        await page.goto(url + "/")
        await steps(context, page)
        await self.take(name, page)
        await page.goto(url + "/")
        if await page.get_by_role("button", name="Cancel").is_visible():
            await page.get_by_role("button", name="Cancel").click()  # otherwise it would take the next fault
            await page.get_by_role("heading", name="Sign-in cancelled").wait_for()
        await context.close()

    async def ends_as(self, page: Page, heading: str) -> None:
        """Advance the clock until the page shows an end."""
        while not await page.get_by_role("heading", name=heading, exact=True).is_visible():
            clock_of(self.emulator).advance(1)
            await page.wait_for_timeout(20)


async def code_of(page: Page, button: str = "Use another device") -> str:
    """Start a sign-in with a code, and return the code."""
    await page.get_by_role("button", name=button).click()
    return await page.locator(".user-code").inner_text()


async def take_site(studio: Studio, url: str) -> None:
    """Take the pages of the sign-in site."""
    emulator = studio.emulator

    async def start(_: BrowserContext, __: Page) -> None:
        """The first page."""

    async def pending(_: BrowserContext, page: Page) -> None:
        await code_of(page)

    async def unreachable(_: BrowserContext, page: Page) -> None:
        await code_of(page)
        emulator.faults.on("poll").respond(503)
        clock_of(emulator).advance(6)
        await page.get_by_text("cannot be reached").wait_for()

    async def approved(_: BrowserContext, page: Page) -> None:
        await emulator.approve(await code_of(page))
        await studio.ends_as(page, "Signed in")

    async def denied(_: BrowserContext, page: Page) -> None:
        await emulator.deny(await code_of(page))
        await studio.ends_as(page, "Sign-in denied")

    async def expired(_: BrowserContext, page: Page) -> None:
        await code_of(page)
        clock_of(emulator).advance(300)
        await studio.ends_as(page, "The code has expired")

    async def cancelled(_: BrowserContext, page: Page) -> None:
        await code_of(page)
        await page.get_by_role("button", name="Cancel").click()

    async def failed(_: BrowserContext, page: Page) -> None:
        await code_of(page)
        emulator.faults.on("poll").error("invalid_request", description="The device code is malformed.")
        await studio.ends_as(page, "Sign-in failed")

    async def unavailable(_: BrowserContext, page: Page) -> None:
        emulator.faults.on("device_code").error("unauthorized_client")
        await page.get_by_role("button", name="Use another device").click()

    async def problem(_: BrowserContext, page: Page) -> None:
        await page.goto(f"{url}/nowhere")

    pages = (start, pending, unreachable, approved, denied, expired, cancelled, failed, unavailable, problem)
    for steps in pages:
        await studio.visit(url, steps.__name__, steps)


async def take_emulator(studio: Studio, url: str) -> None:
    """Take the pages of the emulator."""

    async def enter(_: BrowserContext, page: Page) -> None:
        link = await link_of(page)
        await page.goto(link.partition("?")[0])

    async def check(_: BrowserContext, page: Page) -> None:
        await page.goto(await link_of(page))

    async def consent(_: BrowserContext, page: Page) -> None:
        await page.goto(await link_of(page))
        await page.get_by_role("button", name="Continue").click()

    async def wrong(_: BrowserContext, page: Page) -> None:
        await page.goto((await link_of(page)).partition("?")[0])
        await page.get_by_label("Code").fill("WRNG-CODE")
        await page.get_by_role("button", name="Continue").click()

    async def users(context: BrowserContext, page: Page) -> None:
        studio.emulator.add_user("Grace", "Other", "grace@example.com")
        await consent(context, page)

    async def approved(context: BrowserContext, page: Page) -> None:
        await consent(context, page)
        await page.get_by_role("button", name="Approve").click()

    async def denied(context: BrowserContext, page: Page) -> None:
        await consent(context, page)
        await page.get_by_role("button", name="Deny").click()

    async def error(_: BrowserContext, page: Page) -> None:
        await page.goto(f"{studio.emulator.base_url}/v2/authorize")

    async def missing(_: BrowserContext, page: Page) -> None:
        await page.goto(f"{studio.emulator.base_url}/nowhere")

    async def authorize(_: BrowserContext, page: Page) -> None:
        await page.get_by_role("button", name="Sign in with this browser").click()

    async def link_of(page: Page) -> str:
        await code_of(page)
        link = await page.get_by_role("link", name="Open Twilio").get_attribute("href")
        return str(link)

    for steps in (enter, check, wrong, consent, authorize, approved, denied, error, missing, users):
        await studio.visit(url, f"emulator-{steps.__name__}", steps)


async def main(folder: Path) -> None:
    """Take all pictures."""
    from playwright.async_api import async_playwright

    path = executable()
    if path is None:
        sys.exit("There is no Chromium here (on Debian: apt-get install chromium).")
    with tempfile.TemporaryDirectory() as state:
        async with (
            Emulator(clock=VirtualClock(auto=False)) as emulator,
            serving("aiohttp", emulator, Path(state), starts_per_address=1_000) as url,
            async_playwright() as playwright,
            await playwright.chromium.launch(executable_path=path, args=FLAGS) as browser,
        ):
            studio = Studio(browser, emulator, folder)
            await take_site(studio, url)
            await take_emulator(studio, url)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
    print(f"{len(list(target.glob('*.png')))} pictures in {target}")
