"""A real browser in front of a running emulator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest_asyncio

from tests.helpers.browser import NewPage, browser
from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page, Request

__all__ = ["browser"]  # a fixture


@pytest_asyncio.fixture(loop_scope="module")
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator(clock=VirtualClock(auto=False), app_name="Kitchen Display") as emulator:
        yield emulator


@pytest_asyncio.fixture(loop_scope="module")
async def caller(emulator: Emulator) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(emulator, http)


@pytest_asyncio.fixture(loop_scope="module")
async def new_page(browser: Browser, emulator: Emulator) -> AsyncIterator[NewPage]:
    """Return a function that opens a page in a new browser context; its arguments are those of Playwright's contexts.

    The test fails if a page sends a request to another server, violates its Content-Security-Policy or logs an error.
    """
    contexts: list[Any] = []
    problems: list[str] = []

    async def open_page(**options: Any) -> Page:
        context = await browser.new_context(base_url=emulator.base_url, **options)
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("request", on_request)
        page.on("console", on_console)
        return page

    def on_request(request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            problems.append(f"a request to {request.url}")

    def on_console(message: ConsoleMessage) -> None:
        # Chromium logs every 4xx page as an error, and some tests request such pages.
        if message.type == "error" and "Failed to load resource" not in message.text:
            problems.append(message.text)

    yield open_page
    for context in contexts:
        await context.close()
    assert problems == []
