"""A Telegram bot whose users sign in to Twilio, each as themselves: /login, /whoami, /cancel, /logout.

Needs `pip install 'twilio-oauth-async[file,emulator]' aiogram`, and a bot: tell @BotFather /newbot, and put the token
that it answers with into BOT_TOKEN. See _service.py for where people sign in; at an emulator, approve by the link in
the bot's message, in a browser on this machine. BOT_STATE is the folder for tokens and pending sign-ins (bot-state;
with an emulator one that ends with it), BOT_API_URL a Bot API server of your own.

What is personal goes to the person's private chat, whichever chat the command stood in. Their key in the stores is
their id at Telegram, which is the id of that chat too: a bot that comes back knows whom to tell.
"""

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
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
    ApiError,
    ConfigurationError,
    DeviceFlow,
    DeviceFlowPool,
    LoginRequired,
    OAuthSession,
    SignIn,
    StoreError,
    TokenManagers,
    TwilioOAuthError,
)
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

HELP = "/login signs you in to Twilio, /whoami says as whom, /cancel stops a sign-in, /logout ends it."
ENDINGS = {
    "approved": "You are signed in. /whoami says as whom.",
    "denied": "The sign-in was refused. /login begins another one.",
    "expired": "Nobody approved in time, and the code is worth nothing now. /login gives another one.",
    "failed": "The sign-in did not work: {problem}",
}
TAKE_UP_EVERY = 30.0
"""Seconds. A bot that was killed, not stopped, left sign-ins that nobody may touch for a minute."""

log = logging.getLogger("bot")


def is_from_a_person(message: Message) -> bool:
    # Channels and anonymous administrators share an id: one of them would be signed in as another.
    return message.from_user is not None and not message.from_user.is_bot and message.sender_chat is None


def who(message: Message) -> str:
    assert message.from_user is not None  # is_from_a_person
    return str(message.from_user.id)


class SignInBot:
    """The commands. Any number of people may be in the middle of any of them."""

    def __init__(
        self, bot: Bot, session: OAuthSession, managers: TokenManagers, pool: DeviceFlowPool, tasks: asyncio.TaskGroup
    ) -> None:
        self.bot, self.session, self.managers, self.pool, self.tasks = bot, session, managers, pool, tasks
        self.pending: dict[str, str] = {}  # by user the id of the sign-in whose end they will be told
        self.dispatcher = Dispatcher()
        self.dispatcher.message.filter(is_from_a_person)
        self.dispatcher.message.register(self.help, Command("start", "help"))
        for command in (self.login, self.whoami, self.cancel, self.logout):
            self.dispatcher.message.register(command, Command(command.__name__))
        self.dispatcher.error.register(self.failed, ExceptionTypeFilter(TwilioOAuthError, TelegramForbiddenError))

    async def help(self, message: Message) -> None:
        await message.answer(HELP)

    async def login(self, message: Message) -> None:
        user = who(message)
        try:
            await self.managers.get(user).token()
        except LoginRequired:
            sign_in = await self.pool.submit(user)  # joins the one that is under way
            self.watch(sign_in.id, user)
            try:
                await self.answer(message, sign_in.instructions("this bot"))
            except TelegramForbiddenError:
                await self.pool.cancel(sign_in.id)  # nobody has seen the code
                raise
        else:
            await self.answer(message, "You are signed in already. /whoami says as whom, /logout ends it.")

    async def whoami(self, message: Message) -> None:
        manager = self.managers.get(who(message))
        token = await manager.token()
        try:
            info = await self.session.fetch_user_info(access_token=token.access_token)
        except ApiError as error:
            if error.status != 401:
                raise
            manager.invalidate(token.access_token)
            info = await self.session.fetch_user_info(access_token=await manager.access_token())
        await self.answer(message, f"You are signed in as {info.friendly_name or info.user_sid}.")

    async def cancel(self, message: Message) -> None:
        given_up = await self.give_up(who(message))
        if given_up is None:
            await self.answer(message, "No sign-in is under way.")
        elif given_up.state != "approved":  # else it was too late, and they are told that they are signed in
            await self.answer(message, "The sign-in is cancelled.")

    async def logout(self, message: Message) -> None:
        await self.give_up(who(message))
        try:
            await self.managers.get(who(message)).logout()
        except ConfigurationError:  # this server has no way to revoke a token
            await self.answer(message, "I have forgotten your token. Twilio has not: remove this app there as well.")
        else:
            await self.answer(message, "You are signed out.")

    async def failed(self, event: ErrorEvent) -> None:
        message, error = event.update.message, event.exception
        assert message is not None  # nothing else is asked for
        if isinstance(error, LoginRequired):
            await self.answer(message, "You are not signed in. /login does that.")
        elif isinstance(error, TwilioOAuthError):
            await self.answer(message, f"That did not work: {error}")
        elif message.chat.type != ChatType.PRIVATE:  # who never wrote to a bot, or blocked it, cannot be written to
            name = (await self.bot.me()).username
            await message.reply(f"I may not write to you. Open @{name}, press Start, and say it there.")

    async def give_up(self, user: str) -> SignIn | None:
        """How the sign-in that was under way ended; None where there was none."""
        if user not in self.pending:
            return None
        id_ = self.pending[user]
        await self.pool.cancel(id_)
        return await self.pool.find(id_)

    async def answer(self, message: Message, text: str) -> None:
        """Tell the person alone; in a group only that they were told."""
        await self.tell(who(message), text)
        if message.chat.type != ChatType.PRIVATE:
            await message.reply("I have answered you in our private chat.")

    async def tell(self, user: str, text: str) -> None:
        try:
            # A preview would make Telegram's servers open the link with the code.
            await self.bot.send_message(int(user), text, link_preview_options=LinkPreviewOptions(is_disabled=True))
        except TelegramRetryAfter as limit:  # many sign-ins end at once
            await self.session.clock.sleep(limit.retry_after)
            await self.tell(user, text)

    def watch(self, id_: str, user: str) -> None:
        """Tell `user` how the sign-in ends, once however often this is called."""
        if self.pending.get(user) != id_:
            self.pending[user] = id_
            self.tasks.create_task(self.tell_the_end(id_, user))

    async def tell_the_end(self, id_: str, user: str) -> None:
        state, ending = "", ""
        try:
            async for event in self.pool.events(id_):
                state = event.sign_in.state
                ending = ENDINGS.get(state, "").format(problem=event.problem)
        except ConfigurationError:
            pass  # another process has taken it up, and tells
        is_latest = self.pending.get(user) == id_
        if is_latest:
            del self.pending[user]
        try:
            # That an older code is worth nothing would be taken for the one that they look at.
            if ending and (is_latest or state == "approved"):
                await self.tell(user, ending)
        except TelegramAPIError as error:
            log.warning("somebody could not be told how their sign-in ended: %s", error)

    async def take_up(self, left_behind: Sequence[SignIn]) -> None:
        """Tell the ends of those that the pool took up when it was opened, and of those that it takes up later."""
        while True:
            for sign_in in left_behind:
                if sign_in.user in self.pending:  # they began another one before a killed bot's could be taken up
                    self.tasks.create_task(self.tell_the_end(sign_in.id, sign_in.user))
                else:
                    self.watch(sign_in.id, sign_in.user)
            await self.session.clock.sleep(TAKE_UP_EVERY)
            try:
                left_behind = await self.pool.take_up()
            except StoreError as error:
                log.warning("the pending sign-ins could not be looked at: %s", error)


