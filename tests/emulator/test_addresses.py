"""Where the emulator listens, and which methods its paths have."""

from __future__ import annotations

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from twilio_oauth_async import OAuthSession
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def test_base_url_of_all_interfaces_is_one_that_the_client_takes() -> None:
    async with Emulator(host="0.0.0.0") as emulator:
        assert emulator.base_url.startswith("http://127.0.0.1:")
        async with OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url) as session:
            assert (await session.fetch_certs()).keys


@pytest.mark.parametrize("path", ["v1/oauth2/device/activate", "assets/pages.css", "v1/certs"])
async def test_head_is_like_get_without_a_body(caller: Caller, path: str) -> None:
    headers = {}
    for method in ("GET", "HEAD"):
        auth = aiohttp.encode_basic_auth(caller.emulator.account_sid, caller.emulator.auth_token)
        url = f"{caller.emulator.base_url}/{path}"
        async with caller.http.request(method, url, headers={"Authorization": auth}) as response:
            assert response.status == 200
            headers[method] = (response.headers["Content-Type"], response.headers["Content-Length"])
            assert bool(await response.read()) is (method == "GET")
    assert headers["GET"] == headers["HEAD"]
