"""The sign-in of the demo, with a virtual clock."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import pytest_asyncio

from tests.helpers.recording_screen import RecordingScreen
from twilio_oauth_async import Token, UserInfo, VirtualClock
from twilio_oauth_async.cli import demo_sign_in as module
from twilio_oauth_async.cli.account import user_text
from twilio_oauth_async.cli.demo import INTERVAL
from twilio_oauth_async.cli.simulated_user import Decision, SimulatedUser, SimulatedUserError
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def emulator():
    async with Emulator(clock=VirtualClock(), public=True, interval=INTERVAL) as emulator:
        yield emulator


def requests_to(emulator):
    return [(request.method, request.path) for request in emulator.requests]


async def test_simulated_user_approves_and_the_result_is_shown(emulator):
    screen = RecordingScreen()
    code = await module.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 3.0))
    assert code == module.SIGNED_IN
    [shown] = screen.shown
    link, user_code = shown.link, shown.user_code
    assert screen.said[0].startswith(f"{module.APP_NAME} asks to use your Twilio account.\nTo sign in, open {link}\n")
    assert f"the code {user_code}" in screen.said[0]
    assert f"This lets {module.APP_NAME}:\n- see which Twilio user you are\n- see your name\n" in screen.said[0]
    assert "Continue only if you started this sign-in yourself" in screen.said[0]
    assert screen.said[-2] == f"Signed in as Ada Example <ada@example.com> {emulator.user.sid}."
    assert "in 60 minutes" in screen.said[-1]
    assert screen.said[1] == "The simulated user approves after 3 s."
    assert screen.lines[0] == "Waiting for your approval. 4:59 left, next check in 1 s."
    page = "/v1/oauth2/device/activate"
    posts = [path for method, path in requests_to(emulator) if method == "POST"]
    assert ("GET", page) in requests_to(emulator)
    assert [path for path in posts if "oauth2" in path] == [page, "/v1/oauth2/device/consent"]


async def test_output_contains_no_secret(emulator):
    screen = RecordingScreen()
    await module.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 0.0))
    [bearer] = {r.headers["Authorization"] for r in emulator.requests if r.path == "/v1/userinfo"}
    [device_code] = {r.form["DeviceCode"] for r in emulator.requests if r.path == "/v1/token"}
    for secret in (bearer.removeprefix("Bearer "), device_code, emulator.auth_token):
        assert len(secret) > 20
        assert secret not in screen.text


async def test_simulated_user_waits_for_the_given_seconds(emulator):
    await module.sign_in(emulator, RecordingScreen(), emulator.clock, (Decision.APPROVE, 60.0))
    assert 60 <= emulator.clock.monotonic() < 120


async def test_simulated_user_denies_and_the_result_is_shown(emulator):
    screen = RecordingScreen()
    assert await module.sign_in(emulator, screen, emulator.clock, (Decision.DENY, 0.0)) == module.NOT_SIGNED_IN
    assert screen.said[-1].startswith("Denied: ")
    assert screen.said[1] == "The simulated user denies after 0 s."


@pytest.mark.parametrize("simulated", [None, (Decision.APPROVE, 250.0)])
async def test_real_user_may_approve_before_the_simulated_one(emulator, simulated):
    tasks = []

    def approve_when_shown(authorization):
        tasks.append(asyncio.get_running_loop().create_task(emulator.approve(authorization.user_code)))

    screen = RecordingScreen(approve_when_shown)
    assert await module.sign_in(emulator, screen, emulator.clock, simulated) == module.SIGNED_IN
    assert emulator.clock.monotonic() < 10


@pytest.mark.parametrize("simulated", [None, (Decision.APPROVE, 400.0)])
async def test_code_expires_without_a_decision(emulator, simulated):
    screen = RecordingScreen()
    assert await module.sign_in(emulator, screen, emulator.clock, simulated) == module.NOT_SIGNED_IN
    assert screen.said[-1].startswith("Expired: ")
    assert 290 < emulator.clock.monotonic() < 300
    assert any("4:58 left" in line for line in screen.lines)
    assert any(text in screen.lines[-1] for text in ("0:01 left", "0:00 left", "0:02 left"))


async def test_error_of_the_simulated_user_ends_the_sign_in_at_once(emulator, monkeypatch):
    async def decide(self, decision):
        raise SimulatedUserError("/page has no form")

    monkeypatch.setattr(SimulatedUser, "decide", decide)
    screen = RecordingScreen()
    assert await module.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 2.0)) == module.NOT_SIGNED_IN
    assert screen.said[-1] == "Failed: the simulated user could not continue: /page has no form"
    assert emulator.clock.monotonic() < 5


async def test_unreachable_server_is_reported_without_secrets():
    unreachable = SimpleNamespace(
        account_sid="AC1", auth_token="a-secret", client_sid="OQ1", base_url="http://127.0.0.1:9", clock=VirtualClock()
    )
    screen = RecordingScreen()
    assert await module.sign_in(unreachable, screen, unreachable.clock) == module.NOT_SIGNED_IN
    assert screen.said[-1].startswith("Failed: ")
    assert "a-secret" not in screen.text


async def test_cancelled_sign_in_cancels_its_tasks(emulator):
    screen = RecordingScreen()
    emulator.clock.auto = False
    task = asyncio.create_task(module.sign_in(emulator, screen, emulator.clock, (Decision.APPROVE, 60.0)))
    while not screen.lines:
        await asyncio.sleep(0.001)
    before = asyncio.all_tasks()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    own = [
        t for t in before - {task} if t.get_coro().__qualname__.startswith(("DeviceFlow", "_wait", "follow", "_Line"))
    ]
    await asyncio.gather(*own, return_exceptions=True)
    assert all(t.cancelled() for t in own)


@pytest.mark.parametrize(
    ("user", "text"),
    [
        (UserInfo(), "an unnamed user"),
        (UserInfo(email="a@b.example"), "<a@b.example>"),
        (UserInfo(friendly_name="A\x1b[31m\nB"), "A [31m B"),
    ],
)
async def test_text_of_a_user_shows_known_profile_claims(user, text):
    assert user_text(user) == text


async def test_expiry_text_without_expiry_time():
    text = module._expiry_text(Token(access_token="acc-canary"), datetime(2026, 1, 1, tzinfo=UTC))
    assert text == "The server did not return an expiry time for the access token."
