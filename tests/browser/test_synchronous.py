"""The emulator in a thread, and the synchronous API of Playwright: a test without an event loop of its own."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request

from tests.helpers.browser import FLAGS, executable, missing
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.control.in_thread import EmulatorThread


def device_code(emulator: EmulatorThread) -> dict[str, str]:
    form = urllib.parse.urlencode({"ClientSid": emulator.client_sid, "Scopes": "openid"}).encode()
    request = urllib.request.Request(f"{emulator.base_url}/v1/device/code", form)
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, emulator.base_url, emulator.account_sid, emulator.auth_token)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    with opener.open(request) as response:
        return dict(json.load(response))


def test_user_denies_in_a_browser() -> None:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        missing("playwright is not installed (the `browser` dependency group)")
        raise
    path = executable()
    if path is None:
        missing("there is no Chromium here (on Debian: apt-get install chromium)")
    with Emulator.in_thread() as emulator, sync_playwright() as playwright:
        code = device_code(emulator)["user_code"]
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page()
        page.goto(f"{emulator.activation_url}?user_code={code}")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Deny").click()
        page.get_by_role("heading", name="Denied").wait_for()
        browser.close()
        assert len(emulator.call(lambda: emulator._backend.server.devices.pending(emulator._backend.now()))) == 0  # pyright: ignore[reportPrivateUsage]
