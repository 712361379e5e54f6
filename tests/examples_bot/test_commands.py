"""What the bot answers, to whom, and where."""

import asyncio

import pytest

from tests.helpers.fake_telegram import NAME
from twilio_oauth_async import ConfigurationError, OAuthSession

pytestmark = pytest.mark.asyncio

IN_PRIVATE = "I have answered you in our private chat."
DONE = "You are signed in. /whoami says as whom."
NOT_SIGNED_IN = "You are not signed in. /login does that."


async def test_from_the_first_word_to_the_last(world, ada):
    async with world.bot():
        assert await world.ask(ada, "/start") == (
            "/login signs you in to Twilio, /whoami says as whom, /cancel stops a sign-in, /logout ends it."
        )
        assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN
        code = await world.code(ada)
        told = world.telegram.in_chat(ada)[-1]
        assert f"To sign in, open {world.emulator.base_url}/" in told.text
        assert "This lets this bot use: openid" in told.text
        assert "Never enter a code that you did not request" in told.text
        assert told.fields["link_preview_options"] == '{"is_disabled": true}'
        await world.decide("approve", code)
        assert (await world.telegram.read(ada)).text == DONE
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
        assert await world.ask(ada, "/login") == "You are signed in already. /whoami says as whom, /logout ends it."
        assert await world.ask(ada, "/logout") == "You are signed out."
        assert not await world.signed_in(ada)
        assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN
    assert [entry.status for entry in world.emulator.requests.to("revoke")] == [200]
    assert len(await world.secrets()) >= 6


async def test_in_a_group_all_that_is_personal_stays_private(world, ada, group):
    async with world.bot():
        await world.telegram.say(ada, "/start")
        await world.telegram.read(ada)
        code = await world.code(ada, group)
        assert (await world.telegram.read(group)).text == IN_PRIVATE
        await world.decide("approve", code)
        assert (await world.telegram.read(ada)).text == DONE
        assert await world.ask(ada, "/whoami", group) == "You are signed in as Ada Example."
        assert await world.ask(ada, "/logout", group) == "You are signed out."
    assert {message.text for message in world.telegram.in_chat(group)} == {IN_PRIVATE}


async def test_whom_the_bot_may_not_write_to(world, ada, group):
    async with world.bot():
        await world.telegram.say(ada, "/login", group)
        told = (await world.telegram.read(group)).text
        assert told == f"I may not write to you. Open @{NAME}, press Start, and say it there."
        # The code that nobody has seen is given up.
        assert len(world.emulator.requests.to("device_code")) == 1
        assert await world.flows.list_due() == []
        await world.telegram.say(ada, "/start")
        await world.telegram.read(ada)
        await world.decide("approve", await world.code(ada, group))
        assert (await world.telegram.read(ada)).text == DONE
    assert len(world.emulator.requests.to("device_code")) == 2


@pytest.mark.parametrize(
    "message",
    [
        {"sender_chat": {"id": -500, "type": "supergroup", "title": "All"}},  # an anonymous administrator, a channel
        {"from": {"id": 1087968824, "is_bot": True, "first_name": "Group"}},
        {"from": None},
    ],
)
async def test_who_shares_an_id_with_others_is_not_answered(world, ada, group, message):
    async with world.bot():
        await world.telegram.say(ada, "/login", group, **message)
        await world.telegram.say(ada, "/login@another_bot", group)
        assert await world.ask(ada, f"/login@{NAME}") != ""
    assert len(world.emulator.requests.to("device_code")) == 1
    assert world.telegram.in_chat(group) == []


async def test_two_people_at_once(world, ada, bob, group):
    other = world.emulator.add_user("Bob", "Builder", "bob@example.com")
    async with world.bot():
        await asyncio.gather(world.telegram.say(ada, "/start"), world.telegram.say(bob, "/start"))
        await asyncio.gather(world.telegram.read(ada), world.telegram.read(bob))
        of_ada, of_bob = await asyncio.gather(world.code(ada, group), world.code(bob, group))
        assert of_ada != of_bob
        await world.decide("approve", of_bob, other)
        assert (await world.telegram.read(bob)).text == DONE
        assert await world.ask(ada, "/whoami", group) == NOT_SIGNED_IN
        await world.decide("approve", of_ada, world.emulator.user)
        assert (await world.telegram.read(ada)).text == DONE
        assert await asyncio.gather(world.ask(ada, "/whoami"), world.ask(bob, "/whoami")) == [
            "You are signed in as Ada Example.",
            "You are signed in as Bob Builder.",
        ]
        assert await world.ask(bob, "/logout") == "You are signed out."
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."


