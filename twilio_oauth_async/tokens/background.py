"""A task that renews a token before anybody has to wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import LoginRequired, TwilioOAuthError
from twilio_oauth_async.tokens.lifetime import MIN_REFRESH_GAP

MAX_PAUSE = 60.0
"""Seconds. After failures in a row the next try waits twice as long each time, up to this."""

_log = logging.getLogger(__name__)


class BackgroundRefresh:
    """Owned by one `TokenManager`, which says when the next refresh is due and does it."""

    def __init__(
        self,
        clock: Clock,
        *,
        due: Callable[[], float | None],
        refresh: Callable[[], Awaitable[TwilioOAuthError | None]],
        key: str,
    ) -> None:
        """Nothing starts here.

        Args:
            clock: what waits.
            due: seconds until the next refresh; None: not before something changes.
            refresh: does it, and gives the error that it came to.
            key: of the token, for the log.
        """
        self.changed = asyncio.Event()
        """Set by the owner whenever what `due` says may be another."""
        self._clock = clock
        self._due = due
        self._refresh = refresh
        self._key = key
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Go on until `stop`; does nothing where it is already running."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the task and wait for that. A refresh under way is the owner's, and goes on."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        at_least, failures = 0.0, 0
        while True:
            self.changed.clear()
            seconds = self._due()
            if await self._changed_within(None if seconds is None else max(seconds, at_least)):
                continue
            error = await self._refresh()
            at_least = MIN_REFRESH_GAP
            if error is not None:
                failures += 1
                at_least = min(MIN_REFRESH_GAP * 2.0 ** min(failures, 32), MAX_PAUSE)
                _log.warning("the token for %r was not refreshed in the background: %s", self._key, error)
            else:
                failures = 0
            if isinstance(error, LoginRequired):
                await self.changed.wait()

    async def _changed_within(self, seconds: float | None) -> bool:
        """Wait for a change, `seconds` at the most; whether there was one."""
        if seconds is None:
            return await self.changed.wait()
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._clock.sleep(seconds)),
            asyncio.create_task(self.changed.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        return self.changed.is_set()
