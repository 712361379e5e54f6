"""The commands of a chat bot: the replies, and the messages that follow."""

import asyncio

import pytest

from tests.helpers.event_loop import settle
from twilio_oauth_async import ConfigurationError, OAuthSession, RevocationUnsupported
from twilio_oauth_async.chat import CHAT_TEXTS, ChatSignIn
from twilio_oauth_async.chat.outbox import CONCURRENCY

pytestmark = pytest.mark.asyncio

SIGNED_IN = "You are signed in. /whoami shows your name, /logout signs you out."
NOT_SIGNED_IN = "You are not signed in. Use /login."


async def test_login_whoami_and_logout(world):
    async with world.bot():
        assert await world.ask("ada", "/whoami") == NOT_SIGNED_IN
        code = await world.code("ada")
        text = world.sent[-1][1]
        assert text.startswith("this bot asks to use your Twilio account.\nThis sign-in was started at 00:00 UTC.\n")
        assert f"To sign in, open {world.emulator.base_url}/" in text
        assert "- see which Twilio user you are\n" in text
        assert "Continue only if you started this sign-in yourself." in text
        assert text.endswith("\nSend /cancel to cancel it.")
        await world.decide("approve", code)
        assert await world.read("ada") == SIGNED_IN
        assert await world.ask("ada", "/whoami") == "You are signed in as Ada Example."
        assert await world.ask("ada", "/login") == (
            "You are already signed in. /whoami shows your name, /logout signs you out."
        )
        assert await world.ask("ada", "/logout") == "You are signed out."
        assert not await world.signed_in("ada")
        assert await world.ask("ada", "/whoami") == NOT_SIGNED_IN
    assert [entry.status for entry in world.emulator.requests.to("revoke")] == [200]
    assert len(await world.secrets()) >= 5


@pytest.mark.parametrize(
    "text", ["/login", " /login ", "/LOGIN", "/login now", "/login@sign_in_bot", "/Login@Sign_In_Bot x"]
)
async def test_command_is_recognized(world, text):
    async with world.bot(bot_name="@sign_in_bot") as bot:
        assert await bot.command("ada", text)
        assert "shows the code" in world.sent[-1][1]


@pytest.mark.parametrize(
    "text",
    ["", " ", "login", "/logins", "/start", "/login@other_bot", "hello /login", "/", "/@sign_in_bot", "/__init__"],
)
async def test_other_message_is_not_a_command(world, text):
    async with world.bot(bot_name="sign_in_bot") as bot:
        assert not await bot.command("ada", text)
    assert world.sent == []


async def test_command_to_a_named_bot_is_not_served_without_a_name(world):
    async with world.bot() as bot:
        assert not await bot.command("ada", "/login@sign_in_bot")


async def test_methods_return_the_texts(world):
    async with world.bot() as bot:
        assert "shows the code" in await bot.login("ada")
        assert await bot.cancel("ada", chat="room") == "The sign-in is cancelled."
        assert await bot.whoami("ada") == NOT_SIGNED_IN
        assert await bot.logout("ada") == "You are signed out."
    assert world.sent == []


async def test_messages_go_to_the_chat_of_the_login(world):
    async with world.bot():
        code = await world.code("ada", "dm-7")
        await world.decide("approve", code)
        assert await world.read("dm-7") == SIGNED_IN
        assert await world.ask("ada", "/whoami", "dm-8") == "You are signed in as Ada Example."
    assert world.unread("ada") == []


async def test_two_users_sign_in_at_once_and_each_gets_their_own_account(world):
    other = world.emulator.add_user("Bob", "Builder", "bob@example.com")
    async with world.bot():
        ada, bob = await asyncio.gather(world.code("ada"), world.code("bob"))
        assert ada != bob
        await world.decide("approve", bob, other)
        assert await world.read("bob") == SIGNED_IN
        assert await world.ask("ada", "/whoami") == NOT_SIGNED_IN
        await world.decide("approve", ada, world.emulator.user)
        assert await world.read("ada") == SIGNED_IN
        assert await asyncio.gather(world.ask("ada", "/whoami"), world.ask("bob", "/whoami")) == [
            "You are signed in as Ada Example.",
            "You are signed in as Bob Builder.",
        ]
        assert await world.ask("bob", "/logout") == "You are signed out."
        assert await world.ask("ada", "/whoami") == "You are signed in as Ada Example."


