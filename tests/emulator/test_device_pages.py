"""The pages of the device grant, over HTTP: a scripted person fetches forms and submits them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.page_user import PageUser as Person

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("typed", ["{0}-{1}", "{0}{1}", " {0} {1} ", "{0}--{1}"])
@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
async def test_enter_the_code_and_approve(caller: Caller, typed: str, case: Callable[[str], str]) -> None:
    code = await caller.device_code("openid", "messages.read")
    async with Person(caller.emulator) as person:
        form = await person.visit(code["verification_uri"])
        form = await person.submit(form, user_code=case(typed.format(*code["user_code"].split("-"))))
        assert person.status == 200
        for text in ("Example App", "messages.read", "openid", code["user_code"], caller.emulator.user.email):
            assert text in person.page
        await person.submit(form, decision="approve")
        assert person.status == 200
        assert "<h1>Approved</h1>" in person.page
    assert (await caller.poll(code["device_code"]))[0] == 201


async def test_a_code_in_the_link_is_filled_in_but_still_has_to_be_confirmed(caller: Caller) -> None:
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        form = await person.visit(code["verification_uri_complete"])
        assert form.fields["user_code"] == code["user_code"]
        assert "Example App" not in person.page
        form = await person.submit(form)
        await person.submit(form, decision="deny")
        assert "<h1>Denied</h1>" in person.page
    assert (await caller.poll(code["device_code"]))[1]["error"] == "access_denied"


async def test_looking_decides_nothing(caller: Caller) -> None:
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        await person.submit(await person.visit(code["verification_uri_complete"]))
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"


async def test_wrong_expired_and_used_codes(caller: Caller) -> None:
    expired, used = await caller.device_code(), await caller.device_code()
    await caller.emulator.expire(expired["user_code"])
    await caller.emulator.approve(used["user_code"])
    async with Person(caller.emulator) as person:
        for typed, status, text in (
            ("WRNG-CODE", 404, "do not know"),
            (expired["user_code"], 410, "expired"),
            (used["user_code"], 409, "already used"),
            ("", 404, "do not know"),
        ):
            form = await person.visit(expired["verification_uri"])
            await person.submit(form, user_code=typed)
            assert person.status == status
            assert text in person.page


async def test_a_code_that_expires_while_the_person_reads(caller: Caller) -> None:
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        form = await person.submit(await person.visit(code["verification_uri_complete"]))
        await caller.emulator.expire(code["user_code"])
        await person.submit(form, decision="approve")
        assert person.status == 410


@pytest.mark.parametrize("csrf", ["", "0" * 64])
async def test_a_forged_form_decides_nothing(caller: Caller, csrf: str) -> None:
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        form = await person.submit(await person.visit(code["verification_uri_complete"]))
        await person.submit(form, decision="approve", csrf=csrf)
        assert person.status == 403
        async with Person(caller.emulator) as stranger:
            await stranger.submit(form, decision="approve")
            assert stranger.status == 403
        async with person.http.post(
            person.base_url + form.action,
            data=form.fields | {"decision": "approve"},
            headers={"Sec-Fetch-Site": "cross-site"},
        ) as response:
            assert response.status == 403
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"


async def test_a_decision_is_one_of_two_words(caller: Caller) -> None:
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        form = await person.submit(await person.visit(code["verification_uri_complete"]))
        for decision in ("", "perhaps"):
            await person.submit(form, decision=decision)
            assert person.status == 400


async def test_what_was_typed_is_escaped(caller: Caller) -> None:
    async with Person(caller.emulator) as person:
        await person.visit("v1/oauth2/device/activate?user_code=%22%3E%3Cscript%3E")
        assert "<script" not in person.page
        assert "&#34;&gt;&lt;script&gt;" in person.page


async def test_security_headers_and_nothing_from_elsewhere(caller: Caller) -> None:
    async with Person(caller.emulator) as person:
        await person.visit("v1/oauth2/device/activate")
        policy = person.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert person.headers["X-Content-Type-Options"] == "nosniff"
        assert person.headers["Referrer-Policy"] == "no-referrer"
        assert person.headers["Cache-Control"] == "no-store"
        assert "http://" not in person.page
        assert "https://" not in person.page
        assert "<script" not in person.page
        assert "style=" not in person.page
        await person.visit("assets/emulator.css")
        assert person.headers["Content-Type"].startswith("text/css")
