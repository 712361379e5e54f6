"""What the pages say before a user decides (RFC 10027 6.1.13, 6.1.14), and the pages of errors."""

from __future__ import annotations

import html
import re
from urllib.parse import urlencode

import pytest

from tests.helpers.authorization_code import query
from tests.helpers.emulator_caller import Caller
from tests.helpers.form_browser import FormBrowser, PageForm
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.pages import consent_texts
from twilio_oauth_async.protocol.sign_in_texts import TEXTS, SignInTexts


def text_of(page: str) -> str:
    """Return the text of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])).split())


async def open_consent(browser: FormBrowser, link: str) -> PageForm:
    return await browser.submit(await browser.visit(link))


def test_time_of_day_is_written_as_the_client_writes_it() -> None:
    moment = VirtualClock().now()
    assert consent_texts.time_of_day(moment) == SignInTexts().time(moment)


@pytest.mark.asyncio
async def test_consent_page_says_what_who_when_and_where(
    caller: Caller, emulator: Emulator, clock: VirtualClock
) -> None:
    scopes = ("openid", "profile", "email", "offline_access", "calls:read")
    clock.advance(6 * 3600)
    started = consent_texts.time_of_day(clock.now())
    code = await caller.device_code(*scopes)
    clock.advance(120)
    async with FormBrowser(emulator) as browser:
        await open_consent(browser, code["verification_uri_complete"])
        text = text_of(browser.page)
    assert f"Allow Example App? It runs on the device that shows: {code['user_code']}" in text
    allowed = " ".join(SignInTexts().allowed(scopes))
    assert f"This lets Example App: {allowed} {TEXTS['warning']} You are signed in as Ada Example" in text
    assert f"Started at {started}. The code expires at {consent_texts.time_of_day(clock.now(), 299 - 120)}." in text
    assert f"This page is on {emulator.base_url.removeprefix('http://')}." in text


@pytest.mark.asyncio
async def test_consent_page_without_scopes_says_so_and_names_the_audience(caller: Caller, emulator: Emulator) -> None:
    async with FormBrowser(emulator) as browser:
        await browser.visit(f"v2/authorize?{urlencode(query(caller, scope=None))}")
        assert "This lets Example App: Nothing: it asks for no permission." in text_of(browser.page)
        await browser.visit(f"v2/authorize?{urlencode(query(caller, audience='https://api.example.com'))}")
        assert "use the API https://api.example.com" in text_of(browser.page)


@pytest.mark.asyncio
async def test_authorize_page_says_where_the_browser_returns(
    caller: Caller, emulator: Emulator, clock: VirtualClock
) -> None:
    async with FormBrowser(emulator) as browser:
        await browser.visit(f"v2/authorize?{urlencode(query(caller))}")
        text = text_of(browser.page)
    assert "After your decision, this browser returns to 127.0.0.1:49152" in text
    assert f"Started at {consent_texts.time_of_day(clock.now())}. " in text
    assert f"You can decide until {consent_texts.time_of_day(clock.now(), 600)}." in text
    assert f"This page is on {emulator.base_url.removeprefix('http://')}." in text
    assert TEXTS["warning"].startswith("Continue only if you started this sign-in yourself. ")
    assert "Continue only if you started this sign-in yourself. You are signed in as" in text


@pytest.mark.asyncio
async def test_app_name_and_scope_and_host_are_escaped(caller: Caller, emulator: Emulator) -> None:
    app = emulator.add_app("<b>App</b>")
    parameters = query(caller, client_id=app.sid, scope="<i>scope</i>")
    async with FormBrowser(emulator) as browser:
        await browser.visit(f"v2/authorize?{urlencode(parameters)}")
    assert "&lt;b&gt;App&lt;/b&gt;" in browser.page
    assert "&lt;i&gt;scope&lt;/i&gt;" in browser.page
    assert "<i>" not in browser.page


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "status", "heading", "description"),
    [
        ("/nowhere", 404, "Page not found", "There is nothing at this path."),
        ("/v2/authorize", 400, "Request failed", "The parameter client_id is missing."),
        ("/v1/oauth2/device/consent", 405, "Request failed", "This method is not allowed at this path."),
    ],
)
async def test_errors_in_a_browser_are_pages_that_lead_to_the_form(
    caller: Caller, path: str, status: int, heading: str, description: str
) -> None:
    got, page, response = await caller.call("GET", path, authorization=None, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (got, response.content_type) == (status, "text/html")
    assert f"<h1>{heading}</h1>" in page
    assert f'<p role="alert">{description}</p>' in page
    [link] = re.findall(r'href="(/[^"]*)">Enter a code', page)
    assert (await caller.call("GET", link, authorization=None))[0] == 200
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
