"""Pending sign-ins survive a restart of the bot, and the new process reports their results."""

import asyncio
import os
import re
import runpy
import signal
import sys
from pathlib import Path

import pytest
from aiogram.client.session.aiohttp import AiohttpSession

from tests.helpers.bot_world import QuickSession
from tests.helpers.event_loop import settle
from tests.helpers.fake_telegram import NAME, TOKEN, FakeTelegram
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.sign_in.submissions import LAST_POLL

BOT = Path(__file__).parents[2] / "examples" / "bot_telegram.py"
SIGNED_IN = "You are signed in. /whoami shows your name."
STOPS_BY_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="aiogram does not stop on a signal there")


@pytest.mark.asyncio
@pytest.mark.parametrize("when", ["before the restart", "after the restart"])
async def test_sign_ins_pending_at_a_restart_are_completed_and_reported_once(world, ada, bob, when):
    async with world.bot():
        codes = [await world.code(ada), await world.code(bob)]
    assert len(await world.due()) == 2
    if when == "before the restart":
        await asyncio.gather(*(world.decide("approve", code) for code in codes))
    async with world.bot():
        if when == "after the restart":
            assert await world.code(ada) == codes[0]
            await asyncio.gather(*(world.decide("approve", code) for code in codes))
        assert await world.result(ada) == SIGNED_IN
        assert await world.result(bob) == SIGNED_IN
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
    assert world.telegram.unread(ada) == world.telegram.unread(bob) == []
    assert await world.due() == []
    # A third start reports nothing again.
    async with world.bot():
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
    assert world.telegram.unread(bob) == []


@pytest.mark.asyncio
async def test_sign_in_that_expired_while_the_bot_was_stopped_is_reported(world, ada):
    async with world.bot():
        await world.code(ada)
    world.clock.advance(3600)
    async with world.bot():
        assert (await world.result(ada)).startswith("The code was not approved in time")


@pytest.mark.asyncio
async def test_sign_in_of_a_killed_bot_is_resumed_when_its_lease_expires(world, ada):
    async with world.bot():
        code = await world.code(ada)
    await world.flow_of_killed_bot()
    async with world.bot():
        await world.decide("approve", code)
        for _ in range(9):  # 54 seconds more
            await world.ask(ada, "/start")
            assert world.emulator.requests.to("poll") == []
            world.clock.advance(6)
        assert await world.result(ada) == SIGNED_IN


@pytest.mark.asyncio
async def test_login_after_a_kill_shows_the_same_code_and_one_result_is_sent(world, ada):
    async with world.bot():
        code = await world.code(ada)
    await world.flow_of_killed_bot()
    world.clock.advance(1)
    async with world.bot():
        assert await world.code(ada) == code, "the killed bot still has the lease"
        world.clock.advance(61)
        assert await world.code(ada) == code
        async with asyncio.timeout(20):
            while await world.due():
                world.clock.advance(1)
                await asyncio.sleep(0.01)
        await world.decide("approve", code)
        assert await world.result(ada) == SIGNED_IN
        assert await world.ask(ada, "/cancel") == "There is no pending sign-in."
    assert world.telegram.unread(ada) == []
    assert len(world.emulator.requests.to("device_code")) == 1


@pytest.mark.asyncio
async def test_expiry_of_an_older_code_is_not_reported_while_a_newer_one_is_pending(world, ada):
    async with world.bot():
        older = await world.code(ada)
    flow = await world.flow_of_killed_bot()
    world.clock.advance(250)
    assert await world.flows.lease([flow.id], "killed", 60) == {flow.id}
    async with world.bot():
        world.clock.advance(50)  # the older one expires, before its lease
        asking = asyncio.create_task(world.code(ada))
        await settle()
        assert not asking.done()  # the last poll of the older one may be under way
        world.clock.advance(LAST_POLL)
        code = await asking
        assert code != older
        assert (await world.flows.load(flow.id)).state == "expired"
        world.clock.advance(30)
        await world.decide("approve", code)
        assert await world.result(ada) == SIGNED_IN
    assert world.telegram.unread(ada) == []