async def test_forty_users_sign_in_at_once_and_messages_are_sent_a_few_at_a_time(world):
    users = [f"user{number}" for number in range(40)]
    async with world.bot():
        codes = await asyncio.gather(*(world.code(user) for user in users))
        assert len(set(codes)) == len(users)
        for code in codes:
            await world.emulator.approve(code)
        world.most_sending = 0
        world.clock.advance(6)
        assert {await world.read(user) for user in users} == {SIGNED_IN}
    assert all([await world.signed_in(user) for user in users])
    assert world.most_sending <= CONCURRENCY


@pytest.mark.parametrize(
    ("act", "reply"),
    [
        ("deny", "You denied the sign-in at Twilio. /login starts a new one."),
        ("expire", "The code expired before it was approved. /login gives a new one."),
    ],
)
async def test_denied_or_expired_sign_in_is_reported_and_can_be_repeated(world, act, reply):
    async with world.bot():
        code = await world.code("ada")
        await world.decide(act, code)
        assert await world.read("ada") == reply
        assert not await world.signed_in("ada")
        again = await world.code("ada")
        assert again != code
        await world.decide("approve", again)
        assert await world.read("ada") == SIGNED_IN


async def test_second_login_joins_the_pending_sign_in_and_one_result_is_sent(world):
    async with world.bot():
        code = await world.code("ada")
        assert await world.code("ada") == code
        assert await world.code("ada") == code
        await world.decide("approve", code)
        assert await world.read("ada") == SIGNED_IN
        assert await world.ask("ada", "/whoami") == "You are signed in as Ada Example."
    assert len(world.emulator.requests.to("device_code")) == 1
    assert world.unread("ada") == []


@pytest.mark.parametrize(
    ("command", "reply"), [("/cancel", "The sign-in is cancelled."), ("/logout", "You are signed out.")]
)
async def test_cancel_and_logout_end_the_pending_sign_in(world, command, reply):
    async with world.bot():
        code = await world.code("ada")
        assert await world.ask("ada", command) == reply
        assert await world.due() == []
        await world.decide("approve", code)
        assert await world.ask("ada", "/cancel") == "There is no pending sign-in."
        assert await world.ask("ada", "/whoami") == NOT_SIGNED_IN
    assert world.emulator.requests.to("poll") == []
    assert world.unread("ada") == []


async def test_login_while_twilio_is_down_reports_the_error(world):
    async with world.bot():
        world.emulator.faults.on("device_code").html(502)
        assert (await world.ask("ada", "/login")).startswith("The command failed: ")
        await world.decide("approve", await world.code("ada"))
        assert await world.read("ada") == SIGNED_IN


async def test_error_that_ends_the_sign_in_is_reported(world):
    async with world.bot():
        await world.code("ada")
        world.emulator.faults.on("poll").error("invalid_request", description="Not {you}.")
        world.clock.advance(6)
        assert (await world.read("ada")).startswith("The sign-in failed: 400 invalid_request: Not {you}.")


@pytest.mark.parametrize("at", ["device_code", "poll"])
async def test_device_flow_that_is_blocked_is_reported_in_plain_words(world, at):
    async with world.bot():
        if at == "poll":
            await world.code("ada")
        world.emulator.faults.on(at).error("unauthorized_client")
        if at == "poll":
            world.clock.advance(6)
        text = await (world.read("ada") if at == "poll" else world.ask("ada", "/login"))
    assert text == ("Twilio, or the administrator of your account, does not allow sign-in with a code for this bot.")


