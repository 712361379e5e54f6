"""The fixture `browser`: a real browser, for the conftest.py of the folders that need one.

Without a browser these tests skip and say why; with ``TWILIO_OAUTH_REQUIRE_BROWSER=1`` they fail instead.
``TWILIO_OAUTH_BROWSER`` names the executable where it is not one of the usual ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
NewPage = Callable[..., Awaitable["Page"]]


def missing(reason: str) -> None:
    """Skip the test, or fail it where a browser is required."""
    if os.environ.get("TWILIO_OAUTH_REQUIRE_BROWSER") == "1":
        pytest.fail(f"TWILIO_OAUTH_REQUIRE_BROWSER is set, but {reason}")
    pytest.skip(reason)


def executable() -> str | None:
    """Return the path of a Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("TWILIO_OAUTH_BROWSER") or next(filter(None, map(shutil.which, names)), None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of a module, since its start takes longer than its use."""
    try:
        from playwright.async_api import async_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed (the `browser` dependency group)")
        raise
    path = executable()
    if path is None:
        missing("there is no Chromium here (on Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()
