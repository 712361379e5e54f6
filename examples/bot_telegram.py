"""A Telegram bot (aiogram) whose users sign in to Twilio. Needs twilio-oauth-async[file,emulator] and aiogram."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from _service import service
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramForbiddenError, TelegramRetryAfter
from aiogram.types import LinkPreviewOptions, Message
from aiogram.utils.token import TokenValidationError

from twilio_oauth_async import DeviceFlowPool, FileFlowStore, FileTokenStore, TwilioOAuthError
from twilio_oauth_async.chat import ChatGone, ChatSignIn

API, STATE = os.environ.get("BOT_API_URL", "https://api.telegram.org"), Path(os.environ.get("BOT_STATE", "bot-state"))


async def main() -> None:
    token = os.environ.get("BOT_TOKEN") or sys.exit("Set BOT_TOKEN to the token of a bot: send /newbot to @BotFather.")

    async def send(chat: str, text: str) -> None:
        try:  # without a preview, for which Telegram's servers would open the link with the code
            await bot.send_message(int(chat), text, link_preview_options=LinkPreviewOptions(is_disabled=True))
        except TelegramRetryAfter as limit:
            await asyncio.sleep(limit.retry_after)
            await send(chat, text)
        except TelegramForbiddenError:  # the user has never written to the bot, or has blocked it
            raise ChatGone from None

    async def serve(message: Message) -> None:
        if message.from_user is None or message.from_user.is_bot or message.sender_chat is not None:
            return  # channels and anonymous administrators share an id
        try:
            if await commands.command(str(message.from_user.id), message.text or "") and message.chat.type != "private":
                await message.reply("I have sent the reply to our private chat.")
        except ChatGone:
            await message.reply("I cannot send you a message. Open our private chat and press Start.")

    async with service() as twilio, Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(API))) as bot:
        name = (await bot.me()).username
        dispatcher: Any = Dispatcher()
        dispatcher.message.register(serve)
        tokens, flows = FileTokenStore(STATE / "tokens.db"), FileFlowStore(STATE / "flows.db")
        pool = DeviceFlowPool(twilio.device_flow(["openid"]), tokens=tokens, flows=flows)
        async with ChatSignIn(pool, send=send, app_name="this bot", bot_name=name) as commands:
            print(f"@{name} is listening. Ctrl-C stops it.", flush=True)
            await dispatcher.start_polling(bot, allowed_updates=["message"], close_bot_session=False)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (TwilioOAuthError, TelegramAPIError, TokenValidationError) as error:
        sys.exit(f"Failed: {str(error).replace(os.environ['BOT_TOKEN'], '***')}")  # a URL in it contains the token
