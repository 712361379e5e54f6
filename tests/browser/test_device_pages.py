"""The emulator's device pages in a browser: with mouse, keyboard and touch, in light and dark mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.authorization_code import query, url
from tests.helpers.browser import NewPage
from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.emulator import Emulator

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACTIVATE = "/v1/oauth2/device/activate"
NARROW = {"width": 320, "height": 568}


async def poll_result(caller: Caller, code: dict[str, Any]) -> str:
    status, body = await caller.poll(code["device_code"])
    return "signed in" if status == 201 else str(body["error"])


async def shows(page: Page, heading: str) -> None:
    """Wait for the page with this heading: a click returns before the next page is loaded."""
    await page.get_by_role("heading", name=heading, exact=True).wait_for()


async def test_entered_code_can_be_approved(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code("openid", "messages.read")
    page = await new_page()
    await page.goto(ACTIVATE)
    await page.get_by_label("Code").fill(code["user_code"].lower().replace("-", " "))
    await page.get_by_role("button", name="Continue").click()
    await shows(page, "Allow Kitchen Display?")
    assert await page.get_by_role("listitem").all_inner_texts() == [
        "see which Twilio user you are",
        "use the permission messages.read",
    ]
    await page.get_by_role("button", name="Approve").click()
    await shows(page, "Approved")
    assert await poll_result(caller, code) == "signed in"
    await page.reload()
    await shows(page, "Approved")
    assert len(caller.emulator.requests.to("consent")) == 1, "a reload does not send the decision again"


async def test_link_with_the_code_fills_in_the_form_and_the_user_can_deny(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code()
    page = await new_page()
    await page.goto("/" + code["verification_uri_complete"])
    assert await page.get_by_label("Code").input_value() == code["user_code"]
    assert await page.get_by_role("button", name="Approve").count() == 0
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Deny").click()
    await shows(page, "Denied")
    assert await poll_result(caller, code) == "access_denied"


async def test_empty_or_wrong_code_can_be_corrected(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code()
    page = await new_page()
    await page.goto(ACTIVATE)
    await page.get_by_role("button", name="Continue").click()
    assert [request.method for request in caller.emulator.requests.to("activate")] == ["GET"], "nothing was sent"
    await page.get_by_label("Code").fill("WRNG-CODE")
    await page.get_by_role("button", name="Continue").click()
    assert "is unknown" in await page.get_by_role("alert").inner_text()
    field = page.get_by_label("Code")
    assert await field.get_attribute("aria-invalid") == "true"
    await page.locator("#user_code:focus").wait_for()
    await field.fill(code["user_code"])
    await page.get_by_role("button", name="Continue").click()
    await shows(page, "Allow Kitchen Display?")


async def test_code_that_expires_on_the_consent_page_is_reported(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code()
    page = await new_page()
    await page.goto("/" + code["verification_uri_complete"])
    await page.get_by_role("button", name="Continue").click()
    await shows(page, "Allow Kitchen Display?")
    await caller.emulator.expire(code["user_code"])
    await page.get_by_role("button", name="Approve").click()
    assert "expired" in await page.get_by_role("alert").inner_text()
    assert await page.get_by_label("Code").input_value() == ""
    assert await poll_result(caller, code) == "expired_token"


async def test_pages_can_be_used_with_the_keyboard(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code()
    page = await new_page()
    await page.goto(ACTIVATE)
    await page.locator("#user_code:focus").wait_for()  # it has the focus initially
    await page.keyboard.type(code["user_code"])
    await page.keyboard.press("Enter")
    await shows(page, "Allow Kitchen Display?")
    await page.wait_for_load_state()
    for key, name in (("Tab", "Approve"), ("Tab", "Deny"), ("Shift+Tab", "Approve")):
        await page.keyboard.press(key)
        focused = page.locator(":focus-visible", has_text=name)
        assert await focused.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/approved")
    assert await poll_result(caller, code) == "signed in"


async def open_consent_with_users(caller: Caller, new_page: NewPage) -> tuple[dict[str, Any], Page]:
    """Open the consent page of an emulator that has several users, and focus the menu of the users."""
    caller.emulator.add_user("Grace", "Other", "grace@example.com")
    code = await caller.device_code()
    page = await new_page()
    await page.goto("/" + code["verification_uri_complete"])
    await page.get_by_role("button", name="Continue").click()
    await shows(page, "Allow Kitchen Display?")
    await page.wait_for_load_state()
    await page.keyboard.press("Tab")
    assert await page.locator(":focus").get_attribute("name") == "user"
    return code, page


def decisions(caller: Caller) -> list[str | None]:
    return [request.form.get("decision") for request in caller.emulator.requests.to("consent")]


async def test_enter_in_the_menu_does_not_approve(caller: Caller, new_page: NewPage) -> None:
    """RFC 10027 6.1.14: only a button approves."""
    code, page = await open_consent_with_users(caller, new_page)
    await page.keyboard.press("g")  # selects Grace without opening the menu
    assert await page.get_by_label("Sign in as").input_value() == caller.emulator.users[-1].sid
    for key in ("Enter", "NumpadEnter", "Control+Enter"):
        await page.keyboard.press(key)
        await page.wait_for_timeout(100)
        await page.keyboard.press("Escape")  # closes the menu if the key has opened it
    await shows(page, "Allow Kitchen Display?")
    assert decisions(caller) == []
    assert await poll_result(caller, code) == "authorization_pending"
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    assert await page.locator(":focus").inner_text() == "Deny"
    await page.keyboard.press("Enter")
    await shows(page, "Denied")
    assert decisions(caller) == ["deny"]


@pytest.mark.parametrize("is_guarded", [True, False])
async def test_only_the_disabled_default_button_keeps_enter_from_approving(
    caller: Caller, new_page: NewPage, is_guarded: bool
) -> None:
    """In this Chromium, Enter opens a menu; in other browsers it submits the form, as it does in a text field."""
    _, page = await open_consent_with_users(caller, new_page)
    default = page.locator("form button").first
    assert await default.is_disabled()
    assert not await default.is_visible()
    if not is_guarded:
        await default.evaluate("button => button.remove()")
    await page.get_by_label("Sign in as").evaluate("menu => menu.before(document.createElement('input'))")
    await page.locator("select[name=user]").evaluate("menu => menu.previousElementSibling.focus()")
    await page.keyboard.press("Enter")
    if is_guarded:
        await page.wait_for_timeout(300)
    await shows(page, "Allow Kitchen Display?" if is_guarded else "Approved")
    assert decisions(caller) == ([] if is_guarded else ["approve"])


async def test_pages_can_be_used_by_touch_on_a_narrow_screen(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code("openid", "https://api.example.com/a/scope/that/is/much/longer/than/the/screen")
    page = await new_page(viewport=NARROW, has_touch=True)
    await page.goto("/" + code["verification_uri_complete"])
    await page.get_by_role("button", name="Continue").tap()
    await shows(page, "Allow Kitchen Display?")
    for name in ("Approve", "Deny"):
        box = await page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= 44, "too small for touch"
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 320
    await page.get_by_role("button", name="Approve").tap()
    await shows(page, "Approved")
    assert await poll_result(caller, code) == "signed in"


async def test_pages_work_without_scripts(caller: Caller, new_page: NewPage) -> None:
    code = await caller.device_code()
    page = await new_page(java_script_enabled=False)
    await page.goto("/" + code["verification_uri_complete"])
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("button", name="Approve").click()
    await shows(page, "Approved")
    assert await poll_result(caller, code) == "signed in"


async def test_user_is_chosen_from_a_list(caller: Caller, new_page: NewPage) -> None:
    other = caller.emulator.add_user("Grace", "Other", "grace@example.com")
    code = await caller.device_code()
    page = await new_page()
    await page.goto("/" + code["verification_uri_complete"])
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_label("Sign in as").select_option(label="Grace Other (grace@example.com)")
    await page.get_by_role("button", name="Approve").click()
    await shows(page, "Approved")
    _, token = await caller.poll(code["device_code"])
    _, body, _ = await caller.call("GET", "/v1/userinfo", authorization=f"Bearer {token['access_token']}")
    assert body["user_sid"] == other.sid


async def test_authorization_page_redirects_to_the_app_without_a_referrer(caller: Caller, new_page: NewPage) -> None:
    page = await new_page()
    # Another emulator is the redirect target of the app: the Content-Security-Policy must allow this redirect.
    async with type(caller.emulator)() as elsewhere:
        for decision in ("Approve", "Deny"):
            await page.goto(url(caller, redirect_uri=elsewhere.base_url + "/callback"))
            await page.get_by_role("button", name=decision).click()
            await page.wait_for_url("**/callback?*")
            arrived = elsewhere.requests[0]
            assert arrived.query["state"] == query(caller)["state"]
            assert ("code" in arrived.query) == (decision == "Approve")
            assert "Referer" not in arrived.headers
            elsewhere.requests.clear()


async def test_page_cannot_be_framed_by_another_site(browser: Browser, emulator: Emulator) -> None:
    async with await browser.new_context() as context:
        page = await context.new_page()
        async with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
            await page.set_content(f'<iframe src="{emulator.base_url}{ACTIVATE}"></iframe>')
        assert await page.frames[1].locator("form").count() == 0
