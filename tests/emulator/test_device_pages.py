"""The pages of the device grant, over HTTP with a `FormBrowser`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.form_browser import FormBrowser
from twilio_oauth_async.emulator.pages.consent_texts import WARNING, permissions
from twilio_oauth_async.protocol.sign_in_texts import SignInTexts

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("typed", ["{0}-{1}", "{0}{1}", " {0} {1} ", "{0}--{1}"])
@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
async def test_user_enters_the_code_and_approves(caller: Caller, typed: str, case: Callable[[str], str]) -> None:
    code = await caller.device_code("openid", "messages.read")
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.visit(code["verification_uri"])
        form = await browser.submit(form, user_code=case(typed.format(*code["user_code"].split("-"))))
        assert browser.status == 200
        for text in (
            "Example App",
            "<li>see which Twilio user you are</li>",
            "<li>use the permission messages.read</li>",
            code["user_code"],
            caller.emulator.user.email,
            WARNING,
            "Started at",
            "The code expires at",
        ):
            assert text in browser.page
        await browser.submit(form, decision="approve")
        assert browser.status == 200
        assert "<h1>Approved</h1>" in browser.page
    assert (await caller.poll(code["device_code"]))[0] == 201


async def test_code_in_the_url_is_filled_in_and_must_be_submitted(caller: Caller) -> None:
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.visit(code["verification_uri_complete"])
        assert form.fields["user_code"] == code["user_code"]
        assert "Example App" not in browser.page
        form = await browser.submit(form)
        await browser.submit(form, decision="deny")
        assert "<h1>Denied</h1>" in browser.page
    assert (await caller.poll(code["device_code"]))[1]["error"] == "access_denied"


async def test_opening_the_consent_page_does_not_approve(caller: Caller) -> None:
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        await browser.submit(await browser.visit(code["verification_uri_complete"]))
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"


async def test_unknown_expired_and_used_codes_are_explained(caller: Caller) -> None:
    expired, used = await caller.device_code(), await caller.device_code()
    await caller.emulator.expire(expired["user_code"])
    await caller.emulator.approve(used["user_code"])
    async with FormBrowser(caller.emulator) as browser:
        for typed, status, text in (
            ("WRNG-CODE", 404, "is unknown"),
            (expired["user_code"], 410, "expired"),
            (used["user_code"], 409, "already used"),
            ("", 404, "is unknown"),
        ):
            form = await browser.visit(expired["verification_uri"])
            await browser.submit(form, user_code=typed)
            assert browser.status == status
            assert text in browser.page


async def test_approval_of_a_code_that_has_expired_meanwhile_gets_410(caller: Caller) -> None:
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.submit(await browser.visit(code["verification_uri_complete"]))
        await caller.emulator.expire(code["user_code"])
        await browser.submit(form, decision="approve")
        assert browser.status == 410


@pytest.mark.parametrize("csrf", ["", "0" * 64])
async def test_forged_form_gets_403_and_does_not_approve(caller: Caller, csrf: str) -> None:
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.submit(await browser.visit(code["verification_uri_complete"]))
        await browser.submit(form, decision="approve", csrf=csrf)
        assert browser.status == 403
        async with FormBrowser(caller.emulator) as other_browser:
            await other_browser.submit(form, decision="approve")
            assert other_browser.status == 403
        async with browser.http.post(
            browser.base_url + form.action,
            data=form.fields | {"decision": "approve"},
            headers={"Sec-Fetch-Site": "cross-site"},
        ) as response:
            assert response.status == 403
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"


async def test_decision_other_than_approve_or_deny_gets_400(caller: Caller) -> None:
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.submit(await browser.visit(code["verification_uri_complete"]))
        for decision in ("", "unknown"):
            await browser.submit(form, decision=decision)
            assert browser.status == 400


async def test_user_code_in_the_url_is_escaped(caller: Caller) -> None:
    async with FormBrowser(caller.emulator) as browser:
        await browser.visit("v1/oauth2/device/activate?user_code=%22%3E%3Cscript%3E")
        assert "<script" not in browser.page
        assert "&#34;&gt;&lt;script&gt;" in browser.page


async def test_security_headers_no_scripts_and_no_external_resources(caller: Caller) -> None:
    async with FormBrowser(caller.emulator) as browser:
        await browser.visit("v1/oauth2/device/activate")
        policy = browser.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert browser.headers["X-Content-Type-Options"] == "nosniff"
        assert browser.headers["Referrer-Policy"] == "no-referrer"
        assert browser.headers["Cache-Control"] == "no-store"
        assert "http://" not in browser.page
        assert "https://" not in browser.page
        assert "<script" not in browser.page
        assert "style=" not in browser.page
        await browser.visit("assets/pages.css")
        assert browser.headers["Content-Type"].startswith("text/css")


async def test_another_user_can_be_selected(caller: Caller) -> None:
    other = caller.emulator.add_user("Grace", "Other", "grace@example.com")
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.submit(await browser.visit(code["verification_uri_complete"]))
        assert "grace@example.com" in browser.page
        await browser.submit(form, decision="approve", user="USother")
        assert browser.status == 400
        await browser.submit(form, decision="approve", user=other.sid)
        assert browser.status == 200
    _, token = await caller.poll(code["device_code"])
    _, body, _ = await caller.call("GET", "/v1/userinfo", authorization=f"Bearer {token['access_token']}")
    assert (body["user_sid"], body["friendly_name"]) == (other.sid, "Grace Other")


async def test_texts_are_those_of_the_client() -> None:
    texts = SignInTexts()
    scopes = ["openid", "profile", "email", "offline_access", "calls:read"]
    assert permissions(scopes, ["https://api.example"], {}) == texts.allowed(scopes, ["https://api.example"])
    assert texts["warning"] == WARNING
