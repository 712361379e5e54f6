"""Sign-in with a code: its page, its events and its results."""

import asyncio
import re

import pytest

from tests.helpers.web_site import approve, clock_of, parse_events, stored

pytestmark = pytest.mark.asyncio


def count_codes(emulator):
    return len([entry for entry in emulator.requests if entry.path == "/v1/device/code"])


async def test_code_login_from_the_start_page_to_sign_out(new_visitor, emulator, state):
    ada = new_visitor()
    assert "Connect your Twilio account" in await ada.get()
    code = await ada.connect()
    assert code in ada.link
    assert "http://127.0.0.1" in ada.link
    assert '<img src="data:image/svg+xml' in ada.text
    assert "<li>see which Twilio user you are</li>" in ada.text
    assert "Continue only if you started this sign-in yourself" in ada.text
    assert "started at 00:00 UTC from 127.0.0.1" in ada.text
    await approve(emulator, code)
    assert "Signed in as Ada Example." in await ada.wait_for("Signed in as")
    assert (await ada.read_events())[-1]["state"] == "approved"
    await ada.submit("/sign-out")
    assert "Connect your Twilio account" in ada.text
    assert [entry.status for entry in emulator.requests if "revoke" in entry.path] == [200]
    assert "access_token" not in stored(state, "tokens.db").replace("access_token_expires_at", "")


async def test_reload_and_second_connect_show_the_same_code(new_visitor, emulator):
    ada = new_visitor()
    code = await ada.connect()
    for _ in range(2):
        await ada.get()
        assert ada.code == code
    await ada.submit("/connect")
    assert ada.code == code
    assert count_codes(emulator) == 1


async def test_page_without_scripts_reloads_itself_while_pending(new_visitor):
    ada = new_visitor()
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>'
    assert refresh not in await ada.get()
    await ada.connect()
    assert refresh in ada.text


async def test_event_stream_sends_the_current_state_and_the_result(new_visitor, emulator, state):
    ada = new_visitor()
    code = await ada.connect()
    async with ada.request("GET", "/events") as response:
        assert response.content_type == "text/event-stream"
        seen = ""
        while "data: " not in seen:
            seen += (await response.content.readline()).decode()
        device_code = re.search(r'"device_code": ?"([^"]+)"', stored(state, "flows.db"))[1]
        await approve(emulator, code)
        seen += (await response.content.read()).decode()
    assert [event["state"] for event in parse_events(seen)] == ["pending", "approved"]
    assert [event["state"] for event in await ada.read_events()] == ["approved"], "a late stream gets the result too"
    assert "Signed in as" in await ada.get()
    access_token = re.search(r'"access_token": ?"([^"]+)"', stored(state, "tokens.db"))[1]
    for secret in (device_code, access_token, ada.cookie.split(".")[0]):
        assert secret not in seen


async def test_event_stream_reports_a_failed_poll(new_visitor, emulator):
    ada = new_visitor()
    await ada.connect()
    emulator.faults.on("poll").respond(503)
    async with ada.request("GET", "/events") as response:
        while b'"pending"' not in await response.content.readline():
            pass
        clock_of(emulator).advance(6)
        line = b""
        while b"data: " not in line:
            line = await response.content.readline()
    assert parse_events(line.decode()) == [{"state": "pending", "note": "unreachable"}]
    assert "Twilio cannot be reached at the moment" in await ada.get()


async def test_event_stream_without_a_sign_in_is_404(new_visitor):
    ada = new_visitor()
    await ada.get("/events")
    assert ada.status == 404
    await ada.get()
    await ada.get("/events")
    assert ada.status == 404


async def test_several_visitors_have_their_own_sign_ins(new_visitor, emulator):
    visitors = [new_visitor() for _ in range(5)]
    codes = await asyncio.gather(*(visitor.connect() for visitor in visitors))
    assert len(set(codes)) == 5
    await approve(emulator, codes[2])
    await visitors[2].wait_for("Signed in as")
    for number in (0, 1, 3, 4):
        await visitors[number].get()
        assert visitors[number].code == codes[number]


async def test_cancelled_sign_in_is_not_completed_and_a_new_code_is_issued(new_visitor, emulator):
    ada = new_visitor()
    code = await ada.connect()
    assert "The sign-in was cancelled" in await ada.submit("/cancel")
    assert await ada.connect() != code
    await emulator.approve(code)
    clock_of(emulator).advance(6)
    assert "Your code" in await ada.get()


@pytest.mark.parametrize(("end", "shown"), [("deny", "You denied the sign-in"), ("expire", "The code has expired")])
async def test_denied_or_expired_sign_in_can_be_repeated(new_visitor, emulator, end, shown):
    ada = new_visitor()
    code = await ada.connect()
    await getattr(emulator, end)(code)
    clock_of(emulator).advance(6)
    await ada.wait_for(shown)
    await ada.submit("/connect")
    assert ada.code != code
    await approve(emulator, ada.code)
    await ada.wait_for("Signed in as")


async def test_connect_while_twilio_is_down_shows_an_error_page(new_visitor, emulator):
    ada = new_visitor()
    await ada.get()
    emulator.faults.on("device_code").respond(503)
    await ada.submit("/connect")
    assert ada.status == 503
    assert "Try again in a moment" in ada.text
    assert "Traceback" not in ada.text
    await ada.connect()
    assert ada.status == 200


async def test_failed_user_info_request_shows_signed_in_without_a_name(new_visitor, emulator):
    ada = new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    emulator.faults.on("userinfo").respond(503)
    assert "Twilio did not return your name" in await ada.get()
    assert "Sign out" in ada.text
    assert "Ada Example" in await ada.get()


async def test_access_revoked_at_twilio_shows_the_start_page(new_visitor, emulator, state):
    ada = new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    await emulator.revoke(re.search(r'"refresh_token": ?"([^"]+)"', stored(state, "tokens.db"))[1])
    assert "Connect your Twilio account" in await ada.get()
    assert ada.status == 200


async def test_sign_out_while_twilio_is_down_shows_an_error_page(new_visitor, emulator):
    ada = new_visitor()
    await approve(emulator, await ada.connect())
    await ada.wait_for("Signed in as")
    emulator.faults.on("revoke").respond(503)
    await ada.submit("/sign-out")
    assert ada.status == 503
    assert "Signed in as" in await ada.get()
