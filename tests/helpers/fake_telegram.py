"""The part of Telegram's Bot API that the example bot needs, as an HTTP server on loopback."""

import asyncio
import json
import time
from dataclasses import dataclass

from aiohttp import web

TOKEN = "4242:AAfake-token-of-a-bot-that-does-not-exist"
NAME = "sign_in_bot"


@dataclass(frozen=True)
class Sent:
    """A message that the bot sent."""

    chat: int
    text: str
    fields: dict


class FakeTelegram:
    """A Bot API server. As at Telegram, groups have negative ids, and a private chat has the id of its user."""

    def __init__(self):
        self.sent = []
        self.wrote_to_the_bot = set()
        """Users to whom the bot may send messages."""
        self.floods = 0
        """Number of messages to reject with 429."""
        self._updates = []
        self._confirmed = 0
        self._read = {}
        self._changed = asyncio.Condition()

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/bot{token}/{method}", self._call)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def say(self, user, text, chat=None, **message):
        """Send a message of `user`, in the private chat or in the group `chat`."""
        if chat is None:
            self.wrote_to_the_bot.add(user)
        place = {"id": user, "type": "private"} if chat is None else {"id": chat, "type": "supergroup", "title": "All"}
        number = len(self._updates) + 1
        sender = {"id": user, "is_bot": False, "first_name": f"User {user}"}
        content = {"message_id": number, "date": int(time.time()), "chat": place, "from": sender, "text": text}
        async with self._changed:
            self._updates.append({"update_id": number, "message": content | message})
            self._changed.notify_all()

    async def read(self, chat):
        """Wait for the bot's next unread message in `chat` and return it."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: self.unread(chat))
        message = self.unread(chat)[0]
        self._read[chat] = self._read.get(chat, 0) + 1
        return message

    def unread(self, chat):
        return self.in_chat(chat)[self._read.get(chat, 0) :]

    def in_chat(self, chat):
        return [message for message in self.sent if message.chat == chat]

    async def _call(self, request):
        fields = dict(await request.post())
        if request.match_info["token"] != TOKEN:
            return _error(401, "Unauthorized")
        return await getattr(self, f"_{request.match_info['method']}")(fields)

    async def _getMe(self, _):  # noqa: N802 - the name of the API method
        return _result({"id": 4242, "is_bot": True, "first_name": "Bot", "username": NAME})

    async def _getUpdates(self, fields):  # noqa: N802
        # https://core.telegram.org/bots/api#getupdates: updates below the offset are confirmed and not sent again.
        self._confirmed = max(self._confirmed, int(fields.get("offset", 0)))
        assert json.loads(fields["allowed_updates"]) == ["message"]

        def new():
            return [update for update in self._updates if update["update_id"] >= self._confirmed]

        async with self._changed:
            await self._changed.wait_for(new)
        return _result(new())

    async def _sendMessage(self, fields):  # noqa: N802
        chat = int(fields["chat_id"])
        if chat > 0 and chat not in self.wrote_to_the_bot:
            return _error(403, "Forbidden: bot can't initiate conversation with a user")
        if self.floods:
            self.floods -= 1
            return _error(429, "Too Many Requests: retry after 3", parameters={"retry_after": 3})
        async with self._changed:
            self.sent.append(Sent(chat, fields["text"], fields))
            self._changed.notify_all()
        kind = "private" if chat > 0 else "supergroup"
        return _result({"message_id": 1, "date": 0, "chat": {"id": chat, "type": kind}, "text": fields["text"]})


def _result(result):
    return web.json_response({"ok": True, "result": result})


def _error(status, description, **more):
    return web.json_response({"ok": False, "error_code": status, "description": description, **more}, status=status)
