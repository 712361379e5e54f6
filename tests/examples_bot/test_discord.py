"""The Discord bot: its slash commands on discord.py's own command tree, with a double for the interaction."""

import warnings
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest

from tests.helpers.chat_world import ChatWorld

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # discord.py imports audioop, which Python 3.13 removes
    import discord
    from discord import app_commands

pytestmark = pytest.mark.asyncio


class Interaction:
    """What the commands use of an interaction; replies are visible to the user only."""

    def __init__(self, command, user=7):
        self.command, self.user = command, SimpleNamespace(id=user)
        self.response, self.followup = AsyncMock(), AsyncMock()

    @property
    def reply(self):
        self.response.defer.assert_awaited_once_with(ephemeral=True)
        [call] = self.followup.send.await_args_list
        assert call.kwargs == {"ephemeral": True, "suppress_embeds": True}
        return call.args[0]


async def test_commands_reply_to_the_user_only(tmp_path):
    import bot_discord

    async with ChatWorld(tmp_path) as world, world.bot() as commands:
        tree = app_commands.CommandTree(discord.Client(intents=discord.Intents.none()))
        bot_discord.add_commands(tree, commands)
        registered = {command.name: command for command in tree.get_commands()}
        assert set(registered) == {"login", "whoami", "cancel", "logout"}

        async def run(name, **outcome):
            interaction = Interaction(registered[name])
            interaction.followup.send.configure_mock(**outcome)
            await registered[name].callback(interaction)
            return interaction.reply

        assert await run("whoami") == "You are not signed in. Use /login."
        assert "shows the code" in await run("login")
        assert await run("cancel") == "The sign-in is cancelled."
        with pytest.raises(discord.DiscordException):
            await run("login", side_effect=discord.DiscordException)
        assert await run("cancel") == "There is no pending sign-in.", "a code that was not shown cannot be approved"
        assert await run("logout") == "You are signed out."


async def test_bot_without_a_token_says_what_to_do(monkeypatch):
    import bot_discord

    monkeypatch.delenv("BOT_TOKEN", raising=False)
    with pytest.raises(SystemExit, match="Set BOT_TOKEN to the token of a bot"):
        await bot_discord.main()