async def test_many_at_once(world):
    people = range(2000, 2040)
    async with world.bot():
        codes = await asyncio.gather(*(world.code(person) for person in people))
        assert len(set(codes)) == len(people)
        for code in codes:
            await world.emulator.approve(code)
        world.clock.advance(6)
        assert {(await world.telegram.read(person)).text for person in people} == {DONE}
    assert all([await world.signed_in(person) for person in people])


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("deny", "The sign-in was refused. /login begins another one."),
        ("expire", "Nobody approved in time, and the code is worth nothing now. /login gives another one."),
    ],
)
async def test_refused_and_expired(world, ada, act, said):
    async with world.bot():
        code = await world.code(ada)
        await world.decide(act, code)
        assert (await world.telegram.read(ada)).text == said
        assert not await world.signed_in(ada)
        again = await world.code(ada)
        assert again != code
        await world.decide("approve", again)
        assert (await world.telegram.read(ada)).text == DONE


async def test_whoever_asks_again_joins(world, ada, group):
    async with world.bot():
        code = await world.code(ada)
        assert await world.code(ada, group) == code
        assert await world.code(ada) == code
        await world.decide("approve", code)
        assert (await world.telegram.read(ada)).text == DONE
        # Told once, although there were three to tell.
        assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
    assert len(world.emulator.requests.to("device_code")) == 1
    assert world.telegram.unread(ada) == []


@pytest.mark.parametrize(
    ("command", "said"), [("/cancel", "The sign-in is cancelled."), ("/logout", "You are signed out.")]
)
async def test_giving_up(world, ada, command, said):
    async with world.bot():
        code = await world.code(ada)
        assert await world.ask(ada, command) == said
        assert await world.flows.list_due() == []
        await world.decide("approve", code)
        assert await world.ask(ada, "/cancel") == "No sign-in is under way."
        assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN
    assert world.emulator.requests.to("poll") == []


async def test_twilio_is_down(world, ada):
    async with world.bot():
        world.emulator.faults.on("device_code").html(502)
        assert (await world.ask(ada, "/login")).startswith("That did not work: ")
        await world.decide("approve", await world.code(ada))
        assert (await world.telegram.read(ada)).text == DONE


async def test_the_server_ends_the_sign_in_with_an_error(world, ada):
    async with world.bot():
        await world.code(ada)
        world.emulator.faults.on("poll").error("unauthorized_client", description="Not {you}.")
        world.clock.advance(6)
        said = (await world.telegram.read(ada)).text
        assert said.startswith("The sign-in did not work: 400 unauthorized_client: Not {you}.")


@pytest.mark.parametrize("refreshable", [True, False])
async def test_a_token_that_twilio_does_not_take_any_more(world, ada, refreshable):
    async with world.bot():
        await world.decide("approve", await world.code(ada))
        await world.telegram.read(ada)
        before = (await world.tokens.load(str(ada))).token
        world.clock.advance(10)
        if refreshable:
            world.emulator.faults.on("userinfo").error("invalid_token", status=401)
            assert await world.ask(ada, "/whoami") == "You are signed in as Ada Example."
            assert (await world.tokens.load(str(ada))).token != before
        else:
            await world.emulator.revoke(before.access_token)
            assert await world.ask(ada, "/whoami") == NOT_SIGNED_IN


async def test_a_server_that_cannot_revoke(world, ada, monkeypatch):
    async def revoke_token(*_, **__):
        raise ConfigurationError("no endpoint")

    monkeypatch.setattr(OAuthSession, "revoke_token", revoke_token)
    async with world.bot():
        await world.decide("approve", await world.code(ada))
        await world.telegram.read(ada)
        assert (await world.ask(ada, "/logout")).startswith("I have forgotten your token. Twilio has not")
        assert not await world.signed_in(ada)


async def test_too_many_messages_at_once(world, ada):
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
        assert (await world.telegram.read(ada)).text == DONE


async def test_who_blocks_the_bot_meanwhile_harms_nobody(world, ada, bob, caplog):
    async with world.bot():
        of_ada, of_bob = await world.code(ada), await world.code(bob)
        world.telegram.wrote_to_the_bot.remove(ada)
        await world.emulator.approve(of_ada)
        await world.decide("approve", of_bob)
        assert (await world.telegram.read(bob)).text == DONE
        async with asyncio.timeout(20):
            while "could not be told how their sign-in ended" not in caplog.text:
                await asyncio.sleep(0)
        assert await world.ask(bob, "/whoami") == "You are signed in as Ada Example."
    assert world.telegram.unread(ada) == []
    assert await world.signed_in(ada)
