"""An independent OpenID provider, the package ``oidc-provider`` in Node.js, behind a proxy with Twilio's names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp
from aiohttp import web

from tests.helpers import contract_names as names
from tests.helpers.contract_proxies import ContractProxy, form_of
from tests.helpers.node_client import Script, run_script
from twilio_oauth_async.clock import VirtualClock

REDIRECT_URI = "http://127.0.0.1:8400/callback"

DISCOVERY = {rfc: contract for contract, rfc in names.DISCOVERY.items()}
USER = {rfc: contract for contract, rfc in names.USER.items()}


class OpenidProxy(ContractProxy):
    """v1 and v2 of Twilio's API, in front of a server with the paths of `oidc-provider`."""

    DEVICE_CODE = "/device/auth"

    def __init__(self, server: str, clock: VirtualClock, app_secret: str | None = None) -> None:
        super().__init__(server, app_secret)
        self._clock = clock
        self.polls: list[float] = []
        """The virtual time of each poll."""
        self.app.add_routes(
            [
                web.get("/v1/.well-known/openid-configuration", self.discovery),
                web.get("/v1/certs", self.certs),
                web.get("/v1/userinfo", self.user_info),
                web.get("/v2/authorize", self.authorize),
                web.post("/v2/token", self.token_v2),
                web.post("/revoke", self.revoke),
            ]
        )

    async def token(self, request: web.Request) -> web.Response:
        if dict(await form_of(request)).get("DeviceCode"):
            self.polls.append(self._clock.monotonic())
        return await super().token(request)

    async def token_v2(self, request: web.Request) -> web.Response:
        status, body, headers = await self.forward("POST", self.TOKEN, await form_of(request), {})
        return web.json_response(body, status=status, headers=headers)

    async def authorize(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{self.target}/auth?{request.query_string}")

    async def discovery(self, _: web.Request) -> web.Response:
        _, body, _ = await self.forward("GET", "/.well-known/openid-configuration", None, {})
        body["revocation_endpoint"] = f"{self.base_url}/revoke"
        return web.json_response(names.renamed(body, DISCOVERY))

    async def revoke(self, request: web.Request) -> web.Response:
        status, body, headers = await self.forward("POST", "/token/revocation", await form_of(request), {})
        return web.json_response(body, status=status, headers=headers)

    async def certs(self, _: web.Request) -> web.Response:
        _, body, _ = await self.forward("GET", "/jwks", None, {})
        return web.json_response(body)

    async def user_info(self, request: web.Request) -> web.Response:
        bearer = {"Authorization": request.headers.get("Authorization", "")}
        status, body, headers = await self.forward("GET", "/me", None, bearer)
        return web.json_response(names.renamed(body, USER), status=status, headers=headers)


class OidcProvider:
    """The running provider. Its users act through `decide` and `browse`."""

    def __init__(self, script: Script, started: dict[str, Any]) -> None:
        self._script = script
        self.issuer: str = started["issuer"]
        self.account: str = started["account"]

    async def decide(self, user_code: str, *, approve: bool) -> None:
        """Approve or deny a device code."""
        await self._send("decide", userCode=user_code, approve=approve)

    async def expire(self, user_code: str) -> None:
        """Let a device code expire."""
        await self._send("expire", userCode=user_code)

    async def errors(self) -> list[str]:
        """Return the internal errors of the server."""
        return list((await self._send("errors"))["errors"])

    async def browse(self, url: str) -> str:
        """Open `url` as a browser with cookies does, and return the URL of the callback."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            for _ in range(10):
                async with browser.get(url, allow_redirects=False) as response:
                    assert response.status in {302, 303}, await response.text()
                    url = urljoin(url, response.headers["Location"])
                if url.startswith(REDIRECT_URI):
                    return url
        raise AssertionError("too many redirects")

    async def _send(self, name: str, **arguments: Any) -> dict[str, Any]:
        self._script.reply({"name": name, **arguments})
        return await self._script.receive()


@asynccontextmanager
async def oidc_provider(folder: Path, **options: Any) -> AsyncIterator[OidcProvider]:
    """Run the provider until the block ends; fail if it had an internal error."""
    async with run_script(folder, "oidc_provider.mjs", redirectUri=REDIRECT_URI, **options) as script:
        provider = OidcProvider(script, await script.receive())
        yield provider
        assert await provider.errors() == []
