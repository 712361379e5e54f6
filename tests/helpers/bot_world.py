"""The environment of the bot in tests: Telegram, Twilio, a folder and a clock. It outlives the bot."""

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager

from _service import Service
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from bot_telegram import sign_in_bot

from tests.helpers.fake_telegram import TOKEN, FakeTelegram
from twilio_oauth_async import OAuthSession, RetryPolicy, VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.base import TokenKey
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore


class QuickSession(AiohttpSession):
    """An `AiohttpSession` that closes without the 0.25 s that aiogram waits for TLS."""

    async def close(self):
        if self._session is not None:
            await self._session.close()


class World:
    """Fake servers, stores and a clock; `bot` starts a bot with them."""

    def __init__(self, folder):
        self.clock = VirtualClock(auto=False)
        self.telegram = FakeTelegram()
        self.emulator = Emulator(clock=self.clock)
        self.folder = folder
        self.tokens = FileTokenStore(folder / "tokens.db", clock=self.clock)
        self.flows = FileFlowStore(folder / "flows.db", clock=self.clock)
        self.codes = []
        """Pairs of a user and a code that was sent to this user."""

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.telegram)
        await self._stack.enter_async_context(self.emulator)
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    @asynccontextmanager
    async def bot(self):
        """Run the bot until the block ends, as `main` of the example does."""
        async with (
            OAuthSession(
                self.emulator.account_sid,
                self.emulator.auth_token,
                base_url=self.emulator.base_url,
                clock=self.clock,
                retry=RetryPolicy.none(),
            ) as session,
            Bot(TOKEN, session=QuickSession(api=TelegramAPIServer.from_base(self.telegram.url))) as bot,
            sign_in_bot(
                bot, Service(session, self.emulator.client_sid, self.emulator.client_secret), self.folder
            ) as dispatcher,
        ):
            polling = asyncio.create_task(
                dispatcher.start_polling(
                    bot, handle_signals=False, close_bot_session=False, allowed_updates=["message"]
                )
            )
            try:
                yield bot
            finally:
                await dispatcher.stop_polling()
                await polling

    async def ask(self, user, text, chat=None):
        """Send `text` as `user` and return the bot's next message in the private chat."""
        await self.telegram.say(user, text, chat)
        return (await self.telegram.read(user)).text

    async def code(self, user, chat=None):
        """Send /login as `user` and return the code that the bot sends."""
        code = re.search(r"shows the code (\S+-\S+)", await self.ask(user, "/login", chat))[1]
        self.codes.append((user, code))
        return code

    async def decide(self, act, code, user=None):
        """Approve, deny or expire a code, and advance the clock to the bot's next poll."""
        await getattr(self.emulator, act)(code, *([user] if user else []))
        self.clock.advance(6)

    async def result(self, user):
        """Advance the clock until the bot sends `user` a message, and return its text."""
        async with asyncio.timeout(20):
            while not self.telegram.unread(user):
                self.clock.advance(1)
                await asyncio.sleep(0.01)
        return (await self.telegram.read(user)).text

    async def stored(self, user):
        """Return the stored token of `user`; None if there is none."""
        return await self.tokens.load(TokenKey(str(user), self.emulator.client_sid, self.emulator.base_url))

    async def signed_in(self, user):
        return await self.stored(user) is not None

    async def due(self):
        """Return the stored flows that no process polls."""
        return await self.flows.list_due(100, client_sid=self.emulator.client_sid, server=self.emulator.base_url)

    async def flow_of_killed_bot(self):
        """Give the lease of the only stored flow to a bot that was killed; return the flow."""
        [flow] = await self.due()
        assert await self.flows.lease([flow.id], "killed", 60) == {flow.id}
        return flow

    async def secrets(self):
        """Return all secrets: those sent to Twilio and those in its responses."""
        found = {TOKEN, self.emulator.client_secret, self.emulator.auth_token}
        for entry in self.emulator.requests:
            found |= {value for name, value in entry.form.items() if name in {"DeviceCode", "RefreshToken", "token"}}
            found.add(entry.headers.get("Authorization", "").partition(" ")[2])
        for user, _ in self.codes:
            if stored := await self.stored(user):
                token = stored.token
                found |= {token.access_token, token.refresh_token, token.id_token}
        return {secret for secret in found if secret}
