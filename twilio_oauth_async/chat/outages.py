"""`Outages`: tells users once if the server cannot be reached for long while their sign-in is pending."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.tasks import create_task

LONG = 60.0
"""Seconds without a response of the server, after which the user gets a message. Shorter outages are not worth one."""

LOOK_EVERY = 10.0
"""Seconds between two looks at the sign-ins that make no progress."""

SEND_TIMEOUT = 30.0
"""Seconds that the chat service may take for one message about an outage."""

_log = logging.getLogger(__name__)


class Outages:
    """Follows the sign-ins of one process."""

    def __init__(self, clock: Clock, report: Callable[[SignIn], Awaitable[None]]) -> None:
        """Create it.

        Args:
            clock: the source of time.
            report: sends the message.
        """
        self._clock = clock
        self._report = report
        self._since: dict[str, tuple[float, SignIn]] = {}
        self._reported: set[str] = set()

    async def run(self, states: AsyncGenerator[SignIn]) -> None:
        """Follow all changes of state until there are no more."""
        looking = create_task(self._look())
        try:
            async with aclosing(states):
                async for sign_in in states:
                    self._note(sign_in)
        except TwilioOAuthError as error:
            _log.warning("outages of the server are not reported any more: %s", error)
        finally:
            looking.cancel()
            await asyncio.wait({looking})

    def _note(self, sign_in: SignIn) -> None:
        if sign_in.is_over:
            self._since.pop(sign_in.id, None)
            self._reported.discard(sign_in.id)
        elif sign_in.problem is None:
            self._since.pop(sign_in.id, None)
        else:
            self._since.setdefault(sign_in.id, (self._clock.monotonic(), sign_in))

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(LOOK_EVERY)
            now = self._clock.monotonic()
            due: list[SignIn] = []
            for id_, (since, sign_in) in list(self._since.items()):
                if not sign_in.seconds_left(self._clock.now()):  # another process may have seen its end
                    self._note(attrs.evolve(sign_in, state="expired"))
                elif now - since >= LONG and id_ not in self._reported:
                    self._reported.add(id_)
                    due.append(sign_in)
            # Beside each other: one chat that does not respond must not delay the others.
            await asyncio.gather(*(self._tell(sign_in) for sign_in in due))

    async def _tell(self, sign_in: SignIn) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._report(sign_in)
        except Exception as error:  # noqa: BLE001 - of the application
            _log.warning("a message about an outage was not sent: %s", type(error).__name__)
