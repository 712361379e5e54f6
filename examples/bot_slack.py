"""A Slack bot, with Slack Bolt, whose users sign in to Twilio: /twilio login, whoami, cancel, logout.

Needs twilio-oauth-async[file,emulator], slack-bolt, and a Slack app in socket mode with the slash command /twilio and
the scope chat:write: its tokens in SLACK_BOT_TOKEN and SLACK_APP_TOKEN. BOT_STATE is a folder; see _service.py.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from _service import service
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp, AsyncRespond

from twilio_oauth_async import DeviceFlowPool, FileFlowStore, FileTokenStore
from twilio_oauth_async.chat import ChatSignIn

STATE = Path(os.environ.get("BOT_STATE", "slack-state"))


def sign_in_of(client: Any, pool: DeviceFlowPool) -> ChatSignIn:
    async def send(chat: str, text: str) -> None:  # to the user's messages; Slack's servers must not open the link
        await client.chat_postMessage(channel=chat, text=text, unfurl_links=False)

    return ChatSignIn(pool, send=send, app_name="this bot")


def add_command(app: Any, commands: ChatSignIn) -> None:
    async def serve(ack: AsyncAck, respond: AsyncRespond, command: dict[str, Any]) -> None:
        async def send(_: str, text: str) -> None:
            sent = await respond(text, response_type="ephemeral", unfurl_links=False)  # visible to this user only
            if sent.status_code != 200:
                raise ConnectionError(f"Slack returned {sent.status_code}")

        await ack()  # Slack waits for 3 s only
        if not await commands.command(str(command["user_id"]), f"/{command.get('text', '').strip()}", send=send):
            await send("", "Use /twilio with login, whoami, cancel or logout.")

    app.command("/twilio")(serve)


async def main() -> None:
    app = AsyncApp(token=os.environ.get("SLACK_BOT_TOKEN") or sys.exit("Set SLACK_BOT_TOKEN and SLACK_APP_TOKEN."))
    async with service() as twilio:
        tokens, flows = FileTokenStore(STATE / "tokens.db"), FileFlowStore(STATE / "flows.db")
        pool = DeviceFlowPool(twilio.device_flow(["openid"]), tokens=tokens, flows=flows)
        async with sign_in_of(app.client, pool) as commands:
            add_command(app, commands)
            handler: Any = AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"])
            await handler.start_async()


if __name__ == "__main__":
    asyncio.run(main())