async def test_too_many_pending_sign_ins_are_reported(world):
    async with world.bot(max_flows=1):
        await world.code("ada")
        assert await world.ask("bob", "/login") == "Too many sign-ins are pending. Try again in a moment."


@pytest.mark.parametrize("refreshable", [True, False])
async def test_whoami_with_a_rejected_token_refreshes_or_reports_not_signed_in(world, refreshable):
    async with world.bot():
        await world.decide("approve", await world.code("ada"))
        await world.read("ada")
        before = (await world.stored("ada")).token
        world.clock.advance(10)
        if refreshable:
            world.emulator.faults.on("userinfo").error("invalid_token", status=401)
            assert await world.ask("ada", "/whoami") == "You are signed in as Ada Example."
            assert (await world.stored("ada")).token != before
        else:
            await world.emulator.revoke(before.access_token)
            assert await world.ask("ada", "/whoami") == NOT_SIGNED_IN


async def test_logout_without_revocation_deletes_the_token(world, monkeypatch):
    async def revoke_token(*_, **__):
        raise RevocationUnsupported("no endpoint")

    monkeypatch.setattr(OAuthSession, "revoke_token", revoke_token)
    async with world.bot():
        await world.decide("approve", await world.code("ada"))
        await world.read("ada")
        assert await world.ask("ada", "/logout") == "You are signed out."
        assert not await world.signed_in("ada")


async def test_commands_of_one_user_are_limited_and_the_user_is_informed_once(world):
    async with world.bot(commands_per_minute=3) as bot:
        for _ in range(8):
            assert await bot.command("ada", "/whoami")
        assert world.unread("ada") == [NOT_SIGNED_IN] * 3 + ["Too many commands. Try again in 60 seconds."]
        assert await world.ask("bob", "/whoami") == NOT_SIGNED_IN
        world.clock.advance(60)
        assert await bot.command("ada", "/whoami")
        assert world.unread("ada")[-1] == NOT_SIGNED_IN


async def test_sign_in_that_was_not_started_in_a_chat_sends_no_message(world):
    async with world.bot() as bot:
        sign_in = await bot._runner.submit("ada")
        await world.decide("approve", sign_in.user_code)
        await bot._runner.result(sign_in.id)
        await settle()
    assert world.sent == []


async def test_texts_are_translated(world):
    texts = {"approved": "Angemeldet.", "open_link": "\u00d6ffne {link}", "chat.nothing_pending": "Keine Anmeldung."}
    async with world.bot(texts=texts):
        assert await world.ask("ada", "/cancel") == "Keine Anmeldung."
        code = await world.code("ada")
        assert f"\u00d6ffne {world.emulator.base_url}" in world.sent[-1][1]
        await world.decide("approve", code)
        assert await world.read("ada") == "Angemeldet."
    assert set(texts) <= set(CHAT_TEXTS)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"runner": "pool"}, "runner must be a DeviceFlowRunner"),
        ({"send": None}, "send must be a coroutine function"),
        ({"send": "send"}, "send must be a coroutine function"),
        ({"app_name": ""}, "app_name must be a text"),
        ({"bot_name": ""}, "bot_name must be a text"),
        ({"texts": {"chat.hello": "x"}}, "no text of the name 'chat.hello'"),
        ({"commands_per_minute": 0}, "commands_per_minute must be at least 1"),
    ],
)
async def test_wrong_argument_is_reported(world, arguments, problem):
    async with world.bot() as bot:
        runner = bot._runner
        await bot.close()
        runner.on_end = None
        with pytest.raises(ConfigurationError, match=problem):
            ChatSignIn(**({"runner": runner, "send": world.send, "app_name": "this bot"} | arguments))


async def test_runner_with_a_callback_of_its_own_is_refused(world):
    async with world.bot() as bot:
        with pytest.raises(ConfigurationError, match="the runner has an on_end already"):
            ChatSignIn(bot._runner, send=world.send, app_name="this bot")
