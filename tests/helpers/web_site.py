"""Serves a `SignInSite` on loopback in both frameworks, and a `Visitor` that uses it through a real HTTP client."""

from __future__ import annotations

import asyncio
import html
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
import uvicorn
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from yarl import URL

from twilio_oauth_async import AuthorizationCodeFlow, DeviceFlow, DeviceFlowPool, OAuthSession, RetryPolicy
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore
from twilio_oauth_async.web import SignInSite
from twilio_oauth_async.web.aiohttp import require_sign_in as aiohttp_require_sign_in
from twilio_oauth_async.web.aiohttp import sign_in_app
from twilio_oauth_async.web.asgi import SignInApp
from twilio_oauth_async.web.asgi import require_sign_in as asgi_require_sign_in

FRAMEWORKS = ["aiohttp", "asgi"]
MOUNT = "/twilio"
TIMEOUT = 30.0
"""Seconds that a visitor waits for a page."""
SECRET = b"the same in every process of tests."
SCOPES = ["openid", "profile"]


@asynccontextmanager
async def open_site(emulator: Emulator, state: Path, url: str, **options: Any) -> AsyncIterator[SignInSite]:
    """Open a site with stores in `state`, which signs in at `emulator`, with both ways to sign in."""
    client = {"client_sid": emulator.client_sid, "client_secret": emulator.client_secret, "scopes": SCOPES}
    clock = emulator.clock
    max_flows = options.pop("max_flows", 5_000)
    has_code_flow = options.pop("has_code_flow", True)
    async with OAuthSession(
        emulator.account_sid,
        emulator.auth_token,
        base_url=emulator.base_url,
        clock=clock,
        retry=RetryPolicy.none(),
    ) as session:
        pool = DeviceFlowPool(
            DeviceFlow(session, **client),
            tokens=FileTokenStore(state / "tokens.db", clock=clock),
            flows=FileFlowStore(state / "flows.db", clock=clock),
            max_flows=max_flows,
        )
        code_flow = AuthorizationCodeFlow(session, redirect_uri=f"{url}/callback", **client) if has_code_flow else None
        arguments = {"app_name": "Example", "secret": SECRET, "code_flow": code_flow} | options
        async with SignInSite(pool, url=url, **arguments) as site:
            yield site


@asynccontextmanager
async def serving(
    framework: str, emulator: Emulator, state: Path, *, url: str | None = None, mount: str = MOUNT, **options: Any
) -> AsyncIterator[str]:
    """Serve a host application with a site in this event loop until the block ends; yield the URL of the site."""
    listener = socket.create_server(("127.0.0.1", 0))
    local_url = f"http://127.0.0.1:{listener.getsockname()[1]}{mount}"
    async with (
        open_site(emulator, state, url or local_url, **options) as site,
        serving_sites(framework, {mount: site}, listener),
    ):
        yield local_url


