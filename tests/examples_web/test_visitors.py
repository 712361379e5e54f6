"""Who may see and do what: the cookie, the forms, the headers, and what must never be seen."""

import logging
import re

import pytest

from tests.helpers.web_site import Person, approve, serving, stored

pytestmark = pytest.mark.asyncio

POSTS = ["/connect", "/cancel", "/login", "/sign-out"]


async def test_the_id_of_a_sign_in_is_worth_nothing_without_its_cookie(new_person, emulator):
    ada, eve = new_person(), new_person()
    code = await ada.connect()
    sign_in = ada.cookie.split(".")[1]
    await eve.look()
    eve.cookie = eve.cookie.split(".")[0] + "." + sign_in
    assert code not in await eve.look()
    assert "Connect with a code" in eve.text
    await eve.look("/events")
    assert eve.status == 404
    await eve.look()
    await eve.press("/cancel")
    await approve(emulator, code)
    await ada.until("Signed in as")
    assert "Connect with a code" in await eve.look()
    await eve.look("/events")
    assert eve.status == 404, "nor how it ended"


async def test_the_key_in_the_stores_is_no_cookie(new_person, emulator, state):
    ada, eve = new_person(), new_person()
    await approve(emulator, await ada.connect())
    await ada.until("Signed in as")
    secret = ada.cookie.split(".")[0]
    assert secret not in stored(state, "tokens.json") + stored(state, "flows.json")
    key = re.search(r'"([0-9a-f]{64})"', stored(state, "tokens.json"))[1]
    for cookie in (f"{key}.", f"{key[:43]}."):
        eve.cookie = cookie
        assert "Connect with a code" in await eve.look()


async def test_a_planted_cookie_is_not_signed_in_by_a_code(new_person, emulator):
    ada, eve = new_person(), new_person()
    await eve.look()
    await ada.look()
    ada.cookie = planted = eve.cookie
    code = await ada.connect()
    assert ada.cookie.split(".")[0] != planted.split(".")[0]
    assert code not in await eve.look()
    await approve(emulator, code)
    await ada.until("Signed in as")
    assert "Connect with a code" in await eve.look()


async def test_signing_out_leaves_the_old_cookie_worthless(new_person, emulator):
    ada, eve = new_person(), new_person()
    await approve(emulator, await ada.connect())
    await ada.until("Signed in as")
    stolen = ada.cookie
    await ada.press("/sign-out")
    assert ada.cookie != stolen
    eve.cookie = stolen
    assert "Connect with a code" in await eve.look()


@pytest.mark.parametrize("action", POSTS)
async def test_a_form_of_somebody_else_does_nothing(new_person, emulator, action):
    ada, eve = new_person(), new_person()
    code = await ada.connect()
    await eve.look()
    asked = len(emulator.requests)
    for data in ({}, {"csrf": ""}, {"csrf": "é"}, {"csrf": eve.csrf}, None):
        async with ada.http.post(action, data=data, allow_redirects=False) as response:
            assert response.status == 403
            assert "out of date, and nothing was done" in await response.text()
            assert "Set-Cookie" not in response.headers
    async with Person(ada.url) as nobody, nobody.http.post(action, data={"csrf": ada.csrf}) as response:
        assert response.status == 403, "without a cookie there is nobody whose form it could be"
    async with ada.http.get(action) as response:
        assert response.status in {404, 405}, "a link must not do it either"
    assert len(emulator.requests) == asked
    await ada.look()
    assert ada.code == code


async def test_a_page_from_before_the_code_says_that_it_is_out_of_date(new_person):
    ada = new_person()
    await ada.look()
    old = ada.csrf
    code = await ada.connect()
    async with ada.http.post("/connect", data={"csrf": old}) as response:
        assert response.status == 403
    await ada.look()
    assert ada.code == code


@pytest.mark.parametrize(
    "cookie", ["x", "." * 44, "a" * 43, "a" * 43 + "." + "b" * 65, "a" * 43 + ".b.c", "ä" * 43 + "."]
)
async def test_a_cookie_that_is_none_is_replaced(new_person, cookie):
    ada = new_person()
    ada.cookie = cookie
    await ada.look()
    assert ada.status == 200
    assert re.fullmatch(r"[\w-]{43}\.", ada.cookie)


async def test_a_sign_in_that_never_was_is_none(new_person):
    ada = new_person()
    ada.cookie = "a" * 43 + "." + "b" * 22
    assert "Connect with a code" in await ada.look()
    await ada.press("/cancel")
    assert ada.status == 200


async def test_the_cookie_is_for_this_site_s_pages_only(new_person):
    ada = new_person()
    await ada.look()
    flags = ada.headers["Set-Cookie"].lower()
    for flag in ("httponly", "samesite=lax", "path=/", "max-age=2592000"):
        assert flag in flags
    assert "domain" not in flags
    assert "Set-Cookie" not in (await ada.look(), ada.headers)[1]


async def test_behind_https_the_cookie_is_bound_to_it(name, state, emulator):
    async with serving(name, state, url="https://connect.example.com") as url, Person(url) as ada:
        await ada.look()
        assert ada.headers["Set-Cookie"].startswith("__Host-visitor=")
        assert "; Secure" in ada.headers["Set-Cookie"]


async def test_every_answer_has_the_headers(new_person):
    ada = new_person()
    await ada.connect()
    for method, path, status in (
        ("GET", "/", 200),
        ("GET", "/static/style.css", 200),
        ("GET", "/static/connect.js", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/static/../page.html", 404),
        ("GET", "/callback", 400),
        ("POST", "/connect", 403),
        ("GET", "/events", 200),
    ):
        async with ada.http.request(method, path) as response:
            assert response.status == status, path
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cache-Control"] == "no-store"


async def test_nothing_secret_is_logged_or_shown(new_person, emulator, state, caplog):
    caplog.set_level(logging.DEBUG)
    seen, secrets = [], set()
    ada = new_person()
    seen.append(await ada.look())
    secrets.add(ada.cookie.split(".")[0])
    code = await ada.connect()
    seen.append(ada.text)
    flow = stored(state, "flows.json")
    await approve(emulator, code)
    seen += [await ada.until("Signed in as"), str(await ada.stream())]
    token = stored(state, "tokens.json")
    secrets.add(ada.cookie.split(".")[0])
    secrets |= set(re.findall(r'"(?:device_code|access_token|refresh_token|id_token)": ?"([^"]+)"', flow + token))
    csrf = ada.csrf
    await ada.press("/sign-out")
    async with ada.http.post("/login", data={"csrf": ada.csrf}, allow_redirects=False) as response:
        back = await emulator.authorize(response.headers["Location"])
    seen.append(await ada.look(back.removeprefix(ada.url)))
    assert "Signed in as" in ada.text
    secrets |= {ada.cookie.split(".")[0], re.search("code=([^&]+)", back)[1]}
    assert len(secrets) == 8
    written = caplog.text
    assert "a sign-in ended: approved" in written
    for secret in secrets:
        assert secret not in "".join(seen)
        # The test's own client stands in the same process; what it logs is no affair of the example's.
        assert secret not in written
    assert csrf not in written
    assert emulator.auth_token not in written + "".join(seen)