@asynccontextmanager
async def sign_in_bot(bot: Bot, twilio: Service, folder: Path) -> AsyncGenerator[Dispatcher, None]:
    """What answers commands. Afterwards what is pending lies in `folder`, for the next one to take up."""
    tokens = FileTokenStore(folder / "tokens.json")
    flows = FileFlowStore(folder / "flows.json", clock=twilio.session.clock)
    flow = DeviceFlow(
        twilio.session, client_sid=twilio.client_sid, client_secret=twilio.client_secret, scopes=["openid"]
    )
    async with asyncio.TaskGroup() as tasks, TokenManagers(flow, store=tokens) as managers:
        pool = DeviceFlowPool(flow, tokens=tokens, flows=flows)
        signing_in = SignInBot(bot, twilio.session, managers, pool, tasks)
        taking_up = tasks.create_task(signing_in.take_up(await pool.open()))
        try:
            yield signing_in.dispatcher
        finally:
            taking_up.cancel()
            await pool.close()  # then there are no more events, and the tasks come to their end


async def main() -> None:
    token = os.environ.get("BOT_TOKEN") or sys.exit("Set BOT_TOKEN: @BotFather at Telegram gives one, by /newbot.")
    telegram = TelegramAPIServer.from_base(os.environ.get("BOT_API_URL", "https://api.telegram.org"))
    with tempfile.TemporaryDirectory() as for_now:
        async with service() as twilio, Bot(token, session=AiohttpSession(api=telegram)) as bot:
            name = (await bot.me()).username
            folder = Path(os.environ.get("BOT_STATE", "bot-state") if twilio.emulator is None else for_now)
            async with sign_in_bot(bot, twilio, folder) as dispatcher:
                print(f"@{name} is listening. Ctrl-C stops it.", flush=True)
                # The session stays open for those who are told while we stop.
                await dispatcher.start_polling(  # pyright: ignore[reportUnknownMemberType]
                    bot, allowed_updates=["message"], close_bot_session=False
                )


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (TwilioOAuthError, TelegramAPIError, TokenValidationError) as error:
        # aiogram's messages may hold the address that was asked, which holds the token.
        sys.exit(f"It did not work: {str(error).replace(os.environ['BOT_TOKEN'], '***')}")
