"""The environment of a chat bot in tests: a chat service, Twilio, a folder and a clock. It outlives the bot."""

import asyncio
import re
from contextlib import AsyncExitStack, asynccontextmanager

from twilio_oauth_async import DeviceFlow, DeviceFlowPool, OAuthSession, RetryPolicy, VirtualClock
from twilio_oauth_async.chat import ChatSignIn
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.base import TokenKey
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore


class ChatError(Exception):
    """The chat service has refused a message."""


class ChatWorld:
    """A fake chat service, stores and a clock; `bot` starts a bot with them."""

    def __init__(self, folder):
        self.clock = VirtualClock(auto=False)
        self.emulator = Emulator(clock=self.clock)
        self.folder = folder
        self.tokens = FileTokenStore(folder / "tokens.db", clock=self.clock)
        self.flows = FileFlowStore(folder / "flows.db", clock=self.clock)
        self.sent = []
        """Pairs of a chat and a text, in order."""
        self.refusals = {}
        """For each chat, the number of messages that the chat service refuses."""
        self.sending = self.most_sending = 0
        self.codes = []
        """Pairs of a chat and a code that was sent there."""
        self._read = {}

    async def __aenter__(self):
        self._stack = AsyncExitStack()
        await self._stack.enter_async_context(self.emulator)
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    async def send(self, chat, text):
        """Take a message of the bot, as a chat service does."""
        self.sending += 1
        self.most_sending = max(self.most_sending, self.sending)
        try:
            await asyncio.sleep(0)
            if self.refusals.get(chat):
                self.refusals[chat] -= 1
                raise ChatError(chat)
            self.sent.append((chat, text))
        finally:
            self.sending -= 1

    @asynccontextmanager
    async def bot(self, **options):
        """Run a bot until the block ends."""
        max_flows = options.pop("max_flows", 5_000)
        async with OAuthSession(
            self.emulator.account_sid,
            self.emulator.auth_token,
            base_url=self.emulator.base_url,
            clock=self.clock,
            retry=RetryPolicy.none(),
        ) as session:
            flow = DeviceFlow(
                session,
                client_sid=self.emulator.client_sid,
                client_secret=self.emulator.client_secret,
                scopes=["openid"],
            )
            pool = DeviceFlowPool(flow, tokens=self.tokens, flows=self.flows, max_flows=max_flows)
            arguments = {"send": self.send, "app_name": "this bot"} | options
            async with ChatSignIn(pool, **arguments) as self.chat:
                yield self.chat

    async def ask(self, user, text, chat=None):
        """Send `text` as `user` and return the reply."""
        assert await self.chat.command(user, text, chat=chat)
        return await self.read(chat or user)

    async def read(self, chat):
        """Return the next message to a chat that was not read yet. Advance the clock until it is sent."""
        async with asyncio.timeout(20):
            while not self.unread(chat):
                await asyncio.sleep(0.001)
        text = self.unread(chat)[0]
        self._read[chat] = self._read.get(chat, 0) + 1
        return text

    def unread(self, chat):
        return [text for to, text in self.sent if to == chat][self._read.get(chat, 0) :]

    async def code(self, user, chat=None):
        """Send /login as `user` and return the code that the bot sends."""
        code = re.search(r"shows the code (\S+-\S+)", await self.ask(user, "/login", chat))[1]
        self.codes.append((chat or user, code))
        return code

    async def decide(self, act, code, user=None):
        """Approve, deny or expire a code, and advance the clock to the bot's next poll."""
        await getattr(self.emulator, act)(code, *([user] if user else []))
        self.clock.advance(6)

    async def result(self, chat):
        """Advance the clock until the bot sends a message to a chat, and return its text."""
        async with asyncio.timeout(20):
            while not self.unread(chat):
                self.clock.advance(1)
                await asyncio.sleep(0.005)
        return await self.read(chat)

    async def stored(self, user):
        """Return the stored token of `user`; None if there is none."""
        return await self.tokens.load(TokenKey(user, self.emulator.client_sid, self.emulator.base_url))

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
        found = {self.emulator.client_secret, self.emulator.auth_token}
        for entry in self.emulator.requests:
            found |= {value for name, value in entry.form.items() if name in {"DeviceCode", "RefreshToken", "token"}}
            found.add(entry.headers.get("Authorization", "").partition(" ")[2])
        for user, _ in self.codes:
            if stored := await self.stored(user):
                token = stored.token
                found |= {token.access_token, token.refresh_token, token.id_token}
        return {secret for secret in found if secret}
