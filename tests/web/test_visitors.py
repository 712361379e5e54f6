"""Access control of the sign-in site: cookie, CSRF token, headers, and secrets that must not leak."""

import hashlib
import logging
import re

import pytest

from tests.helpers.web_site import Visitor, approve, serving, stored

pytestmark = pytest.mark.asyncio

POSTS = ["/connect", "/cancel", "/login", "/sign-out"]


async def test_sign_in_id_without_the_cookie_secret_gives_no_access(new_visitor, emulator):
    ada, eve = new_visitor(), new_visitor()
    code = await ada.connect()
    sign_in = ada.cookie.split(".")[1]
    await eve.get()
    eve.cookie = eve.cookie.split(".")[0] + "." + sign_in
    assert code not in await eve.get()
    assert "Connect your Twilio account" in eve.text
    await eve.get("/events")
    assert eve.status == 404
    await eve.get()
    await eve.submit("/cancel")
    await approve(emulator, code)
    await ada.wait_for("Signed in as")
    assert "Connect your Twilio account" in await eve.get()
    await eve.get("/events")
    assert eve.status == 404, "the result is not visible either"


async def test_key_from_the_stores_is_not_accepted_as_cookie(new_visitor, emulator, state):
    ada, eve = new_visitor(), new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    secret = ada.cookie.split(".")[0]
    assert secret not in stored(state, "tokens.db") + stored(state, "flows.db")
    key = hashlib.sha256(secret.encode()).hexdigest()
    assert key in stored(state, "tokens.db")
    for cookie in (f"{key}.", f"{key[:43]}."):
        eve.cookie = cookie
        assert "Connect your Twilio account" in await eve.get()


async def test_cookie_set_by_an_attacker_is_not_signed_in_by_a_code(new_visitor, emulator):
    ada, eve = new_visitor(), new_visitor()
    await eve.get()
    await ada.get()
    ada.cookie = attacker_cookie = eve.cookie
    code = await ada.connect()
    assert ada.cookie.split(".")[0] != attacker_cookie.split(".")[0]
    assert code not in await eve.get()
    await approve(emulator, code)
    await ada.wait_for("Signed in as")
    assert "Connect your Twilio account" in await eve.get()


async def test_old_cookie_gives_no_access_after_sign_out(new_visitor, emulator):
    ada, eve = new_visitor(), new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    stolen = ada.cookie
    await ada.submit("/sign-out")
    assert ada.cookie != stolen
    eve.cookie = stolen
    assert "Connect your Twilio account" in await eve.get()


@pytest.mark.parametrize("action", POSTS)
async def test_form_without_the_visitors_csrf_token_changes_nothing(new_visitor, emulator, action):
    ada, eve = new_visitor(), new_visitor()
    code = await ada.connect()
    await eve.get()
    requests_before = len(emulator.requests)
    for data in ({}, {"csrf": ""}, {"csrf": "é"}, {"csrf": eve.csrf}, None):
        async with ada.request("POST", action, data=data, allow_redirects=False) as response:
            assert response.status == 403
            assert "This page was out of date. Nothing was changed." in await response.text()
            assert "Set-Cookie" not in response.headers
    async with Visitor(ada.url) as other, other.request("POST", action, data={"csrf": ada.csrf}) as response:
        assert response.status == 403, "a form without a cookie belongs to no visitor"
    async with ada.request("GET", action) as response:
        assert response.status == 405, "a GET request must not do it either"
    assert len(emulator.requests) == requests_before
    await ada.get()
    assert ada.code == code


async def test_form_of_a_page_from_before_the_sign_in_is_rejected(new_visitor):
    ada = new_visitor()
    await ada.get()
    old = ada.csrf
    code = await ada.connect()
    async with ada.request("POST", "/connect", data={"csrf": old}) as response:
        assert response.status == 403
    await ada.get()
    assert ada.code == code


@pytest.mark.parametrize(
    "cookie", ["x", "." * 44, "a" * 43, "a" * 43 + "." + "b" * 65, "a" * 43 + ".b.c", "ä" * 43 + "."]
)
async def test_malformed_cookie_is_replaced(new_visitor, cookie):
    ada = new_visitor()
    ada.cookie = cookie
    await ada.get()
    assert ada.status == 200
    assert re.fullmatch(r"[\w-]{43}\.", ada.cookie)


