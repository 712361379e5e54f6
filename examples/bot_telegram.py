"""A Telegram bot whose users sign in to Twilio: /login, /whoami, /cancel, /logout.

Needs `pip install 'twilio-oauth-async[file,emulator]' aiogram` and a bot: send /newbot to @BotFather and set BOT_TOKEN
to the token in its reply. See _service.py for the OAuth server; with the emulator, open the link in the bot's message
in a browser on this machine. BOT_STATE is the folder for tokens and pending sign-ins (default: bot-state; with the
emulator, a temporary folder). BOT_API_URL names a Bot API server of your own.

The bot sends personal messages to the user's private chat, also if the command was sent in a group. The key of a user
in the stores is the Telegram user id, which is also the id of the private chat: so a restarted bot can still notify
the user.
"""

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from _service import Service, service
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ChatType
from aiogram.exceptions import TelegramAPIError, TelegramForbiddenError, TelegramRetryAfter
from aiogram.filters import Command, ExceptionTypeFilter
from aiogram.types import ErrorEvent, LinkPreviewOptions, Message
from aiogram.utils.token import TokenValidationError

from twilio_oauth_async import (
    DeviceFlow,
    DeviceFlowPool,
    LoginRequired,
    OAuthSession,
    SignIn,
    TokenManagers,
    TwilioOAuthError,
)
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

HELP = "/login signs you in to Twilio, /whoami shows your name, /cancel cancels a sign-in, /logout signs you out."
ENDINGS = {
    "approved": "You are signed in. /whoami shows your name.",
    "denied": "The sign-in was denied. /login starts a new one.",
    "expired": "The code was not approved in time and has expired. /login gives a new one.",
    "failed": "The sign-in failed: {problem}",
}
log = logging.getLogger("bot")


def is_from_user(message: Message) -> bool:
    # Channels and anonymous administrators share an id: one of them would use the sign-in of another one.
    return message.from_user is not None and not message.from_user.is_bot and message.sender_chat is None


def user_of(message: Message) -> str:
    assert message.from_user is not None  # because of is_from_user
    return str(message.from_user.id)


