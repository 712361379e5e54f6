"""The commands of the bot: what it sends, to which user, in which chat."""

import asyncio

import pytest

from tests.helpers.fake_telegram import NAME
from twilio_oauth_async import OAuthSession, RevocationUnsupported

pytestmark = pytest.mark.asyncio

SENT_IN_PRIVATE = "I have sent the reply to our private chat."
SIGNED_IN = "You are signed in. /whoami shows your name."
NOT_SIGNED_IN = "You are not signed in. Use /login."


async def test_help_login_whoami_and_logout_in_a_private_chat(world, ada):
    async with world.bot():
        assert await world.ask(ada, "/start") == (
            "/login signs you in to Twilio, /whoami shows your name, /cancel cancels a sign-in, /logout signs you out."
        )
        assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN
        code = await world.code(ada)
        sent = world.telegram.in_chat(ada)[-1]
        assert f"To sign in, open {world.emulator.base_url}/" in sent.text
        assert "This lets this bot use: openid" in sent.text
        assert "if you started the sign-in yourself" in sent.text
        assert sent.fields["link_preview_options"] == '{"is_disabled": true}'
        await world.decide("approve", code)
        assert (await world.telegram.read(ada)).text == SIGNED_IN
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
        assert (
            await world.ask(ada, "/login")
            == "You are already signed in. /whoami shows your name, /logout signs you out."
        )
        assert await world.ask(ada, "/logout") == "You are signed out."
        assert not await world.signed_in(ada)
        assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN
    assert [entry.status for entry in world.emulator.requests.to("revoke")] == [200]
    assert len(await world.secrets()) >= 6


async def test_personal_messages_of_commands_in_a_group_go_to_the_private_chat(world, ada, group):
    async with world.bot():
        await world.telegram.say(ada, "/start")
        await world.telegram.read(ada)
        code = await world.code(ada, group)
        assert (await world.telegram.read(group)).text == SENT_IN_PRIVATE
        await world.decide("approve", code)
        assert (await world.telegram.read(ada)).text == SIGNED_IN
        assert await world.ask(ada, "/whoami", group) == "You are signed in as Ada Example."
        assert await world.ask(ada, "/logout", group) == "You are signed out."
    assert {message.text for message in world.telegram.in_chat(group)} == {SENT_IN_PRIVATE}


async def test_user_who_never_wrote_to_the_bot_is_asked_to_press_start(world, ada, group):
    async with world.bot():
        await world.telegram.say(ada, "/login", group)
        sent = (await world.telegram.read(group)).text
        assert sent == f"I cannot send you a message. Open @{NAME}, press Start, and send the command there."
        # The sign-in is cancelled, because the user has not seen its code.
        assert len(world.emulator.requests.to("device_code")) == 1
        assert await world.due() == []
        await world.telegram.say(ada, "/start")
        await world.telegram.read(ada)
        await world.decide("approve", await world.code(ada, group))
        assert (await world.telegram.read(ada)).text == SIGNED_IN
    assert len(world.emulator.requests.to("device_code")) == 2