@asynccontextmanager
async def serving_sites(framework: str, sites: dict[str, SignInSite], listener: socket.socket) -> AsyncIterator[None]:
    """Serve a host application with open sites, each mounted at its path."""
    if framework == "aiohttp":
        runner = web.AppRunner(aiohttp_host(sites), access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        try:
            yield
        finally:
            await runner.cleanup()
    else:
        async with serving_asgi(asgi_host(sites), listener, lifespan="off"):
            yield


@asynccontextmanager
async def serving_asgi(app: Any, listener: socket.socket, **options: Any) -> AsyncIterator[None]:
    """Serve an ASGI application with uvicorn in this event loop until the block ends."""
    config = uvicorn.Config(app, access_log=False, log_level="warning", ws="none", **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve([listener]))
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task


def aiohttp_host(sites: dict[str, SignInSite]) -> web.Application:
    """Return a host application with pages of its own."""
    app = web.Application()
    for mount, site in sites.items():
        signed_in = aiohttp_require_sign_in(site)

        async def whoami(request: web.Request, site: SignInSite = site) -> web.Response:
            return web.Response(text=str(await site.user(request)))

        async def private(request: web.Request, signed_in: Any = signed_in) -> web.Response:
            user = await (await signed_in(request)).user_info()
            return web.Response(text=f"private page of {user.friendly_name}")

        app.router.add_get(f"/whoami{mount}", whoami)
        app.router.add_get(f"/private{mount}", private)
        app.add_subapp(mount, sign_in_app(site)) if mount else None
    return app


def asgi_host(sites: dict[str, SignInSite]) -> Starlette:
    """Return a host application with pages of its own."""
    routes: list[Any] = []
    for mount, site in sites.items():
        signed_in = asgi_require_sign_in(site)

        async def whoami(request: Request, site: SignInSite = site) -> PlainTextResponse:
            return PlainTextResponse(str(await site.user(request)))

        async def private(request: Request, signed_in: Any = signed_in) -> PlainTextResponse:
            user = await (await signed_in(request)).user_info()
            return PlainTextResponse(f"private page of {user.friendly_name}")

        routes += [Route(f"/whoami{mount}", whoami), Route(f"/private{mount}", private), Mount(mount, SignInApp(site))]
    return Starlette(routes=routes)


class Visitor:
    """An HTTP client with cookies: a browser without scripts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status, self.text = 0, ""
        self.headers: Any = {}
        # aiohttp calls cookies of an IP address unsafe.
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request to a path below that of the site."""
        return self.http.request(method, self.url + path, **options)

    async def get(self, path: str = "/", **options: Any) -> str:
        async with self.request("GET", path, **options) as response:
            self.status, self.text, self.headers = response.status, await response.text(), response.headers
        return self.text

    async def submit(self, action: str, **options: Any) -> str:
        """Send a form of the last page."""
        data = {"csrf": self.csrf} | options.pop("data", {})
        async with self.request("POST", action, data=data, **options) as response:
            self.status, self.text, self.headers = response.status, await response.text(), response.headers
        return self.text

    async def connect(self) -> str:
        """Open the page, start a sign-in with a code and return the user code."""
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
        async with self.request("GET", "/events") as response:
            assert response.status == 200
            return parse_events(await response.text())

    @property
    def csrf(self) -> str:
        return re.findall(r'name="csrf" value="([^"]+)"', self.text)[-1]

    @property
    def code(self) -> str:
        return re.search(r'class="user-code"[^>]*>([^<]+)<', self.text)[1]  # type: ignore[index]

    @property
    def link(self) -> str:
        return html.unescape(re.search(r'<a class="button decision" href="([^"]+)"', self.text)[1])  # type: ignore[index]

    @property
    def leads_to(self) -> str:
        """The URL to which the last page leads on by itself."""
        return html.unescape(re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', self.text)[1])  # type: ignore[index]

    async def start_browser_sign_in(self, next_: str = "", **options: Any) -> str:
        """Start a sign-in in the browser, and return the URL to which the browser goes."""
        await self.get(**options)
        return await self.start_browser_sign_in_from_page(next_, **options)

    async def start_browser_sign_in_from_page(self, next_: str = "", **options: Any) -> str:
        """As `start_browser_sign_in`, from the last page."""
        await self.submit("/login", data={"next": next_}, **options)
        assert self.status == 200, "a redirect of a form would be subject to form-action"
        return self.leads_to

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self.http.cookie_jar}

    @property
    def cookie(self) -> str:
        """The cookie of the visitor."""
        return next(value for name, value in self.cookies.items() if re.search(r"sign-in-\w{8}$", name))

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.http.cookie_jar.update_cookies({cookie_name(self.url): value}, URL(self.url).origin())


def cookie_name(url: str) -> str:
    """Return the name of the cookie of a site on loopback."""
    from urllib.parse import urlsplit

    from twilio_oauth_async.web.cookies import Cookies

    return Cookies(urlsplit(url)).visitor


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
    """Return what is in the files of a database of the site.

    A program of its own reads them: to close a file releases all POSIX locks that this process has on it.
    """
    files = [str(path) for path in (state / name, state / f"{name}-wal") if path.exists()]
    program = "import sys\nfor path in sys.argv[1:]: sys.stdout.buffer.write(open(path, 'rb').read())"
    done = subprocess.run([sys.executable, "-S", "-c", program, *files], capture_output=True, check=True)
    return done.stdout.decode("latin-1")
