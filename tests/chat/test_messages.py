"""The messages of a chat bot: those that cannot be sent, those that are not replies, and outages."""

import asyncio
import re

import pytest

from tests.helpers.chat_world import ChatError
from tests.helpers.event_loop import settle
from twilio_oauth_async import StoreError
from twilio_oauth_async.chat import ChatGone
from twilio_oauth_async.chat.outages import LONG
from twilio_oauth_async.stores.file import FileTokenStore

pytestmark = pytest.mark.asyncio

SIGNED_IN = "You are signed in. /whoami shows your name, /logout signs you out."
NOT_SIGNED_IN = "You are not signed in. Use /login."


async def test_login_whose_code_cannot_be_sent_is_cancelled(world):
    async with world.bot() as bot:
        world.refusals["ada"] = 1
        with pytest.raises(ChatError):
            await bot.command("ada", "/login")
        assert len(world.emulator.requests.to("device_code")) == 1
        assert await world.due() == []
        await world.decide("approve", await world.code("ada"))
        assert await world.read("ada") == SIGNED_IN
    assert len(world.emulator.requests.to("device_code")) == 2


async def test_login_that_is_cancelled_while_the_code_is_sent_is_cancelled(world):
    async with world.bot(send=lambda *_: asyncio.Event().wait()) as bot:
        task = asyncio.create_task(bot.command("ada", "/login"))
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await bot.cancel("ada") == "There is no pending sign-in."


async def test_second_login_whose_code_cannot_be_sent_leaves_the_sign_in_pending(world):
    async with world.bot() as bot:
        code = await world.code("ada")
        world.refusals["ada"] = 1
        with pytest.raises(ChatError):
            await bot.command("ada", "/login")
        await world.decide("approve", code)
        assert await world.read("ada") == SIGNED_IN


async def test_concurrent_login_whose_code_was_sent_stays_pending(world):
    async with world.bot() as bot:
        world.refusals["ada"] = 1
        results = await asyncio.gather(*(bot.command("ada", "/login") for _ in range(2)), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["ChatError", "bool"]
        code = re.search(r"shows the code (\S+-\S+)", await world.read("ada"))[1]
        world.codes.append(("ada", code))
        await world.decide("approve", code)
        assert await world.read("ada") == SIGNED_IN


async def test_hung_messages_do_not_delay_replies(world):
    async def send(chat, text):
        if chat.startswith("hung"):
            await asyncio.Event().wait()
        await world.send(chat, text)

    async with world.bot(send=send) as bot:
        hung = [asyncio.create_task(bot.command(f"hung{number}", "/whoami")) for number in range(30)]
        await settle()
        assert await world.ask("ada", "/whoami") == NOT_SIGNED_IN
        for task in hung:
            task.cancel()
        await asyncio.wait(hung)


async def test_message_to_a_chat_that_is_gone_is_dropped(world, caplog):
    async with world.bot(send=world.send) as bot:
        code = await world.code("ada")
        calls = []

        async def gone(chat, text):
            calls.append(text)
            raise ChatGone

        bot._outbox._send = gone
        await world.decide("approve", code)
        async with asyncio.timeout(20):
            while not calls:
                await asyncio.sleep(0.001)
        for _ in range(20):
            world.clock.advance(30)
            await settle()
        assert calls == [SIGNED_IN]
    assert "takes no messages any more" in caplog.text


async def test_reply_with_a_function_of_its_own(world):
    replies = []

    async def reply(chat, text):
        replies.append((chat, text))

    async with world.bot() as bot:
        assert await bot.command("ada", "/whoami", send=reply)
    assert replies == [("ada", NOT_SIGNED_IN)]
    assert world.sent == []


async def test_methods_are_limited_too(world):
    async with world.bot(commands_per_minute=2) as bot:
        texts = [await bot.login("ada") for _ in range(3)]
        assert texts[2] == "Too many commands. Try again in 60 seconds."
        assert await bot.cancel("ada") == "The sign-in is cancelled."
    assert len(world.emulator.requests.to("device_code")) == 1


async def test_store_that_fails_is_reported_without_its_path(world, monkeypatch):
    async def load(*_, **__):
        raise StoreError("/srv/secret/tokens.db: disk full")

    async with world.bot():
        monkeypatch.setattr(FileTokenStore, "load", load)
        assert await world.ask("ada", "/whoami") == "The bot cannot read its sign-ins at the moment. Try again later."


async def test_approval_is_not_reported_to_a_user_who_has_signed_out_since(world):
    async with world.bot():
        world.refusals["ada"] = 0
        code = await world.code("ada")
        world.refusals["ada"] = 1
        await world.decide("approve", code)
        await settle()
        assert await world.ask("ada", "/logout") == "You are signed out."
        for _ in range(20):
            world.clock.advance(30)
            await settle()
    assert world.unread("ada") == []


async def test_sign_in_that_was_started_elsewhere_is_reported_where_its_code_was_shown(world):
    async with world.bot() as bot:
        sign_in = await bot._runner.submit("ada")
        assert await world.code("ada", "dm") == sign_in.user_code
        await world.decide("approve", sign_in.user_code)
        assert await world.read("dm") == SIGNED_IN


async def test_result_that_cannot_be_sent_is_sent_again_later(world):
    async with world.bot():
        ada, bob = await world.code("ada"), await world.code("bob")
        world.refusals["ada"] = 2
        await world.emulator.approve(ada)
        await world.decide("approve", bob)
        assert await world.read("bob") == SIGNED_IN
        assert world.unread("ada") == []
        assert await world.result("ada") == SIGNED_IN


async def test_long_outage_is_reported_once_and_a_short_one_is_not(world):
    async with world.bot():
        code = await world.code("ada")
        world.emulator.faults.on("poll").respond(503).times(1)
        polls = world.emulator.requests.to
        while not any(poll.status == 400 for poll in polls("poll")):  # until the outage is over
            world.clock.advance(2)
            await settle()
        assert world.unread("ada") == []
        world.emulator.faults.on("poll").respond(503).times(1_000)
        for _ in range(int(LONG)):
            world.clock.advance(2)
            await asyncio.sleep(0.01)
        assert world.unread("ada") == ["Twilio cannot be reached at the moment. The sign-in goes on as soon as it can."]
        world.emulator.faults.clear()
        await world.read("ada")
        await world.emulator.approve(code)
        assert await world.result("ada") == SIGNED_IN