@pytest.mark.parametrize(
    "message",
    [
        {"sender_chat": {"id": -500, "type": "supergroup", "title": "All"}},  # an anonymous administrator, a channel
        {"from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}},
        {"from": None},
    ],
)
async def test_message_without_a_user_of_its_own_is_ignored(world, ada, group, message):
    async with world.bot():
        await world.telegram.say(ada, "/login", group, **message)
        await world.telegram.say(ada, "/login@another_bot", group)
        assert await world.ask(ada, f"/login@{NAME}") != ""
    assert len(world.emulator.requests.to("device_code")) == 1
    assert world.telegram.in_chat(group) == []


async def test_two_users_sign_in_at_once_and_each_gets_their_own_account(world, ada, bob, group):
    other = world.emulator.add_user("Bob", "Builder", "bob@example.com")
    async with world.bot():
        await asyncio.gather(world.telegram.say(ada, "/start"), world.telegram.say(bob, "/start"))
        await asyncio.gather(world.telegram.read(ada), world.telegram.read(bob))
        ada_code, bob_code = await asyncio.gather(world.code(ada, group), world.code(bob, group))
        assert ada_code != bob_code
        await world.decide("approve", bob_code, other)
        assert (await world.telegram.read(bob)).text == SIGNED_IN
        assert await world.ask(ada, "/whoami", group) == NOT_SIGNED_IN
        await world.decide("approve", ada_code, world.emulator.user)
        assert (await world.telegram.read(ada)).text == SIGNED_IN
        assert await asyncio.gather(world.ask(ada, "/whoami"), world.ask(bob, "/whoami")) == [
            "You are signed in as Ada Example.",
            "You are signed in as Bob Builder.",
        ]
        assert await world.ask(bob, "/logout") == "You are signed out."
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."


async def test_forty_users_sign_in_at_once(world):
    users = range(2000, 2040)
    async with world.bot():
        codes = await asyncio.gather(*(world.code(user) for user in users))
        assert len(set(codes)) == len(users)
        for code in codes:
            await world.emulator.approve(code)
        world.clock.advance(6)
        assert {(await world.telegram.read(user)).text for user in users} == {SIGNED_IN}
    assert all([await world.signed_in(user) for user in users])


@pytest.mark.parametrize(
    ("act", "reply"),
    [
        ("deny", "The sign-in was denied. /login starts a new one."),
        ("expire", "The code was not approved in time and has expired. /login gives a new one."),
    ],
)
async def test_denied_or_expired_sign_in_is_reported_and_can_be_repeated(world, ada, act, reply):
    async with world.bot():
        code = await world.code(ada)
        await world.decide(act, code)
        assert (await world.telegram.read(ada)).text == reply
        assert not await world.signed_in(ada)
        again = await world.code(ada)
        assert again != code
        await world.decide("approve", again)
        assert (await world.telegram.read(ada)).text == SIGNED_IN


async def test_second_login_joins_the_pending_sign_in_and_one_result_is_sent(world, ada, group):
    async with world.bot():
        code = await world.code(ada)
        assert await world.code(ada, group) == code
        assert await world.code(ada) == code
        await world.decide("approve", code)
        assert (await world.telegram.read(ada)).text == SIGNED_IN
        # The result was sent once, although /login was sent three times.
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
    assert len(world.emulator.requests.to("device_code")) == 1
    assert world.telegram.unread(ada) == []


@pytest.mark.parametrize(
    ("command", "reply"), [("/cancel", "The sign-in is cancelled."), ("/logout", "You are signed out.")]
)
async def test_cancel_and_logout_end_the_pending_sign_in(world, ada, command, reply):
    async with world.bot():
        code = await world.code(ada)
        assert await world.ask(ada, command) == reply
        assert await world.due() == []
        await world.decide("approve", code)
        assert await world.ask(ada, "/cancel") == "There is no pending sign-in."
        assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN
    assert world.emulator.requests.to("poll") == []


async def test_login_while_twilio_is_down_reports_the_error(world, ada):
    async with world.bot():
        world.emulator.faults.on("device_code").html(502)
        assert (await world.ask(ada, "/login")).startswith("The command failed: ")
        await world.decide("approve", await world.code(ada))
        assert (await world.telegram.read(ada)).text == SIGNED_IN


async def test_error_that_ends_the_sign_in_is_reported(world, ada):
    async with world.bot():
        await world.code(ada)
        world.emulator.faults.on("poll").error("unauthorized_client", description="Not {you}.")
        world.clock.advance(6)
        sent = (await world.telegram.read(ada)).text
        assert sent.startswith("The sign-in failed: 400 unauthorized_client: Not {you}.")


@pytest.mark.parametrize("refreshable", [True, False])
async def test_whoami_with_a_rejected_token_refreshes_or_reports_not_signed_in(world, ada, refreshable):
    async with world.bot():
        await world.decide("approve", await world.code(ada))
        await world.telegram.read(ada)
        before = (await world.stored(ada)).token
        world.clock.advance(10)
        if refreshable:
            world.emulator.faults.on("userinfo").error("invalid_token", status=401)
            assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
            assert (await world.stored(ada)).token != before
        else:
            await world.emulator.revoke(before.access_token)
            assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN


async def test_logout_without_revocation_deletes_the_token(world, ada, monkeypatch):
    async def revoke_token(*_, **__):
        raise RevocationUnsupported("no endpoint")

    monkeypatch.setattr(OAuthSession, "revoke_token", revoke_token)
    async with world.bot():
        await world.decide("approve", await world.code(ada))
        await world.telegram.read(ada)
        assert await world.ask(ada, "/logout") == "You are signed out."
        assert not await world.signed_in(ada)


async def test_message_refused_by_flood_control_is_sent_again(world, ada):
    async with world.bot():
        code = await world.code(ada)
        world.telegram.floods = 2
        await world.decide("approve", code)
        async with asyncio.timeout(20):
            while world.telegram.floods:
                world.clock.advance(3)
                await asyncio.sleep(0.01)
        assert world.telegram.unread(ada) == []
        world.clock.advance(3)
        assert (await world.telegram.read(ada)).text == SIGNED_IN


async def test_user_who_blocks_the_bot_does_not_disturb_other_users(world, ada, bob, caplog):
    async with world.bot():
        ada_code, bob_code = await world.code(ada), await world.code(bob)
        world.telegram.wrote_to_the_bot.remove(ada)
        await world.emulator.approve(ada_code)
        await world.decide("approve", bob_code)
        assert (await world.telegram.read(bob)).text == SIGNED_IN
        async with asyncio.timeout(20):
            while "the result of a sign-in could not be sent" not in caplog.text:
                await asyncio.sleep(0)
        assert await world.ask(bob, "/whoami") == "You are signed in as Ada Example."
    assert world.telegram.unread(ada) == []
    assert await world.signed_in(ada)