class SignInBot:
    """The commands of the bot. Any number of users can use them at the same time."""

    def __init__(self, bot: Bot, session: OAuthSession, managers: TokenManagers, pool: DeviceFlowPool) -> None:
        self.bot, self.session, self.managers, self.pool = bot, session, managers, pool
        pool.on_end = self.report_result
        self.dispatcher = Dispatcher()
        self.dispatcher.message.filter(is_from_user)
        self.dispatcher.message.register(self.help, Command("start", "help"))
        for command in (self.login, self.whoami, self.cancel, self.logout):
            self.dispatcher.message.register(command, Command(command.__name__))
        self.dispatcher.error.register(self.failed, ExceptionTypeFilter(TwilioOAuthError, TelegramForbiddenError))

    async def help(self, message: Message) -> None:
        await message.answer(HELP)

    async def login(self, message: Message) -> None:
        user = user_of(message)
        try:
            await self.managers.get(user).token()
        except LoginRequired:
            sign_in = await self.pool.submit(user)  # joins a pending one
            try:
                await self.reply(message, sign_in.instructions("this bot"))
            except TelegramForbiddenError:
                await self.pool.cancel(sign_in.id)  # the user has not seen the code
                raise
        else:
            await self.reply(message, "You are already signed in. /whoami shows your name, /logout signs you out.")

    async def whoami(self, message: Message) -> None:
        info = await self.managers.get(user_of(message)).user_info()
        await self.reply(message, f"You are signed in as {info.friendly_name or info.user_sid}.")

    async def cancel(self, message: Message) -> None:
        cancelled = await self.cancel_pending(user_of(message))
        if cancelled is None:
            await self.reply(message, "There is no pending sign-in.")
        elif cancelled.state != "approved":  # approved: it was too late, and watch reports that the user is signed in
            await self.reply(message, "The sign-in is cancelled.")

    async def logout(self, message: Message) -> None:
        await self.cancel_pending(user_of(message))
        await self.managers.get(user_of(message)).logout()
        await self.reply(message, "You are signed out.")

    async def failed(self, event: ErrorEvent) -> None:
        message, error = event.update.message, event.exception
        assert message is not None  # only messages are requested
        if isinstance(error, LoginRequired):
            await self.reply(message, "You are not signed in. Use /login.")
        elif isinstance(error, TwilioOAuthError):
            await self.reply(message, f"The command failed: {error}")
        elif message.chat.type != ChatType.PRIVATE:  # the user never wrote to the bot, or blocked it
            name = (await self.bot.me()).username
            await message.reply(f"I cannot send you a message. Open @{name}, press Start, and send the command there.")

    async def cancel_pending(self, user: str) -> SignIn | None:
        """Cancel the user's pending sign-in and return its final state; None if there is none."""
        sign_in = await self.pool.find_user(user)
        if sign_in is None:
            return None
        await self.pool.cancel(sign_in.id)
        return await self.pool.find(sign_in.id)

    async def reply(self, message: Message, text: str) -> None:
        """Send `text` to the user's private chat; in a group, only say that it was sent."""
        await self.send(user_of(message), text)
        if message.chat.type != ChatType.PRIVATE:
            await message.reply("I have sent the reply to our private chat.")

    async def send(self, user: str, text: str) -> None:
        try:
            # A preview would make Telegram's servers open the link with the code.
            await self.bot.send_message(int(user), text, link_preview_options=LinkPreviewOptions(is_disabled=True))
        except TelegramRetryAfter as limit:  # many sign-ins ended at the same time
            await self.session.clock.sleep(limit.retry_after)
            await self.send(user, text)

    async def report_result(self, sign_in: SignIn) -> None:
        """Send the result of a sign-in to its user. The pool calls this at least once, also after a restart."""
        ending = ENDINGS.get(sign_in.state, "").format(problem=sign_in.problem)
        # That an older code has expired is not reported: the user would think of the newer code.
        is_old = sign_in.state != "approved" and await self.pool.find_user(sign_in.user) is not None
        if ending and not is_old:
            try:
                await self.send(sign_in.user, ending)
            except TelegramAPIError as error:
                log.warning("the result of a sign-in could not be sent to its user: %s", error)


@asynccontextmanager
async def sign_in_bot(bot: Bot, twilio: Service, folder: Path) -> AsyncGenerator[Dispatcher, None]:
    """Yield the dispatcher of the commands. Pending sign-ins stay in `folder`, and the next start resumes them."""
    tokens = FileTokenStore(folder / "tokens.db", clock=twilio.session.clock)
    flows = FileFlowStore(folder / "flows.db", clock=twilio.session.clock)
    flow = DeviceFlow(
        twilio.session, client_sid=twilio.client_sid, client_secret=twilio.client_secret, scopes=["openid"]
    )
    pool = DeviceFlowPool(flow, tokens=tokens, flows=flows)
    async with TokenManagers(flow, store=tokens) as managers:
        commands = SignInBot(bot, twilio.session, managers, pool)
        async with pool:
            yield commands.dispatcher


async def main() -> None:
    token = os.environ.get("BOT_TOKEN") or sys.exit("Set BOT_TOKEN to the token of a bot: send /newbot to @BotFather.")
    telegram = TelegramAPIServer.from_base(os.environ.get("BOT_API_URL", "https://api.telegram.org"))
    with tempfile.TemporaryDirectory() as temporary:
        async with service() as twilio, Bot(token, session=AiohttpSession(api=telegram)) as bot:
            name = (await bot.me()).username
            folder = Path(os.environ.get("BOT_STATE", "bot-state") if twilio.emulator is None else temporary)
            async with sign_in_bot(bot, twilio, folder) as dispatcher:
                print(f"@{name} is listening. Ctrl-C stops it.", flush=True)
                # The session stays open for the results that are reported while the bot stops.
                await dispatcher.start_polling(  # pyright: ignore[reportUnknownMemberType]
                    bot, allowed_updates=["message"], close_bot_session=False
                )


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (TwilioOAuthError, TelegramAPIError, TokenValidationError) as error:
        # aiogram's messages may contain the URL of the request, which contains the token.
        sys.exit(f"Failed: {str(error).replace(os.environ['BOT_TOKEN'], '***')}")
