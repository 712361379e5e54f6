"""Serves a web example on loopback, and a `Visitor` that uses it through a real HTTP client."""

from __future__ import annotations

import asyncio
import functools
import html
import importlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from twilio_oauth_async import OAuthSession, RetryPolicy
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["web_aiohttp", "web_fastapi"]
TIMEOUT = 30.0
"""Seconds that a visitor waits for a page."""


def load(name: str) -> Any:
    """Import an example as a module; it finds the other files of its folder, as when it is run."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    return importlib.import_module(name)


@asynccontextmanager
async def serving(name: str, state: Path, *, url: str | None = None) -> AsyncIterator[str]:
    """Serve the example in this event loop with its own server until the block ends; yield its URL."""
    example = load(name)
    listener = socket.create_server(("127.0.0.1", 0))
    local_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = example.build_app(state, url or local_url)
    if name == "web_aiohttp":
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        yield local_url
        await runner.cleanup()
    else:
        server = example.Server(app)
        task = asyncio.create_task(server.serve([listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        yield local_url
        server.should_exit = True
        await task


class Visitor:
    """An HTTP client with cookies: a browser without scripts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status, self.text = 0, ""
        self.headers: Any = {}
        # aiohttp calls cookies of an IP address unsafe.
        self.http = aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    async def get(self, path: str = "/", **options: Any) -> str:
        async with self.http.get(path, **options) as response:
            self.status, self.text, self.headers = response.status, await response.text(), response.headers
        return self.text

    async def submit(self, action: str, **options: Any) -> str:
        """Send a form of the last page."""
        async with self.http.post(action, data={"csrf": self.csrf}, **options) as response:
            self.status, self.text, self.headers = response.status, await response.text(), response.headers
        return self.text

    async def connect(self) -> str:
        """Open the page, press the first button and return the user code."""
        await self.get()
        await self.submit("/connect")
        return self.code

    async def wait_for(self, shown: str) -> str:
        """Reload until the page contains `shown`."""
        async with asyncio.timeout(TIMEOUT):
            while shown not in await self.get():
                await asyncio.sleep(0.01)
        return self.text

    async def read_events(self) -> list[dict[str, Any]]:
        """Return the events of the event stream until it ends."""
        async with self.http.get("/events") as response:
            assert response.status == 200
            return parse_events(await response.text())

    @property
    def csrf(self) -> str:
        return re.findall(r'name="csrf" value="([^"]+)"', self.text)[-1]

    @property
    def code(self) -> str:
        return re.search(r'class="code"[^>]*>([^<]+)<', self.text)[1]  # type: ignore[index]

    @property
    def link(self) -> str:
        return html.unescape(re.search(r'<a class="button primary" href="([^"]+)"', self.text)[1])  # type: ignore[index]

    @property
    def cookie(self) -> str:
        return next(cookie.value for cookie in self.http.cookie_jar)

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.http.cookie_jar.update_cookies({"visitor": value}, URL(self.url))


def parse_events(text: str) -> list[dict[str, Any]]:
    """Return the data of server-sent events."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def clock_of(emulator: Emulator) -> VirtualClock:
    assert isinstance(emulator.clock, VirtualClock)
    return emulator.clock


async def approve(emulator: Emulator, code: str) -> None:
    """Approve the code and advance the clock to the next poll."""
    await emulator.approve(code)
    clock_of(emulator).advance(6)


def stored(state: Path, name: str) -> str:
    """Return what is in the files of a database of the example.

    A program of its own reads them: to close a file releases all POSIX locks that this process has on it.
    """
    files = [str(path) for path in (state / name, state / f"{name}-wal") if path.exists()]
    program = "import sys\nfor path in sys.argv[1:]: sys.stdout.buffer.write(open(path, 'rb').read())"
    done = subprocess.run([sys.executable, "-S", "-c", program, *files], capture_output=True, check=True)
    return done.stdout.decode("latin-1")


def use(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment of an example so that it signs in at `emulator`, on its clock."""
    monkeypatch.setenv("TWILIO_CLIENT_ID", emulator.client_sid)
    monkeypatch.setenv("TWILIO_CLIENT_SECRET", emulator.client_secret or "")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", emulator.account_sid)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", emulator.auth_token)
    monkeypatch.setenv("TWILIO_OAUTH_URL", emulator.base_url)
    on_its_clock = functools.partial(OAuthSession.from_env, clock=emulator.clock, retry=RetryPolicy.none())
    monkeypatch.setattr(OAuthSession, "from_env", on_its_clock)
