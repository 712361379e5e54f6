"""`ChatSignIn`: the users of a chat bot sign in with commands."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from twilio_oauth_async.chat.outages import Outages
from twilio_oauth_async.chat.outbox import Outbox, Send
from twilio_oauth_async.chat.texts import CHAT_TEXTS
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import (
    ConfigurationError,
    LoginRequired,
    TooManySignIns,
    TwilioOAuthError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from twilio_oauth_async.protocol.argument_checks import check_callable, check_count, check_methods, is_printable
from twilio_oauth_async.protocol.device_flow_policy import means_unavailable
from twilio_oauth_async.protocol.sign_in_texts import SignInTexts
from twilio_oauth_async.sign_in.base import DeviceFlowRunner, SignIn, clock_of_runner, close_runner, open_runner
from twilio_oauth_async.sign_in.rate_limit import RateLimit

COMMANDS = ("login", "whoami", "cancel", "logout")

_log = logging.getLogger(__name__)


class ChatSignIn:
    """Signs the users of a chat bot in to Twilio. Use it as an async context manager.

    It opens and closes the runner, and sets its `on_end`. Use one per runner.

    A code belongs in a private chat. A member of a group who approves the code of another user gives that user access
    to their own Twilio account (RFC 8628 5.4). So the default chat of a user is the one with the same id, which is
    private in most chat services. Give another `chat` only if it is private too, and say in a group only that the reply
    was sent.
    """

    def __init__(
        self,
        runner: DeviceFlowRunner,
        *,
        send: Send,
        app_name: str,
        texts: Mapping[str, str] | None = None,
        bot_name: str | None = None,
        commands_per_minute: int = 10,
        clock: Clock | None = None,
    ) -> None:
        """Create it; nothing is sent.

        Args:
            runner: runs the sign-ins: a `DeviceFlowPool`, or another `DeviceFlowRunner` with an attribute `on_end`.
            send: a coroutine function that sends a text to a chat. If it raises when a sign-in has ended, it is called
                again later, for a day; to drop a message, for example to a user who has blocked the bot, return.
            app_name: the name by which the users know the bot.
            texts: texts by name that replace those in `CHAT_TEXTS`.
            bot_name: the name of the bot in commands such as ``/login@name``. Commands to another name are not served.
            commands_per_minute: commands that one user may send; further ones are not served.
            clock: None: that of the runner.

        Raises:
            ConfigurationError: an argument is invalid, or the runner has an `on_end` already.
        """
        check_methods("runner", runner, ("submit", "find", "find_user", "cancel", "manager"), "a DeviceFlowRunner")
        check_callable("send", send, "a coroutine function that takes a chat and a text")
        if send is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError("send must be a coroutine function that takes a chat and a text")
        if not is_printable(app_name):
            raise ConfigurationError("app_name must be a text that is not empty")
        if bot_name is not None and not is_printable(bot_name):
            raise ConfigurationError("bot_name must be a text that is not empty")
        check_count("commands_per_minute", commands_per_minute, 1)
        if getattr(runner, "on_end", None) is not None:
            raise ConfigurationError("the runner has an on_end already; ChatSignIn sets it")
        self._runner = runner
        self._app_name = app_name
        self._bot_name = None if bot_name is None else bot_name.removeprefix("@").lower()
        self._texts = SignInTexts(texts, defaults=CHAT_TEXTS)
        self._clock = clock_of_runner(runner, clock)
        self._limit = RateLimit(commands_per_minute)
        self._notices = RateLimit(1)
        self._outbox = Outbox(send)
        self._outages = Outages(self._clock, self._report_outage)
        self._following: asyncio.Task[None] | None = None
        configured: Any = runner
        configured.on_end = self._report_end

    def __repr__(self) -> str:
        return f"ChatSignIn({self._runner!r}, app_name={self._app_name!r})"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the runner. Messages about sign-ins that ended meanwhile are sent from now on.

        Raises:
            StoreError: as the runner raises.
        """
        await open_runner(self._runner)
        all_events = getattr(self._runner, "all_events", None)
        if all_events is not None and self._following is None:
            self._following = asyncio.create_task(self._outages.run(all_events()))

    async def close(self) -> None:
        """Close the runner. Pending sign-ins stay stored, and the next process continues them."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
        await close_runner(self._runner)

    async def command(self, user: str, text: str, *, chat: str | None = None) -> bool:
        """Serve a command, and send the reply.

        Args:
            user: who sent it. The token is stored under this key.
            text: the message, for example ``/login``.
            chat: the private chat to reply in; None: the one with the id of the user.

        Returns:
            Whether `text` was one of the commands ``/login``, ``/whoami``, ``/cancel`` and ``/logout``.

        Raises:
            Exception: as `send` raises. A sign-in whose code was not sent is then cancelled.
        """
        name = self._command_in(text)
        if name is None:
            return False
        to = chat or user
        wait = self._limit.seconds_to_wait(user, self._clock.monotonic())
        if wait:
            await self._refuse(user, to, wait)
            return True
        self._limit.count(user, self._clock.monotonic())
        if name == "login":
            await self._send_code(user, to)
        else:
            await self._outbox.send(to, await getattr(self, name)(user, chat=chat))
        return True

    async def login(self, user: str, *, chat: str | None = None) -> str:
        """Start a sign-in, or join the pending one. Return the instructions with the code, or why there are none."""
        return (await self._login(user, chat or user))[0]

    async def whoami(self, user: str, *, chat: str | None = None) -> str:  # noqa: ARG002 - as the other commands
        """Return the text that says as whom `user` is signed in."""
        try:
            info = await self._runner.manager(user).user_info()
        except TwilioOAuthError as error:
            return self._text_of(error)
        return self._texts.fill("chat.whoami", name=info.friendly_name or info.email or info.user_sid or "?")

    async def cancel(self, user: str, *, chat: str | None = None) -> str:  # noqa: ARG002 - as the other commands
        """Cancel the pending sign-in of `user`. Return the text that says so."""
        try:
            state = await self._cancel_pending(user)
        except TwilioOAuthError as error:
            return self._text_of(error)
        if state is None:
            return self._texts["chat.nothing_pending"]
        return self._texts["chat.too_late" if state == "approved" else "chat.cancelled"]

    async def logout(self, user: str, *, chat: str | None = None) -> str:  # noqa: ARG002 - as the other commands
        """Cancel the pending sign-in of `user`, and revoke and delete the token. Return the text that says so."""
        try:
            await self._cancel_pending(user)
            await self._runner.manager(user).logout()
        except TwilioOAuthError as error:
            return self._text_of(error)
        return self._texts["chat.signed_out"]

    def _command_in(self, text: str) -> str | None:
        """Return the name of the command in a message; None if it is none of ours."""
        words = text.split(maxsplit=1)
        if not words or not words[0].startswith("/"):
            return None
        name, _, bot = words[0].removeprefix("/").lower().partition("@")
        return name if name in COMMANDS and bot in {"", self._bot_name} else None

    async def _refuse(self, user: str, chat: str, seconds: float) -> None:
        """Say once in a minute that there are too many commands."""
        now = self._clock.monotonic()
        if self._notices.seconds_to_wait(user, now):
            return
        self._notices.count(user, now)
        await self._outbox.send(chat, self._texts.fill("chat.too_often", seconds=math.ceil(seconds)))

    async def _send_code(self, user: str, chat: str) -> None:
        text, started = await self._login(user, chat)
        try:
            await self._outbox.send(chat, text)
        except BaseException:
            if started is not None:
                await self._runner.cancel(started.id)  # the user has not seen the code
            raise

    async def _login(self, user: str, chat: str) -> tuple[str, SignIn | None]:
        """Return the reply to ``/login``, and the sign-in if this call has started it."""
        try:
            await self._runner.manager(user).token()
        except LoginRequired:
            pass
        except TwilioOAuthError as error:
            return self._text_of(error), None
        else:
            return self._texts["chat.already"], None
        try:
            pending = await self._runner.find_user(user)
            context = {"chat": chat, "started_at": self._clock.now().isoformat()}
            sign_in = await self._runner.submit(user, context=context)
        except TwilioOAuthError as error:
            return self._text_of(error), None
        is_new = pending is None or pending.id != sign_in.id
        return self._instructions(sign_in), sign_in if is_new else None

    def _instructions(self, sign_in: SignIn) -> str:
        started = sign_in.context.get("started_at")
        text = sign_in.instructions(
            self._app_name,
            started_at=None if started is None else datetime.fromisoformat(started),
            texts=self._texts,
        )
        return f"{text}\n{self._texts['chat.cancel']}"

    async def _cancel_pending(self, user: str) -> str | None:
        """Cancel the pending sign-in of `user`, and return how it ended; None if there is none."""
        sign_in = await self._runner.find_user(user)
        if sign_in is None:
            return None
        await self._runner.cancel(sign_in.id)
        ended = await self._runner.find(sign_in.id)
        return "cancelled" if ended is None else ended.state

    async def _report_end(self, sign_in: SignIn) -> None:
        """Send the end of a sign-in to its chat. The runner calls this at least once, also after a restart."""
        chat = sign_in.context.get("chat")
        if chat is None or sign_in.state == "cancelled":
            return  # not started in a chat, or the reply to /cancel or /logout has said so
        if sign_in.state != "approved" and await self._runner.find_user(sign_in.user) is not None:
            return  # the user would think of the newer code
        name = "unavailable" if means_unavailable(sign_in.problem) else sign_in.state
        text = self._texts.fill(name, app_name=self._app_name, problem=sign_in.problem)
        await self._outbox.send_once(sign_in.id, chat, text)

    async def _report_outage(self, sign_in: SignIn) -> None:
        chat = sign_in.context.get("chat")
        if chat is not None:
            await self._outbox.send(chat, self._texts.fill("unreachable", app_name=self._app_name))

    def _text_of(self, error: TwilioOAuthError) -> str:
        """Return the reply for an error."""
        if isinstance(error, LoginRequired):
            return self._texts["chat.not_signed_in"]
        if isinstance(error, TooManySignIns):
            return self._texts["chat.busy"]
        if isinstance(error, (UnauthorizedClientError, UnsupportedGrantTypeError)):
            return self._texts.fill("unavailable", app_name=self._app_name)
        _log.warning("a command failed: %s", error)
        return self._texts.fill("chat.error", error=error)
