"""The overview page at ``/``: who may see it, what it shows, and what its buttons do."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.helpers.emulator_caller import CONTROL_TOKEN, Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


class OverviewUser(Caller):
    """A user of the emulator with a browser that keeps cookies."""

    async def get(self, path: str = "/", **options: object) -> str:
        async with self.http.get(self.emulator.base_url + path, **options) as response:  # type: ignore[arg-type]
            self.status, self.headers = response.status, response.headers
            self.text = await response.text()
        return self.text

    async def press(self, action: str, **fields: str) -> int:
        """Send a form of the page that was loaded last."""
        csrf = re.search(r'name="csrf" value="(\w+)"', self.text)[1]  # type: ignore[index]
        form = {"csrf": csrf, "action": action, **fields}
        async with self.http.post(self.emulator.base_url + "/", data=form) as response:
            self.status, self.headers = response.status, response.headers
            self.text = await response.text()
        return self.status

    def section(self, name: str) -> str:
        """Return the text of a section."""
        part = re.search(rf'<section id="{name}".*?</section>', self.text, re.DOTALL)[0]  # type: ignore[index]
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", part))).strip()


@pytest_asyncio.fixture
async def visitor(clock: VirtualClock) -> AsyncIterator[OverviewUser]:
    """A user who has not entered the control token."""
    jar = aiohttp.CookieJar(unsafe=True)  # also cookies of addresses
    async with (
        Emulator(clock=clock, control_token=CONTROL_TOKEN) as emulator,
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        yield OverviewUser(emulator, http)


@pytest_asyncio.fixture
async def tester(visitor: OverviewUser) -> OverviewUser:
    await visitor.get()
    assert await visitor.press("sign_in", control_token=CONTROL_TOKEN) == 200
    return visitor


async def test_page_needs_the_control_token(visitor: OverviewUser) -> None:
    await visitor.device_code()
    page = await visitor.get()
    assert (visitor.status, "Control token" in page) == (200, True)
    for secret in ("Codes that wait", visitor.emulator.user.email, CONTROL_TOKEN):
        assert secret not in page
    assert await visitor.press("sign_in", control_token="canary") == 403
    assert "This is not the control token." in visitor.text
    assert "canary" not in visitor.text
    for action in ("clear", "approve", "expire_access_tokens"):
        assert await visitor.press(action, user_code="x") == 403
    assert "Enter the control token first." in visitor.text
    assert len(visitor.emulator.device_codes) == 1
    assert await visitor.press("sign_in", control_token=CONTROL_TOKEN) == 200
    assert "Codes that wait for a user" in visitor.text
    assert CONTROL_TOKEN not in str(list(visitor.http.cookie_jar))


async def test_cookie_is_hidden_from_scripts_and_other_sites(visitor: OverviewUser) -> None:
    await visitor.get()
    csrf = re.search(r'name="csrf" value="(\w+)"', visitor.text)[1]  # type: ignore[index]
    form = {"csrf": csrf, "action": "sign_in", "control_token": CONTROL_TOKEN}
    url = visitor.emulator.base_url + "/"
    async with visitor.http.post(url, data=form, allow_redirects=False) as response:
        cookie = response.headers["Set-Cookie"]
        assert (response.status, response.headers["Location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


async def test_cookie_of_another_emulator_is_not_accepted(tester: OverviewUser) -> None:
    async with Emulator(control_token=CONTROL_TOKEN) as other:
        tester.emulator = other
        assert "Control token" in await tester.get()


async def test_emulator_without_a_control_token_says_how_to_get_one() -> None:
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        tester = OverviewUser(emulator, http)
        page = await tester.get()
        assert "Emulator(control_token=...)" in page
        assert "<form" not in page


async def test_form_of_another_site_is_refused(tester: OverviewUser) -> None:
    code = await tester.device_code()
    url = tester.emulator.base_url + "/"
    for form, headers in (
        ({"action": "clear"}, {}),
        ({"action": "clear", "csrf": "0" * 64}, {}),
        (
            {"action": "clear", "csrf": re.search(r'name="csrf" value="(\w+)"', tester.text)[1]},
            {"Sec-Fetch-Site": "cross-site"},
        ),  # type: ignore[index]
    ):
        async with tester.http.post(url, data=form, headers=headers) as response:
            assert response.status == 403
    assert [each.user_code for each in tester.emulator.device_codes] == [code["user_code"]]


async def test_page_shows_codes_users_tokens_faults_and_requests(tester: OverviewUser, clock: VirtualClock) -> None:
    e = tester.emulator
    e.load_seed({"scopes": {"messages.read": "read your <messages>"}})
    await tester.refresh((await tester.sign_in())["refresh_token"])
    code = await tester.device_code("openid", "messages.read")
    e.faults.on("refresh").times(2).respond(503)
    await tester.refresh("canary-token")
    page = await tester.get()
    assert tester.section("codes").startswith(
        f"Codes that wait for a user {code['user_code']} Example App asks to: see which Twilio user you are "
        "read your <messages> Started at 00:00 UTC. Expires at 00:04 UTC."
    )
    assert f"Ada Example (ada@example.com) {e.user.sid}" in tester.section("users")
    assert tester.section("tokens").startswith(
        "Tokens Kind valid replaced expired revoked access 2 0 0 0 refresh 1 1 0 0"
    )
    assert "on('refresh').times(2).respond(503) 1 request hit." in tester.section("faults")
    shown = tester.section("requests")
    assert "00:00:00 POST /v1/token refresh 503 <Fault on('refresh').times(2).respond(503), 1 hits>" in shown
    assert shown.index("503") < shown.index("device_code"), "the newest is first"
    assert "0 older. Times are in UTC." in shown
    assert "Virtual clock 00:00 UTC" in tester.section("server")
    for secret in ("canary-token", CONTROL_TOKEN, e.auth_token, str(e.client_secret)):
        assert secret not in page
    assert [request.path for request in e.requests if request.path == "/"] == [], "the page is not in the journal"


async def test_buttons_decide_about_a_code(tester: OverviewUser) -> None:
    grace = tester.emulator.add_user("Grace", "Other", "grace@example.com")
    codes = [await tester.device_code() for _ in range(3)]
    for code, action in zip(codes, ("approve", "deny", "expire"), strict=True):
        await tester.get()
        assert await tester.press(action, user_code=code["user_code"], user=grace.sid) == 200
    assert "No code waits." in tester.section("codes")
    results = [await tester.poll(code["device_code"]) for code in codes]
    assert [body.get("error") for _, body in results] == [None, "access_denied", "expired_token"]
    bearer = f"Bearer {results[0][1]['access_token']}"
    assert (await tester.call("GET", "/v1/userinfo", authorization=bearer))[1]["user_sid"] == grace.sid


async def test_decision_that_comes_too_late_is_reported(tester: OverviewUser) -> None:
    code = await tester.device_code()
    await tester.get()
    await tester.emulator.approve(code["user_code"])
    assert await tester.press("deny", user_code=code["user_code"]) == 409
    assert "Nothing was changed: " in tester.text
    assert await tester.press("deny", user_code="") == 409
    assert await tester.press("deny", user_code=code["user_code"], user="US0") == 400
    await tester.get()
    assert await tester.press("explode") == 400


async def test_other_buttons(tester: OverviewUser) -> None:
    token = await tester.sign_in()
    await tester.get()
    await tester.press("expire_access_tokens")
    assert await tester.userinfo_status(token["access_token"]) == 401
    await tester.press("fail_refreshes")
    assert (await tester.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    assert "1 request hit, used up." in re.sub(r"\s+", " ", await tester.get())
    await tester.press("remove_fault", id="0")
    assert list(tester.emulator.faults) == []
    await tester.press("revoke_user", user=tester.emulator.user.sid)
    assert (await tester.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    await tester.press("clear")
    assert len(tester.emulator.requests) == 0
    assert "No request was received." in tester.section("requests")


async def test_number_of_requests_that_are_not_shown() -> None:
    async with (
        Emulator(control_token=CONTROL_TOKEN, journal_size=103) as emulator,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        tester = OverviewUser(emulator, http)
        for _ in range(105):
            await tester.call("GET", "/v1/certs")
        await tester.get()
        await tester.press("sign_in", control_token=CONTROL_TOKEN)
        assert "3 older. 2 were forgotten." in tester.section("requests")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/", 200),
        ("PUT", "/", 405),
        ("GET", "/assets/overview.css", 200),
        ("HEAD", "/assets/overview.js", 200),
        ("POST", "/assets/overview.js", 405),
    ],
)
async def test_security_headers_and_methods(visitor: OverviewUser, method: str, path: str, status: int) -> None:
    found, _, response = await visitor.call(method, path)
    assert found == status
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "unsafe" not in policy
    assert response.headers["Cache-Control"] == "no-store"
    assert len(visitor.emulator.requests) == 0


async def test_other_host_is_refused(tester: OverviewUser) -> None:
    await tester.get(headers={"Host": "evil.example"})
    assert tester.status == 421
