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
    """Opens a page of a browser without a past; its options are those of a Playwright context.

    The test fails where a page asks another server for anything, breaks its own Content-Security-Policy or logs an
    error: none of that may happen on the emulator's pages.
    """
    contexts: list[Any] = []
    complaints: list[str] = []

    async def open_page(**options: Any) -> Page:
        context = await browser.new_context(base_url=emulator.base_url, **options)
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(15_000)
        page.on("request", asked)
        page.on("console", said)
        return page

    def asked(request: Request) -> None:
        if not request.url.startswith("http://127.0.0.1:"):
            complaints.append(f"a request to {request.url}")

    def said(message: ConsoleMessage) -> None:
        # Chromium logs every 4xx page as an error; that is what some of the tests are about.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    yield open_page
    for context in contexts:
        await context.close()
    assert complaints == []