async def test_cookie_with_an_unknown_sign_in_shows_the_start_page(new_visitor):
    ada = new_visitor()
    ada.cookie = "a" * 43 + "." + "b" * 22
    assert "Connect your Twilio account" in await ada.get()
    await ada.submit("/cancel")
    assert ada.status == 200


async def test_cookie_attributes(new_visitor):
    ada = new_visitor()
    await ada.get()
    flags = ada.headers["Set-Cookie"].lower()
    for flag in ("httponly", "samesite=lax", "path=/", "max-age=2592000"):
        assert flag in flags
    assert "domain" not in flags
    assert "Set-Cookie" not in (await ada.get(), ada.headers)[1]


async def test_cookie_with_an_https_url_is_secure_and_has_the_host_prefix(framework, state, emulator):
    async with (
        serving(framework, emulator, state, url="https://connect.example.com/twilio") as url,
        Visitor(url) as ada,
    ):
        await ada.get()
        assert ada.headers["Set-Cookie"].startswith("__Host-twilio-sign-in-")
        assert "; Secure" in ada.headers["Set-Cookie"]


async def test_every_response_has_the_security_headers(new_visitor):
    ada = new_visitor()
    await ada.connect()
    for method, path, status in (
        ("GET", "/", 200),
        ("GET", "/static/pages.css", 200),
        ("GET", "/static/sign-in.js", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/static/..%2fpages.css", 404),
        ("POST", "/static/pages.css", 405),
        ("DELETE", "/", 405),
        ("HEAD", "/callback", 405),
        ("GET", "/callback", 400),
        ("POST", "/connect", 403),
        ("GET", "/events", 200),
    ):
        async with ada.request(method, path) as response:
            assert response.status == status, path
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "form-action 'self';" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "same-origin"
            assert response.headers.getall("Cache-Control") == ["no-store"]


async def test_file_is_kept_by_the_browser_only_in_its_present_version(new_visitor):
    ada = new_visitor()
    url = re.search(r'href="/twilio(/static/pages\.css\?v=\w+)"', await ada.get())[1]
    for path, kept in ((url, True), (url[:-1] + "x", False), (url.partition("?")[0], False)):
        await ada.get(path)
        assert ada.headers["Cache-Control"] == ("public, max-age=86400" if kept else "no-store")


async def test_cookie_is_prolonged_by_each_visit_of_a_signed_in_user(new_visitor, emulator):
    ada = new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    assert f"={ada.cookie};" in ada.headers["Set-Cookie"]


async def test_no_secret_is_logged_or_shown(new_visitor, emulator, state, caplog):
    caplog.set_level(logging.DEBUG)
    seen, secrets = [], set()
    ada = new_visitor()
    seen.append(await ada.get())
    secrets.add(ada.cookie.split(".")[0])
    code = await ada.connect()
    seen.append(ada.text)
    flow = stored(state, "flows.db")
    await approve(emulator, code)
    seen += [await ada.wait_for("Signed in as"), str(await ada.read_events())]
    token = stored(state, "tokens.db")
    secrets.add(ada.cookie.split(".")[0])
    secrets |= set(re.findall(r'"(?:device_code|access_token|refresh_token|id_token)": ?"([^"]+)"', flow + token))
    csrf = ada.csrf
    await ada.submit("/sign-out")
    back = await emulator.authorize(await ada.start_browser_sign_in())
    seen.append(await ada.get(back.removeprefix(ada.url)))
    assert "Signed in as" in ada.text
    secrets |= {ada.cookie.split(".")[0], re.search("code=([^&]+)", back)[1]}
    assert len(secrets) == 8
    written = caplog.text
    assert "a sign-in ended: approved" in written
    for secret in secrets:
        assert secret not in "".join(seen)
        # This also covers what the test's own HTTP client logs, since it runs in the same process.
        assert secret not in written
    assert csrf not in written
    assert emulator.auth_token not in written + "".join(seen)
