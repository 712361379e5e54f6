"""A Discord bot, with discord.py, whose users sign in to Twilio: /login, /whoami, /cancel, /logout.

Needs twilio-oauth-async[file,emulator], discord.py, and the token of a bot in BOT_TOKEN (Discord's developer portal).
BOT_STATE is a folder; see _service.py for the OAuth server. Replies are visible to the user only, also on a server.
"""

import asyncio
import os
import sys
from pathlib import Path

import discord
from _service import service
from discord import app_commands

from twilio_oauth_async import DeviceFlowPool, FileFlowStore, FileTokenStore
from twilio_oauth_async.chat import ChatGone, ChatSignIn

STATE = Path(os.environ.get("BOT_STATE", "discord-state"))
HELP = {"login": "Sign in", "whoami": "Show your name", "cancel": "Cancel the sign-in", "logout": "Sign out"}


def add_commands(tree: app_commands.CommandTree, commands: ChatSignIn) -> None:
    async def reply(interaction: discord.Interaction) -> None:
        async def send(_: str, text: str) -> None:
            await interaction.followup.send(text, ephemeral=True, suppress_embeds=True)

        name = interaction.command.name if interaction.command is not None else ""
        await interaction.response.defer(ephemeral=True)  # Discord waits for 3 s only
        await commands.command(str(interaction.user.id), f"/{name}", send=send)

    for name, description in HELP.items():
        tree.add_command(app_commands.Command(name=name, description=description, callback=reply))


async def main() -> None:
    client = discord.Client(intents=discord.Intents.none())

    async def send(chat: str, text: str) -> None:
        try:
            await (await client.fetch_user(int(chat))).send(text, suppress_embeds=True)
        except discord.Forbidden:
            raise ChatGone from None

    token = os.environ.get("BOT_TOKEN") or sys.exit("Set BOT_TOKEN to the token of a bot.")
    async with service() as twilio, client:
        tokens, flows = FileTokenStore(STATE / "tokens.db"), FileFlowStore(STATE / "flows.db")
        pool = DeviceFlowPool(twilio.device_flow(["openid"]), tokens=tokens, flows=flows)
        await client.login(token)
        async with ChatSignIn(pool, send=send, app_name="this bot") as commands:
            tree = app_commands.CommandTree(client)
            add_commands(tree, commands)
            await tree.sync()
            await client.connect()


if __name__ == "__main__":
    asyncio.run(main())
