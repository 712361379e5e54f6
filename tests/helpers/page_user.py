"""`PageUser`: fetches pages of the emulator over HTTP, and submits their forms."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Self

import aiohttp

from twilio_oauth_async.emulator import Emulator


class FormReader(HTMLParser):
    """The fields of the form of a page, as a browser would submit them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        if tag == "input":
            self.fields[given["name"]] = given["value"]


class PageUser:
    """A user whose browser keeps cookies, also those of an IP address."""

    def __init__(self, emulator: Emulator) -> None:
        self.base_url = emulator.base_url
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.status = 0
        self.page = ""
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.close()

    async def visit(self, path: str) -> FormReader:
        async with self.http.get(f"{self.base_url}/{path}") as response:
            return await self._read(response)

    async def submit(self, form: FormReader, **changes: str) -> FormReader:
        async with self.http.post(self.base_url + form.action, data=form.fields | changes) as response:
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> FormReader:
        self.status, self.page, self.headers = response.status, await response.text(), dict(response.headers)
        return FormReader(self.page)
