"""`AuthorizationCodeFlow.run` with a real browser: it sends the callback as browsers do (fault 56)."""

from __future__ import annotations

import pytest

from tests.helpers.browser import NewPage
from twilio_oauth_async import AuthorizationError, OAuthSession
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow

pytestmark = pytest.mark.asyncio(loop_scope="module")

REDIRECT_URIS = [
    "http://127.0.0.1",
    "http://127.0.0.1?app=1",
    "http://127.0.0.1/callback/",
    "http://127.0.0.1/a%20b/%7e/%2F?app=%20&b={c}",
    "http://127.0.0.1/{app}/zur\u00fcck?app=\u00fc",
]


@pytest.mark.parametrize("redirect_uri", REDIRECT_URIS)
async def test_56_callback_arrives_at_any_redirect_uri(
    emulator: Emulator, new_page: NewPage, redirect_uri: str
) -> None:
    page = await new_page()

    async def open_browser(url: str) -> None:
        await page.goto(url)
        await page.get_by_role("button", name="Approve").click()
        await page.get_by_role("heading", name="You can close this window").wait_for()

    async with OAuthSession(base_url=emulator.base_url, clock=emulator.clock) as session:
        flow = AuthorizationCodeFlow(
            session,
            client_sid=emulator.client_sid,
            client_secret=emulator.client_secret,
            redirect_uri=redirect_uri,
            scopes=["openid"],
            api="v2",
            open_browser=open_browser,
            timeout=20,
        )
        assert (await flow.run()).access_token


async def test_user_denies_in_the_browser(emulator: Emulator, new_page: NewPage) -> None:
    page = await new_page()

    async def open_browser(url: str) -> None:
        await page.goto(url)
        await page.get_by_role("button", name="Deny").click()

    async with OAuthSession(base_url=emulator.base_url, clock=emulator.clock) as session:
        flow = AuthorizationCodeFlow(
            session, client_sid=emulator.client_sid, api="v2", open_browser=open_browser, timeout=20
        )
        with pytest.raises(AuthorizationError, match="access_denied"):
            await flow.run()
