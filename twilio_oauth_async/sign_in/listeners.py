"""Streams of the states of sign-ins: of one for those who wait for it, and of all for the program."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator

from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.sign_in.base import SignIn

MAX_BEHIND = 10_000
"""Sign-ins whose latest state is kept for one reader of `AllEvents`."""

_log = logging.getLogger(__name__)


class Watch:
    """The present state of one sign-in, and all who listen to it. It has no task of its own."""

    __slots__ = ("_changed", "_is_closed", "error", "listeners", "present")

    def __init__(self, present: SignIn) -> None:
        """Create it with the present state."""
        self.present: SignIn = present
        self.error: TwilioOAuthError | None = None
        """What the sign-in ended with in this process."""
        self.listeners: int = 0
        """How many listen now."""
        self._changed: asyncio.Event | None = None
        self._is_closed = False

    def tell(self, sign_in: SignIn, error: TwilioOAuthError | None = None) -> bool:
        """Make `sign_in` the present state, and wake all who listen. Return whether it is a change."""
        if self.present.is_over or sign_in == self.present:
            return False
        self.present, self.error = sign_in, error
        self._wake()
        return True

    def close(self) -> None:
        """End the streams, although the sign-in has not ended."""
        self._is_closed = True
        self._wake()

    async def events(self) -> AsyncGenerator[SignIn, None]:
        """Yield the present state, then each later one; a slow listener misses what a later one has replaced."""
        self.listeners += 1
        try:
            while True:
                sign_in = self.present
                yield sign_in
                while self.present is sign_in:
                    if sign_in.is_over or self._is_closed:
                        return
                    if self._changed is None:
                        self._changed = asyncio.Event()
                    await self._changed.wait()
        finally:
            self.listeners -= 1

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class AllEvents:
    """The states of all sign-ins of a pool, for any number of readers.

    A slow reader gets the latest state of each sign-in, and misses what that has replaced. A reader that is behind by
    more than `MAX_BEHIND` sign-ins loses the oldest of them; this is logged.
    """

    def __init__(self) -> None:
        """Create it without readers."""
        self._readers: set[_Reader] = set()

    def tell(self, sign_in: SignIn) -> None:
        """Give a new state to all readers."""
        for reader in self._readers:
            reader.add(sign_in)

    def close(self) -> None:
        """End the streams, after what they have not read yet."""
        for reader in self._readers:
            reader.close()

    async def read(self) -> AsyncGenerator[SignIn, None]:
        """Yield each state from now on."""
        reader = _Reader()
        self._readers.add(reader)
        try:
            while (sign_in := await reader.next()) is not None:
                yield sign_in
        finally:
            self._readers.discard(reader)


class _Reader:
    def __init__(self) -> None:
        self._latest: OrderedDict[str, SignIn] = OrderedDict()
        self._woken = asyncio.Event()
        self._is_closed = False
        self._has_lost = False

    def add(self, sign_in: SignIn) -> None:
        self._latest[sign_in.id] = sign_in
        if len(self._latest) > MAX_BEHIND:
            self._latest.popitem(last=False)
            if not self._has_lost:
                self._has_lost = True
                _log.error("a reader of all_events() is %d sign-ins behind, and loses the oldest", MAX_BEHIND)
        self._woken.set()

    def close(self) -> None:
        self._is_closed = True
        self._woken.set()

    async def next(self) -> SignIn | None:
        while not self._latest:
            if self._is_closed:
                return None
            self._woken.clear()
            await self._woken.wait()
        self._has_lost = False
        return self._latest.popitem(last=False)[1]
