"""The first button: a code, its page, its events, and all of its ends."""

import asyncio
import re

import pytest

from tests.helpers.web_site import approve, clock_of, load, stored, told

pytestmark = pytest.mark.asyncio


def codes_asked_for(emulator):
    return len([entry for entry in emulator.requests if entry.path == "/v1/device/code"])


async def test_from_the_first_look_to_signing_out(new_person, emulator, state):
    ada = new_person()
    assert "Connect your Twilio account" in await ada.look()
    code = await ada.connect()
    assert code in ada.link
    assert "http://127.0.0.1" in ada.link
    assert '<img src="data:image/svg+xml' in ada.text
    assert "<li>openid</li>" in ada.text
    assert "never enter a code that somebody sent you" in ada.text
    await approve(emulator, code)
    assert "<strong>Ada Example</strong> (ada@example.com)" in await ada.until("Signed in as")
    assert (await ada.stream())[-1]["state"] == "approved"
    assert emulator.client_sid not in stored(state, "flows.json"), "what is over is not kept"
    await ada.press("/sign-out")
    assert "Connect with a code" in ada.text
    assert [entry.status for entry in emulator.requests if "revoke" in entry.path] == [200]
    assert "access_token" not in stored(state, "tokens.json").replace("access_token_expires_at", "")


async def test_reloading_and_a_second_tab_show_the_same_code(new_person, emulator):
    ada = new_person()
    code = await ada.connect()
    for _ in range(2):
        await ada.look()
        assert ada.code == code
    await ada.press("/connect")
    assert ada.code == code
    assert codes_asked_for(emulator) == 1


async def test_without_scripts_the_page_reloads_itself_while_it_waits(new_person):
    ada = new_person()
    refresh = '<noscript><meta http-equiv="refresh" content="5"></noscript>'
    assert refresh not in await ada.look()
    await ada.connect()
    assert refresh in ada.text


async def test_events_tell_the_present_and_the_end(new_person, emulator, state):
    ada = new_person()
    code = await ada.connect()
    async with ada.http.get("/events") as response:
        assert response.content_type == "text/event-stream"
        seen = ""
        while "data: " not in seen:
            seen += (await response.content.readline()).decode()
        device_code = re.search(r'"device_code": ?"([^"]+)"', stored(state, "flows.json"))[1]
        await approve(emulator, code)
        seen += (await response.content.read()).decode()
    assert [event["state"] for event in told(seen)] == ["pending", "approved"]
    assert [event["state"] for event in await ada.stream()] == ["approved"], "who comes late is told as well"
    assert "Signed in as" in await ada.look()
    access_token = re.search(r'"access_token": ?"([^"]+)"', stored(state, "tokens.json"))[1]
    for secret in (device_code, access_token, ada.cookie.split(".")[0]):
        assert secret not in seen


async def test_events_tell_when_the_server_cannot_be_reached(new_person, emulator):
    ada = new_person()
    await ada.connect()
    emulator.faults.on("poll").respond(503)
    async with ada.http.get("/events") as response:
        while b'"pending"' not in await response.content.readline():
            pass
        clock_of(emulator).advance(6)
        line = b""
        while b"data: " not in line:
            line = await response.content.readline()
    [event] = told(line.decode())
    assert event["state"] == "pending"
    assert "503" in event["problem"]


@pytest.mark.parametrize("name", ["web_aiohttp"])  # FastAPI sends pings instead
async def test_a_stream_ends_in_time_and_can_be_opened_again(new_person, name, monkeypatch):
    monkeypatch.setattr(load(name), "STREAM", 0.05)
    ada = new_person()
    await ada.connect()
    for _ in range(2):
        assert [event["state"] for event in await ada.stream()] == ["pending"]


async def test_no_events_where_nothing_is_under_way(new_person):
    ada = new_person()
    await ada.look("/events")
    assert ada.status == 404
    await ada.look()
    await ada.look("/events")
    assert ada.status == 404


async def test_several_people_at_once(new_person, emulator):
    people = [new_person() for _ in range(5)]
    codes = await asyncio.gather(*(person.connect() for person in people))
    assert len(set(codes)) == 5
    await approve(emulator, codes[2])
    await people[2].until("Signed in as")
    for number in (0, 1, 3, 4):
        await people[number].look()
        assert people[number].code == codes[number]


async def test_cancel_and_try_again(new_person, emulator):
    ada = new_person()
    code = await ada.connect()
    assert "Nothing was connected" in await ada.press("/cancel")
    assert await ada.connect() != code
    await emulator.approve(code)
    clock_of(emulator).advance(6)
    assert "Your code" in await ada.look()


@pytest.mark.parametrize(("end", "shown"), [("deny", "The connection was refused"), ("expire", "The code has expired")])
async def test_refused_or_expired_and_tried_again(new_person, emulator, end, shown):
    ada = new_person()
    code = await ada.connect()
    await getattr(emulator, end)(code)
    clock_of(emulator).advance(6)
    await ada.until(shown)
    await ada.press("/connect")
    assert ada.code != code
    await approve(emulator, ada.code)
    await ada.until("Signed in as")


async def test_twilio_cannot_be_reached(new_person, emulator):
    ada = new_person()
    await ada.look()
    emulator.faults.on("device_code").respond(503)
    await ada.press("/connect")
    assert ada.status == 503
    assert "Please try again" in ada.text
    assert "Traceback" not in ada.text
    await ada.connect()
    assert ada.status == 200


async def test_signed_in_although_twilio_does_not_say_as_whom(new_person, emulator):
    ada = new_person()
    await approve(emulator, await ada.connect())
    await ada.until("Signed in as")
    emulator.faults.on("userinfo").respond(503)
    assert "does not name just now" in await ada.look()
    assert "Sign out" in ada.text
    assert "Ada Example" in await ada.look()


async def test_access_that_was_taken_back_at_twilio_is_noticed(new_person, emulator, state):
    ada = new_person()
    await approve(emulator, await ada.connect())
    await ada.until("Signed in as")
    await emulator.revoke(re.search(r'"refresh_token": ?"([^"]+)"', stored(state, "tokens.json"))[1])
    assert "Connect with a code" in await ada.look()
    assert ada.status == 200


async def test_signing_out_while_twilio_is_down_says_so(new_person, emulator):
    ada = new_person()
    await approve(emulator, await ada.connect())
    await ada.until("Signed in as")
    emulator.faults.on("revoke").respond(503)
    await ada.press("/sign-out")
    assert ada.status == 503
    assert "Signed in as" in await ada.look()
