"""The Telegram bot as a process, with a Bot API server on loopback: a restart, groups, wrong tokens."""

import asyncio
import os
import re
import runpy
import signal
import sys
from pathlib import Path

import pytest
from aiogram.client.session.aiohttp import AiohttpSession

from tests.helpers.fake_telegram import NAME, TOKEN, FakeTelegram
from twilio_oauth_async.emulator import Emulator

BOT = Path(__file__).parents[2] / "examples" / "bot_telegram.py"
SIGNED_IN = "You are signed in. /whoami shows your name, /logout signs you out."
SENT_IN_PRIVATE = "I have sent the reply to our private chat."
ADA, BOB, GROUP = 1001, 1002, -500
STOPS_BY_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="aiogram does not stop on a signal there")


async def start(folder, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TWILIO_", "BOT_"))}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(BOT)),
        env=environment | variables,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def stop(process, how):
    """Stop the bot, and return what it has printed."""
    process.send_signal(how)
    printed = b"".join(await process.communicate())
    assert process.returncode == 0, printed
    assert b"Warning" not in printed  # a session left open, a task never awaited
    return printed


@STOPS_BY_SIGNALS
@pytest.mark.asyncio
async def test_sigterm_during_a_sign_in_stops_cleanly_and_the_next_start_resumes_it(tmp_path):
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
        first = await start(tmp_path, **variables)
        assert await first.stdout.readline() == f"@{NAME} is listening. Ctrl-C stops it.\n".encode()
        telegram.floods = 1
        await telegram.say(ADA, "/login")
        sent = await telegram.read(ADA)
        assert sent.fields["link_preview_options"] == '{"is_disabled": true}'
        code = await sign_in_after_group(telegram)
        printed = await stop(first, signal.SIGTERM)
        await emulator.approve(code)
        second = await start(tmp_path, **variables)
        assert (await telegram.read(ADA)).text == SIGNED_IN
        await telegram.say(ADA, f"/whoami@{NAME}", GROUP)
        assert (await telegram.read(ADA)).text == "You are signed in as Ada Example."
        printed += await stop(second, signal.SIGTERM)
        files = {path.name for path in (tmp_path / "bot-state").iterdir() if path.suffix == ".db"}
        assert files == {"flows.db", "tokens.db"}
        device_codes = {entry.form["DeviceCode"] for entry in emulator.requests.to("poll")}
        for secret in {TOKEN, emulator.client_secret, emulator.auth_token, code, *device_codes}:
            assert secret.encode() not in printed
        assert {message.text for message in telegram.in_chat(GROUP)} <= {
            SENT_IN_PRIVATE,
            "I cannot send you a message. Open our private chat and press Start.",
        }


async def sign_in_after_group(telegram):
    """Send messages in a group, where replies go to the private chat; then start a sign-in, and return its code."""
    await telegram.say(BOB, "/login", GROUP)  # has never written to the bot
    assert (await telegram.read(GROUP)).text.startswith("I cannot send you a message.")
    for sender in (
        {"sender_chat": {"id": -500, "type": "supergroup", "title": "All"}},  # an anonymous administrator, a channel
        {"from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}},
        {"from": None},
    ):
        await telegram.say(ADA, "/login", GROUP, **sender)
    await telegram.say(ADA, "/login@another_bot", GROUP)
    await telegram.say(ADA, "/cancel", GROUP)
    await telegram.read(ADA)
    assert (await telegram.read(GROUP)).text == SENT_IN_PRIVATE
    await telegram.say(ADA, "/login")
    return re.search("the code (.*)", (await telegram.read(ADA)).text)[1]


@STOPS_BY_SIGNALS
@pytest.mark.asyncio
async def test_bot_without_an_account_uses_the_emulator(tmp_path):
    async with asyncio.timeout(180), FakeTelegram() as telegram:
        process = await start(tmp_path, BOT_TOKEN=TOKEN, BOT_API_URL=telegram.url)
        assert await process.stdout.readline() == b"TWILIO_CLIENT_ID is not set: using the emulator.\n"
        await telegram.say(ADA, "/login")
        assert "To sign in, open http://127.0.0.1:" in (await telegram.read(ADA)).text
        assert (await stop(process, signal.SIGINT)).endswith(b"Received SIGINT signal\n")


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
    async def close(self):
        if self._session is not None:
            await self._session.close()  # without the 0.25 s that aiogram waits for TLS

    monkeypatch.setattr(AiohttpSession, "close", close)
    for variable in [name for name in os.environ if name.startswith("TWILIO_")]:
        monkeypatch.delenv(variable)
    async with FakeTelegram() as telegram:
        monkeypatch.setenv("BOT_TOKEN", token)
        monkeypatch.setenv("BOT_API_URL", "nonsense" if "address" in token else telegram.url)
        with pytest.raises(SystemExit, match=f"^{re.escape(error)}"):
            # A process of its own would take some seconds to import aiogram again.
            await asyncio.to_thread(runpy.run_path, str(BOT), run_name="__main__")
