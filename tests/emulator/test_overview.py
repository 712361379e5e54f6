"""The page at ``/`` for people: who may see it, what it shows, and what its buttons do."""

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


class Person(Caller):
    """A person with a browser that keeps cookies."""

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
async def visitor(clock: VirtualClock) -> AsyncIterator[Person]:
    """A person who has not entered the control token."""
    jar = aiohttp.CookieJar(unsafe=True)  # also cookies of addresses
    async with (
        Emulator(clock=clock, control_token=CONTROL_TOKEN) as emulator,
        aiohttp.ClientSession(cookie_jar=jar) as http,
    ):
        yield Person(emulator, http)


@pytest_asyncio.fixture
async def person(visitor: Person) -> Person:
    await visitor.get()
    assert await visitor.press("sign_in", control_token=CONTROL_TOKEN) == 200
    return visitor


async def test_page_needs_the_control_token(visitor: Person) -> None:
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


async def test_cookie_is_hidden_from_scripts_and_other_sites(visitor: Person) -> None:
    await visitor.get()
    csrf = re.search(r'name="csrf" value="(\w+)"', visitor.text)[1]  # type: ignore[index]
    form = {"csrf": csrf, "action": "sign_in", "control_token": CONTROL_TOKEN}
    url = visitor.emulator.base_url + "/"
    async with visitor.http.post(url, data=form, allow_redirects=False) as response:
        cookie = response.headers["Set-Cookie"]
        assert (response.status, response.headers["Location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


async def test_cookie_of_another_emulator_is_not_accepted(person: Person) -> None:
    async with Emulator(control_token=CONTROL_TOKEN) as other:
        person.emulator = other
        assert "Control token" in await person.get()


async def test_emulator_without_a_control_token_says_how_to_get_one() -> None:
    async with Emulator() as emulator, aiohttp.ClientSession() as http:
        person = Person(emulator, http)
        page = await person.get()
        assert "Emulator(control_token=...)" in page
        assert "<form" not in page


async def test_form_of_another_site_is_refused(person: Person) -> None:
    code = await person.device_code()
    url = person.emulator.base_url + "/"
    for form, headers in (
        ({"action": "clear"}, {}),
        ({"action": "clear", "csrf": "0" * 64}, {}),
        (
            {"action": "clear", "csrf": re.search(r'name="csrf" value="(\w+)"', person.text)[1]},
            {"Sec-Fetch-Site": "cross-site"},
        ),  # type: ignore[index]
    ):
        async with person.http.post(url, data=form, headers=headers) as response:
            assert response.status == 403
    assert [each.user_code for each in person.emulator.device_codes] == [code["user_code"]]


async def test_page_shows_codes_users_tokens_faults_and_requests(person: Person, clock: VirtualClock) -> None:
    e = person.emulator
    e.load_seed({"scopes": {"messages.read": "read your <messages>"}})
    await person.refresh((await person.sign_in())["refresh_token"])
    code = await person.device_code("openid", "messages.read")
    e.faults.on("refresh").times(2).respond(503)
    await person.refresh("canary-token")
    page = await person.get()
    assert person.section("codes").startswith(
        f"Codes that wait for a user {code['user_code']} Example App asks to: see which Twilio user you are "
        "read your <messages> Started at 00:00 UTC. Expires at 00:04 UTC."
    )
    assert f"Ada Example (ada@example.com) {e.user.sid}" in person.section("users")
    assert person.section("tokens").startswith(
        "Tokens Kind valid replaced expired revoked access 2 0 0 0 refresh 1 1 0 0"
    )
    assert "on('refresh').times(2).respond(503) 1 request hit." in person.section("faults")
    shown = person.section("requests")
    assert "00:00:00 POST /v1/token refresh 503 <Fault on('refresh').times(2).respond(503), 1 hits>" in shown
    assert shown.index("503") < shown.index("device_code"), "the newest is first"
    assert "0 older. Times are in UTC." in shown
    assert "Virtual clock 00:00 UTC" in person.section("server")
    for secret in ("canary-token", CONTROL_TOKEN, e.auth_token, str(e.client_secret)):
        assert secret not in page
    assert [request.path for request in e.requests if request.path == "/"] == [], "the page is not in the journal"


async def test_buttons_decide_about_a_code(person: Person) -> None:
    grace = person.emulator.add_user("Grace", "Other", "grace@example.com")
    codes = [await person.device_code() for _ in range(3)]
    for code, action in zip(codes, ("approve", "deny", "expire"), strict=True):
        await person.get()
        assert await person.press(action, user_code=code["user_code"], user=grace.sid) == 200
    assert "No code waits." in person.section("codes")
    results = [await person.poll(code["device_code"]) for code in codes]
    assert [body.get("error") for _, body in results] == [None, "access_denied", "expired_token"]
    bearer = f"Bearer {results[0][1]['access_token']}"
    assert (await person.call("GET", "/v1/userinfo", authorization=bearer))[1]["user_sid"] == grace.sid


async def test_decision_that_comes_too_late_is_reported(person: Person) -> None:
    code = await person.device_code()
    await person.get()
    await person.emulator.approve(code["user_code"])
    assert await person.press("deny", user_code=code["user_code"]) == 409
    assert "Nothing was changed: " in person.text
    assert await person.press("deny", user_code="") == 409
    assert await person.press("deny", user_code=code["user_code"], user="US0") == 400
    await person.get()
    assert await person.press("explode") == 400


async def test_other_buttons(person: Person) -> None:
    token = await person.sign_in()
    await person.get()
    await person.press("expire_access_tokens")
    assert await person.userinfo_status(token["access_token"]) == 401
    await person.press("fail_refreshes")
    assert (await person.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    assert "1 request hit, used up." in re.sub(r"\s+", " ", await person.get())
    await person.press("remove_fault", id="0")
    assert list(person.emulator.faults) == []
    await person.press("revoke_user", user=person.emulator.user.sid)
    assert (await person.refresh(token["refresh_token"]))[1]["error"] == "invalid_grant"
    await person.press("clear")
    assert len(person.emulator.requests) == 0
    assert "No request was received." in person.section("requests")


async def test_number_of_requests_that_are_not_shown() -> None:
    async with (
        Emulator(control_token=CONTROL_TOKEN, journal_size=103) as emulator,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        person = Person(emulator, http)
        for _ in range(105):
            await person.call("GET", "/v1/certs")
        await person.get()
        await person.press("sign_in", control_token=CONTROL_TOKEN)
        assert "3 older. 2 were forgotten." in person.section("requests")


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
async def test_security_headers_and_methods(visitor: Person, method: str, path: str, status: int) -> None:
    found, _, response = await visitor.call(method, path)
    assert found == status
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert "unsafe" not in policy
    assert response.headers["Cache-Control"] == "no-store"
    assert len(visitor.emulator.requests) == 0


async def test_other_host_is_refused(person: Person) -> None:
    await person.get(headers={"Host": "evil.example"})
    assert person.status == 421
