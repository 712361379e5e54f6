"""Where a site is mounted: other paths, several sites in one application, behind a proxy, in several frameworks."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware

from tests.helpers.web_site import Visitor, approve, clock_of, open_site, serving, serving_asgi, serving_sites
from twilio_oauth_async import ConfigurationError, VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.web.aiohttp import sign_in_app
from twilio_oauth_async.web.asgi import SignInApp

pytestmark = pytest.mark.asyncio


async def sign_in(visitor: Visitor, emulator: Emulator) -> None:
    """Sign in with a code, and read the event stream."""
    code = await visitor.connect()
    async with visitor.request("GET", "/static/pages.css") as response:
        assert response.status == 200
    await approve(emulator, code)
    assert (await visitor.read_events())[-1]["state"] == "approved"
    await visitor.wait_for("Signed in as Ada Example")


@pytest.mark.parametrize("mount", ["/a", "/a/b/c", "/twilio-sign_in.v1~x"])
async def test_site_at_another_path(framework: str, emulator: Emulator, state: Path, mount: str) -> None:
    async with serving(framework, emulator, state, mount=mount) as url, Visitor(url) as ada:
        await sign_in(ada, emulator)
        async with ada.http.get(url) as response:  # without the slash at the end
            assert response.status == 200
            assert "Signed in as" in await response.text()


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def url_of(listener: socket.socket, mount: str = "/twilio") -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}{mount}"


async def test_site_is_the_whole_application_of_aiohttp(
    emulator: Emulator, state: Path, listener: socket.socket
) -> None:
    async with open_site(emulator, state, url_of(listener, "")) as site, Visitor(url_of(listener, "")) as ada:
        await site.close()
        runner = web.AppRunner(sign_in_app(site), access_log=None)
        await runner.setup()
        assert site.is_open, "the application opens a site that is not open"
        await web.SockSite(runner, listener).start()
        await sign_in(ada, emulator)
        await runner.cleanup()
        assert not site.is_open


async def test_site_is_the_whole_asgi_application(emulator: Emulator, state: Path, listener: socket.socket) -> None:
    async with open_site(emulator, state, url_of(listener, "")) as site, Visitor(url_of(listener, "")) as ada:
        await site.close()
        async with serving_asgi(SignInApp(site), listener, lifespan="on"):
            assert site.is_open
            await sign_in(ada, emulator)
        assert not site.is_open


async def test_application_leaves_a_site_open_that_was_open(
    framework: str, emulator: Emulator, state: Path, listener: socket.socket
) -> None:
    async with open_site(emulator, state, url_of(listener)) as site:
        async with serving_sites(framework, {"/twilio": site}, listener):
            pass
        assert site.is_open


async def test_request_to_a_site_that_is_not_open_is_an_error(
    framework: str, emulator: Emulator, state: Path, listener: socket.socket
) -> None:
    async with open_site(emulator, state, url_of(listener)) as site, Visitor(url_of(listener)) as ada:
        async with serving_sites(framework, {"/twilio": site}, listener):
            await site.close()
            await ada.get()
            assert ada.status == 500
        with pytest.raises(ConfigurationError, match="the site is not open: use 'async with SignInSite"):
            await site.handle(None)  # type: ignore[arg-type]


async def test_two_sites_in_one_application_are_independent(
    framework: str, tmp_path: Path, listener: socket.socket
) -> None:
    clock = VirtualClock(auto=False)
    urls = [url_of(listener, mount) for mount in ("/one", "/two")]
    async with (
        Emulator(clock=clock) as emulator,
        Emulator(clock=clock) as other,
        open_site(emulator, tmp_path / "one", urls[0]) as one,
        open_site(other, tmp_path / "two", urls[1]) as two,
        serving_sites(framework, {"/one": one, "/two": two}, listener),
        Visitor(urls[0]) as ada,
    ):
        await sign_in(ada, emulator)
        ada.url = urls[1]
        code = await ada.connect()
        async with ada.http.get(urls[0].replace("/one", "/whoami/one")) as response:
            assert await response.text() != "None"
        async with ada.http.get(urls[0].replace("/one", "/whoami/two")) as response:
            assert await response.text() == "None"
        await approve(other, code)
        await ada.wait_for("Signed in as Ada Example")
        assert len({name for name in ada.cookies if "sign-in" in name}) == 2
        await ada.submit("/sign-out")
        ada.url = urls[0]
        assert "Signed in as Ada Example" in await ada.get()


async def test_site_behind_a_proxy_uses_its_public_url(framework: str, emulator: Emulator, state: Path) -> None:
    public = "https://app.example/account/twilio"
    async with serving(framework, emulator, state, url=public) as url, Visitor(url) as ada:
        await ada.get(headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"})
        assert "evil" not in ada.text
        assert 'action="/account/twilio/connect"' in ada.text
        assert 'href="/account/twilio/static/pages.css' in ada.text
        cookie = ada.headers["Set-Cookie"].partition(";")[0]  # a browser sends it with https only
        headers = {"Cookie": cookie, "Origin": "https://app.example", "Sec-Fetch-Site": "same-origin"}
        data = {"csrf": ada.csrf}
        async with ada.request("POST", "/login", data=data, headers=headers) as response:
            page = await response.text()
            assert "redirect_uri=https%3A%2F%2Fapp.example%2Faccount%2Ftwilio%2Fcallback" in page
        async with ada.request("POST", "/connect", data=data, headers=headers, allow_redirects=False) as response:
            assert response.headers["Location"] == "/account/twilio/"


async def test_two_processes_serve_one_site(framework: str, emulator: Emulator, state: Path) -> None:
    public = "http://127.0.0.1:1/twilio"  # of a proxy before both
    async with (
        serving(framework, emulator, state, url=public) as first,
        serving(framework, emulator, state, url=public) as second,
        Visitor(first) as ada,
    ):
        await ada.get()
        async with ada.request("POST", "/connect", data={"csrf": ada.csrf}, allow_redirects=False) as response:
            assert response.status == 303
        await ada.get()
        code, ada.url = ada.code, second  # a browser sends cookies to all ports
        await ada.get()
        assert ada.code == code
        reading = asyncio.create_task(ada.read_events())
        await emulator.approve(code)
        async with asyncio.timeout(20):
            while not reading.done():
                clock_of(emulator).advance(1)
                await asyncio.sleep(0.005)
        assert reading.result()[-1]["state"] == "approved"
        assert "Signed in as Ada Example" in await ada.get()


async def test_middlewares_of_an_aiohttp_host_keep_working(
    emulator: Emulator, state: Path, listener: socket.socket
) -> None:
    @web.middleware
    async def own_policy(request: web.Request, handler: Any) -> web.StreamResponse:
        response: web.StreamResponse = await handler(request)
        response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
        response.headers["X-Host"] = "yes"
        return response

    @web.middleware
    async def reader(request: web.Request, handler: Any) -> web.StreamResponse:
        await request.post()  # as a middleware that checks forms does
        response: web.StreamResponse = await handler(request)
        return response

    async with open_site(emulator, state, url_of(listener)) as site, Visitor(url_of(listener)) as ada:
        app = web.Application(middlewares=[own_policy, reader])
        app.add_subapp("/twilio", sign_in_app(site))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        await ada.get()
        assert ada.headers["X-Host"] == "yes"
        assert ada.headers["Content-Security-Policy"].startswith("default-src 'none'")
        await ada.submit("/connect")
        assert ada.status == 200
        assert ada.code
        await runner.cleanup()


async def test_middlewares_of_an_asgi_host_keep_working(
    emulator: Emulator, state: Path, listener: socket.socket
) -> None:
    async def own_policy(request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers.setdefault("Content-Security-Policy", "default-src 'self'")
        response.headers["X-Host"] = "yes"
        return response

    async with open_site(emulator, state, url_of(listener)) as site, Visitor(url_of(listener)) as ada:
        middlewares = [Middleware(BaseHTTPMiddleware, dispatch=own_policy), Middleware(GZipMiddleware, minimum_size=1)]
        app = Starlette(middleware=middlewares)
        app.mount("/twilio", SignInApp(site))
        async with serving_asgi(app, listener, lifespan="off"):
            await sign_in(ada, emulator)
            assert ada.headers["X-Host"] == "yes"
            assert ada.headers["Content-Security-Policy"].startswith("default-src 'none'")


def fastapi_host(app: SignInApp) -> Any:
    from fastapi import FastAPI

    host = FastAPI()
    host.mount("/twilio", app)
    return host


def litestar_host(app: SignInApp) -> Any:
    from litestar import Litestar, asgi

    return Litestar([asgi("/twilio", is_mount=True, copy_scope=True)(app.__call__)])


def quart_host(app: SignInApp) -> Any:
    from hypercorn.middleware import DispatcherMiddleware
    from quart import Quart

    return DispatcherMiddleware({"/twilio": app, "": Quart("host")})


@pytest.mark.parametrize("host", [fastapi_host, litestar_host, quart_host])
async def test_site_in_other_frameworks(host: Any, emulator: Emulator, state: Path, listener: socket.socket) -> None:
    async with open_site(emulator, state, url_of(listener)) as site, Visitor(url_of(listener)) as ada:
        async with serving_asgi(host(SignInApp(site)), listener, lifespan="off"):
            await sign_in(ada, emulator)
            await ada.submit("/sign-out")
            assert "Connect your Twilio account" in ada.text


async def test_websocket_to_the_site_is_closed(emulator: Emulator, state: Path) -> None:
    async with open_site(emulator, state, "http://127.0.0.1:1/twilio") as site:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        await SignInApp(site)({"type": "websocket", "path": "/twilio/", "headers": []}, receive, send)
        assert sent[0]["type"] == "websocket.close"
