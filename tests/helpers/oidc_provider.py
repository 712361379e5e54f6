"""An independent OpenID provider, the package ``oidc-provider`` in Node.js, behind a proxy with Twilio's names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import aiohttp

from tests.helpers.node_client import Script, run_script
from tests.helpers.openid_proxy import OpenidProxy
from twilio_oauth_async import in_flight

REDIRECT_URI = "http://127.0.0.1:8400/callback"


class OidcProxy(OpenidProxy):
    """The proxy for this provider."""

    DEVICE_CODE = "/device/auth"
    AUTHORIZE = "/auth"
    JWKS = "/jwks"
    REVOKE = "/token/revocation"
    USER_INFO = "/me"


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
        with in_flight.call():  # a prompt calls it: no poll is due meanwhile
            self._script.reply({"name": name, **arguments})
            return await self._script.receive()


@asynccontextmanager
async def oidc_provider(folder: Path, **options: Any) -> AsyncIterator[OidcProvider]:
    """Run the provider until the block ends; fail if it had an internal error."""
    async with run_script(folder, "oidc_provider.mjs", redirectUri=REDIRECT_URI, **options) as script:
        provider = OidcProvider(script, await script.receive())
        yield provider
        assert await provider.errors() == []
