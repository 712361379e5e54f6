"""`ChatSignIn`: the users of a chat bot sign in with commands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from twilio_oauth_async.chat.outages import Outages
from twilio_oauth_async.chat.outbox import MAX_REMEMBERED, ChatGone, Outbox, Send
from twilio_oauth_async.chat.texts import CHAT_TEXTS
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import (
    ConfigurationError,
    LoginRequired,
    StoreError,
    TooManySignIns,
    TwilioOAuthError,
)
from twilio_oauth_async.protocol.argument_checks import check_callable, check_count, check_methods, is_printable
from twilio_oauth_async.protocol.device_flow_policy import means_unavailable
from twilio_oauth_async.protocol.sign_in_texts import SignInTexts
from twilio_oauth_async.sign_in.base import (
    NOT_POLLED,
    DeviceFlowRunner,
    SignIn,
    clock_of_runner,
    close_runner,
    open_runner,
)
from twilio_oauth_async.sign_in.rate_limit import RateLimit
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.tasks import create_task

COMMANDS = ("login", "whoami", "cancel", "logout")

LOGIN_TIMEOUT = 60.0  # seconds that a second /login of one user waits for the first

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
                again later, for a day. It raises `ChatGone` for a chat that takes no messages any more.
            app_name: the name by which the users know the bot.
            texts: texts by name that replace those in `CHAT_TEXTS`.
            bot_name: the name of the bot in commands such as ``/login@name``. Commands to another name are not served.
            commands_per_minute: commands that one user may give; further ones are not served.
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
        self._send = send
        self._outbox = Outbox(send)
        self._logins = KeyedLocks()
        self._chats: OrderedDict[str, str] = OrderedDict()
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
        if (all_events := getattr(self._runner, "all_events", None)) is not None and self._following is None:
            self._following = create_task(self._outages.run(all_events()))

    async def close(self) -> None:
        """Close the runner. Pending sign-ins stay stored, and the next process continues them."""
        following, self._following = self._following, None
        try:
            if following is not None:
                following.cancel()
                await asyncio.wait({following})
        finally:
            await close_runner(self._runner)

    async def command(self, user: str, text: str, *, chat: str | None = None, send: Send | None = None) -> bool:
        """Serve a command, and send the reply.

        Args:
            user: who sent it. The token is stored under this key.
            text: the message, for example ``/login``.
            chat: the private chat to reply in; None: the one with the id of the user.
            send: sends this reply, for chat services in which a command has a reply of its own; None: as all messages.

        Returns:
            Whether `text` was one of the commands ``/login``, ``/whoami``, ``/cancel`` and ``/logout``.

        Raises:
            Exception: as `send` raises. A sign-in whose code was not sent is then cancelled.
        """
        name = self._command_in(text)
        if name is None:
            return False
        to, reply = chat or user, send or self._send
        refused = self._refusal(user)
        if refused is not None:
            now = self._clock.monotonic()
            if not self._notices.seconds_to_wait(user, now):  # once in a minute
                self._notices.count(user, now)
                await reply(to, refused)
        elif name == "login":
            await self._send_code(user, to, reply)
        else:
            await reply(to, await self._text_for(name, user))
        return True

    async def login(self, user: str, *, chat: str | None = None) -> str:
        """Start a sign-in, or join the pending one. Return the instructions with the code, or why there are none."""
        refused = self._refusal(user)
        if refused is not None:
            return refused
        text, sign_in, _ = await self._login(user, chat or user)
        if sign_in is not None:
            self._remember(sign_in, chat or user)
        return text

    async def whoami(self, user: str, *, chat: str | None = None) -> str:  # noqa: ARG002 - as the other commands
        """Return the text that says as whom `user` is signed in."""
        return self._refusal(user) or await self._text_for("whoami", user)

    async def cancel(self, user: str, *, chat: str | None = None) -> str:  # noqa: ARG002 - as the other commands
        """Cancel the pending sign-in of `user`. Return the text that says so."""
        return await self._text_for("cancel", user)

    async def logout(self, user: str, *, chat: str | None = None) -> str:  # noqa: ARG002 - as the other commands
        """Cancel the pending sign-in of `user`, and revoke and delete the token. Return the text that says so."""
        return self._refusal(user) or await self._text_for("logout", user)

    async def _text_for(self, name: str, user: str) -> str:
        """Carry out ``whoami``, ``cancel`` or ``logout``, and return the reply."""
        actions = {"whoami": self._whoami, "cancel": self._cancel, "logout": self._logout}
        try:
            return await actions[name](user)
        except TwilioOAuthError as error:
            return self._text_of(error)

    async def _whoami(self, user: str) -> str:
        info = await self._runner.manager(user).user_info()
        return self._texts.fill("chat.whoami", name=info.friendly_name or info.email or info.user_sid or "?")

    async def _cancel(self, user: str) -> str:
        state = await self._cancel_pending(user)
        if state is None:
            return self._texts["chat.nothing_pending"]
        return self._texts["chat.too_late" if state == "approved" else "chat.cancelled"]

    async def _logout(self, user: str) -> str:
        try:
            await self._cancel_pending(user)
        finally:  # also if the store of the pending sign-ins fails
            await self._runner.manager(user).logout()
        return self._texts["chat.signed_out"]

    def _command_in(self, text: str) -> str | None:
        """Return the name of the command in a message; None if it is none of ours."""
        words = text.split(maxsplit=1)
        if not words or not words[0].startswith("/"):
            return None
        name, _, bot = words[0].removeprefix("/").lower().partition("@")
        return name if name in COMMANDS and bot in {"", self._bot_name} else None

    def _refusal(self, user: str) -> str | None:
        """Count a command; return the text for a user who has given too many of them, or None."""
        now = self._clock.monotonic()
        wait = self._limit.seconds_to_wait(user, now)
        if wait:
            return self._texts.fill("chat.too_often", seconds=math.ceil(wait))
        self._limit.count(user, now)
        return None

    async def _send_code(self, user: str, chat: str, reply: Send) -> None:
        async with self._logins.hold(
            user, LOGIN_TIMEOUT
        ):  # a second /login waits, and joins the sign-in only if its code was sent
            text, sign_in, is_new = await self._login(user, chat)
            try:
                await reply(chat, text)
            except BaseException:
                if sign_in is not None and is_new:
                    await self._cancel_unseen(sign_in)
                raise
            if sign_in is not None:
                self._remember(sign_in, chat)

    async def _cancel_unseen(self, sign_in: SignIn) -> None:
        """Cancel a sign-in whose code the user has not seen."""
        with contextlib.suppress(TwilioOAuthError):  # the error of `send` is raised
            await self._runner.cancel(sign_in.id)

    def _remember(self, sign_in: SignIn, chat: str) -> None:
        """Remember where the code was shown: the sign-in may have been started elsewhere, for example on a page."""
        self._chats[sign_in.id] = chat
        if len(self._chats) > MAX_REMEMBERED:
            self._chats.popitem(last=False)

    def _chat_of(self, sign_in: SignIn) -> str | None:
        return sign_in.context.get("chat") or self._chats.get(sign_in.id)

    async def _login(self, user: str, chat: str) -> tuple[str, SignIn | None, bool]:
        """Return the reply to ``/login``, the sign-in whose code it shows, and whether this call has started it."""
        try:
            await self._runner.manager(user).token()
        except TwilioOAuthError as error:
            if not isinstance(error, LoginRequired):
                return self._text_of(error), None, False
        else:
            return self._texts["chat.already"], None, False
        try:
            pending = await self._runner.find_user(user)
            context = {"chat": chat, "started_at": self._clock.now().isoformat()}
            sign_in = await self._runner.submit(user, context=context)
        except TwilioOAuthError as error:
            return self._text_of(error), None, False
        return self._instructions(sign_in), sign_in, pending is None or pending.id != sign_in.id

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
        chat = self._chat_of(sign_in)
        if chat is None or sign_in.state == "cancelled":
            return  # not shown in a chat, or the reply to /cancel or /logout has said so
        if await self._is_outdated(sign_in):
            return
        name = "unavailable" if means_unavailable(sign_in.problem) else sign_in.state
        text = self._texts.fill(name, app_name=self._app_name, problem=sign_in.problem)
        try:
            await self._outbox.send_once(sign_in.id, chat, text)
        except ChatGone:
            _log.info("a chat takes no messages any more: the end of its sign-in was not sent")

    async def _is_outdated(self, sign_in: SignIn) -> bool:
        """Return whether there is a newer code, or the user has signed out: the message would be misunderstood."""
        if sign_in.state != "approved":
            return await self._runner.find_user(sign_in.user) is not None
        try:
            await self._runner.manager(sign_in.user).token()
        except TwilioOAuthError as error:
            return isinstance(error, LoginRequired) and error.reason == "signed_out"
        return False

    async def _report_outage(self, sign_in: SignIn) -> None:
        chat = self._chat_of(sign_in)
        present = None if chat is None else await self._runner.find(sign_in.id)  # it may run in another process now
        if (
            chat is not None
            and present is not None
            and not present.is_over
            and present.problem not in {None, NOT_POLLED}
        ):
            await self._outbox.send(chat, self._texts.fill("unreachable", app_name=self._app_name))

    def _text_of(self, error: TwilioOAuthError) -> str:
        """Return the reply for an error."""
        if isinstance(error, ConfigurationError):
            raise error  # a mistake of the application, for example a bot that is not open
        if isinstance(error, LoginRequired):
            return self._texts["chat.not_signed_in"]
        if isinstance(error, TooManySignIns):
            return self._texts["chat.busy"]
        if means_unavailable(str(error)):
            return self._texts.fill("unavailable", app_name=self._app_name)
        _log.warning("a command failed: %s", error)
        if isinstance(error, StoreError):  # its message has a path of the server
            return self._texts["chat.store"]
        return self._texts.fill("chat.error", error=str(error))
