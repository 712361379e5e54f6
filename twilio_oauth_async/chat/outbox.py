"""`Outbox`: the messages to users that are not replies, a few at a time, and each end once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeAlias


class ChatGone(Exception):  # noqa: N818 - says what is wrong
    """Raised by `send`: the chat takes no messages any more, for example because the user has blocked the bot.

    A message about the end of a sign-in is then dropped. Has no attributes.
    """


Send: TypeAlias = Callable[[str, str], Awaitable[None]]
"""Sends a text to a chat."""

CONCURRENCY = 10
"""Messages that are sent at the same time: many sign-ins may end together, and chat services limit the rate."""

MAX_REMEMBERED = 10_000
"""Ends that are remembered as sent."""


class Outbox:
    """Sends messages with the function of the application."""

    def __init__(self, send: Send) -> None:
        """Create it."""
        self._send = send
        self._places = asyncio.Semaphore(CONCURRENCY)
        self._sent: OrderedDict[str, None] = OrderedDict()

    async def send(self, chat: str, text: str) -> None:
        """Send `text`. Raises as the function of the application does."""
        async with self._places:
            await self._send(chat, text)

    async def send_once(self, key: str, chat: str, text: str) -> None:
        """Send `text`, unless something was sent under `key` before."""
        if key in self._sent:
            return
        await self.send(chat, text)
        self._sent[key] = None
        if len(self._sent) > MAX_REMEMBERED:
            self._sent.popitem(last=False)
