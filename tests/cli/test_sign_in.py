"""The story that the demo tells, on a virtual clock."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.helpers.recording_screen import RecordingScreen
from twilio_oauth_async import Token, UserInfo, VirtualClock
from twilio_oauth_async.cli import sign_in as story
from twilio_oauth_async.cli.demo import INTERVAL
from twilio_oauth_async.cli.scripted_person import Decision, ScriptedPerson, ScriptedPersonError
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def emulator():
    async with Emulator(clock=VirtualClock(), public=True, interval=INTERVAL) as emulator:
        yield emulator


def asked(emulator):
    return [(request.method, request.path) for request in emulator.requests]


async def test_a_scripted_person_approves_on_the_page(emulator):
    screen = RecordingScreen()
    code = await story.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 3.0))
    assert code == story.SIGNED_IN
    link, user_code = screen.stressed
    assert screen.said[0].startswith(f"To sign in, open {link}\n")
    assert f"the code {user_code}" in screen.said[0]
    assert f"{story.APP_NAME} use: openid, profile, email" in screen.said[0]
    assert "never enter a code that somebody sent you" in screen.said[0]
    assert screen.said[-2] == f"Signed in as Ada Example <ada@example.com> {emulator.user.sid}."
    assert "in 60 minutes" in screen.said[-1]
    assert screen.statuses[0].startswith("A scripted person approves after 3 s; the code expires at ")
    page = "/v1/oauth2/device/activate"
    posts = [path for method, path in asked(emulator) if method == "POST"]
    assert ("GET", page) in asked(emulator)
    assert [path for path in posts if "oauth2" in path] == [page, "/v1/oauth2/device/consent"]


async def test_no_secret_is_shown(emulator):
    screen = RecordingScreen()
    await story.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 0.0))
    [bearer] = {r.headers["Authorization"] for r in emulator.requests if r.path == "/v1/userinfo"}
    [device_code] = {r.form["DeviceCode"] for r in emulator.requests if r.path == "/v1/token"}
    for secret in (bearer.removeprefix("Bearer "), device_code, emulator.auth_token):
        assert len(secret) > 20
        assert secret not in screen.text


async def test_a_scripted_person_waits_as_long_as_asked(emulator):
    await story.sign_in(emulator, RecordingScreen(), emulator.clock, (Decision.APPROVE, 60.0))
    assert 60 <= emulator.clock.monotonic() < 120


async def test_a_scripted_person_denies(emulator):
    screen = RecordingScreen()
    assert await story.sign_in(emulator, screen, emulator.clock, (Decision.DENY, 0.0)) == story.NOT_SIGNED_IN
    assert screen.said[-1].startswith("Refused: ")
    assert "denies after 0 s" in screen.statuses[0]


@pytest.mark.parametrize("script", [None, (Decision.APPROVE, 250.0)])
async def test_a_real_person_is_waited_for_and_may_come_first(emulator, script):
    tasks = []

    def read(text):
        if "enter the code" in text:
            user_code = screen.stressed[1]
            tasks.append(asyncio.get_running_loop().create_task(emulator.approve(user_code)))

    screen = RecordingScreen(read)
    assert await story.sign_in(emulator, screen, emulator.clock, script) == story.SIGNED_IN
    assert emulator.clock.monotonic() < 10
    if script is None:
        assert screen.statuses[0].startswith("Waiting for you; the code expires at ")


@pytest.mark.parametrize("script", [None, (Decision.APPROVE, 400.0)])
async def test_nobody_comes_in_time(emulator, script):
    screen = RecordingScreen()
    assert await story.sign_in(emulator, screen, emulator.clock, script) == story.NOT_SIGNED_IN
    assert screen.said[-1].startswith("Expired: ")
    assert 290 < emulator.clock.monotonic() < 300
    assert screen.statuses[1].endswith("4:59 left.")
    assert screen.statuses[-1].endswith(("0:01 left.", "0:00 left.", "0:02 left."))


async def test_a_scripted_person_who_gives_up_ends_it_at_once(emulator, monkeypatch):
    async def decide(self, decision):
        raise ScriptedPersonError("/page has no form")

    monkeypatch.setattr(ScriptedPerson, "decide", decide)
    screen = RecordingScreen()
    assert await story.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 2.0)) == story.NOT_SIGNED_IN
    assert screen.said[-1] == "The scripted person gave up: /page has no form"
    assert emulator.clock.monotonic() < 5


async def test_a_server_that_is_not_there():
    gone = SimpleNamespace(
        account_sid="AC1", auth_token="a-secret", client_sid="OQ1", base_url="http://127.0.0.1:9", clock=VirtualClock()
    )
    screen = RecordingScreen()
    assert await story.sign_in(gone, screen, gone.clock) == story.NOT_SIGNED_IN
    assert screen.said[-1].startswith("Failed: ")
    assert "a-secret" not in screen.text


async def test_cancelling_leaves_no_task_behind(emulator):
    screen = RecordingScreen()
    emulator.clock.auto = False
    task = asyncio.create_task(story.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 60.0)))
    while not screen.statuses:
        await asyncio.sleep(0.001)
    before = asyncio.all_tasks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = [t for t in before - {task} if t.get_coro().__qualname__.startswith(("DeviceFlow", "_wait", "_count"))]
    await asyncio.gather(*left, return_exceptions=True)
    assert all(t.cancelled() for t in left)


@pytest.mark.parametrize(
    ("user", "text"),
    [
        (UserInfo(), "Signed in as somebody without a name."),
        (UserInfo(email="a@b.example"), "Signed in as <a@b.example>."),
        (UserInfo(friendly_name="A\x1b[31m\nB"), "Signed in as A [31m B."),
    ],
)
async def test_who_signed_in(user, text):
    assert story._welcome(user) == text


async def test_a_token_that_may_live_forever():
    told = story._validity(Token(access_token="acc-canary"), datetime(2026, 1, 1, tzinfo=UTC))
    assert told == "The server did not say when the access token expires."
