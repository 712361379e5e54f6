"""A browser for the emulator's pages that reads and submits forms and keeps cookies, without scripts."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Self

import aiohttp

from twilio_oauth_async.emulator import Emulator


class PageForm(HTMLParser):
    """The form of a page: its action, and the fields as a browser would submit them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = attributes["action"]
        if tag == "input":
            self.fields[attributes["name"]] = attributes["value"]


class FormBrowser:
    """A browser with its own cookies; `status`, `page` and `headers` are those of the last response."""

    def __init__(self, emulator: Emulator) -> None:
        self.base_url = emulator.base_url
        # unsafe=True: aiohttp otherwise ignores cookies from IP addresses.
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.status = 0
        self.page = ""
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.close()

    async def visit(self, path: str) -> PageForm:
        async with self.http.get(f"{self.base_url}/{path}") as response:
            return await self._read(response)

    async def submit(self, form: PageForm, **changes: str) -> PageForm:
        async with self.http.post(self.base_url + form.action, data=form.fields | changes) as response:
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> PageForm:
        self.status, self.page, self.headers = response.status, await response.text(), dict(response.headers)
        return PageForm(self.page)