async def start(folder, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TWILIO_", "BOT_"))}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(BOT)),
        env=environment | variables,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@STOPS_BY_SIGNALS
@pytest.mark.asyncio
async def test_sigterm_during_a_sign_in_stops_cleanly_and_the_next_start_resumes_it(tmp_path):
    ada = 1001
    async with asyncio.timeout(180), FakeTelegram() as telegram, Emulator(interval=1) as emulator:
        variables = {
            "BOT_TOKEN": TOKEN,
            "BOT_API_URL": telegram.url,
            "TWILIO_OAUTH_URL": emulator.base_url,
            "TWILIO_CLIENT_ID": emulator.client_sid,
            "TWILIO_CLIENT_SECRET": emulator.client_secret,
            "TWILIO_ACCOUNT_SID": emulator.account_sid,
            "TWILIO_AUTH_TOKEN": emulator.auth_token,
        }
        printed = []
        for sign_in in ("/login", None):
            process = await start(tmp_path, **variables)
            assert await process.stdout.readline() == f"@{NAME} is listening. Ctrl-C stops it.\n".encode()
            if sign_in:
                await telegram.say(ada, sign_in)
                code = re.search("the code (.*)", (await telegram.read(ada)).text)[1]
            else:
                assert (await telegram.read(ada)).text == SIGNED_IN
                await telegram.say(ada, "/whoami")
                assert (await telegram.read(ada)).text == "You are signed in as Ada Example."
            process.send_signal(signal.SIGTERM)
            printed += await process.communicate()
            assert process.returncode == 0, printed
            assert b"Warning" not in printed[-1]  # a session left open, a task never awaited
            if sign_in:
                await emulator.approve(code)
        files = {path.name for path in (tmp_path / "bot-state").iterdir() if path.suffix == ".db"}
        assert files == {"flows.db", "tokens.db"}
        device_codes = {entry.form["DeviceCode"] for entry in emulator.requests.to("poll")}
        for secret in {TOKEN, emulator.client_secret, emulator.auth_token, code, *device_codes}:
            assert secret.encode() not in b"".join(printed)


@STOPS_BY_SIGNALS
@pytest.mark.asyncio
async def test_bot_with_its_own_emulator_leaves_no_files(tmp_path):
    async with asyncio.timeout(180), FakeTelegram() as telegram:
        process = await start(tmp_path, BOT_TOKEN=TOKEN, BOT_API_URL=telegram.url)
        assert await process.stdout.readline() == b"TWILIO_CLIENT_ID is not set: using the emulator.\n"
        await telegram.say(1001, "/login")
        assert "To sign in, open http://127.0.0.1:" in (await telegram.read(1001)).text
        process.send_signal(signal.SIGINT)
        _, stderr = await process.communicate()
        assert (process.returncode, stderr) == (0, b"Received SIGINT signal\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("", "Set BOT_TOKEN to the token of a bot: send /newbot to @BotFather."),
        ("nonsense", "Failed: Token is invalid!"),
        ("1:unknown", "Failed: Telegram server says - Unauthorized"),
        ("1:in-the-address", "Failed: HTTP Client says - InvalidUrlClientError: nonsense/bot***/getMe"),
    ],
)
async def test_invalid_bot_token_ends_the_program_with_an_error(token, error, monkeypatch):
    monkeypatch.setattr(AiohttpSession, "close", QuickSession.close)
    for variable in [name for name in os.environ if name.startswith("TWILIO_")]:
        monkeypatch.delenv(variable)
    async with FakeTelegram() as telegram:
        monkeypatch.setenv("BOT_TOKEN", token)
        monkeypatch.setenv("BOT_API_URL", "nonsense" if "address" in token else telegram.url)
        with pytest.raises(SystemExit, match=f"^{re.escape(error)}"):
            # A process of its own would take some seconds to import aiogram again.
            await asyncio.to_thread(runpy.run_path, str(BOT), run_name="__main__")
