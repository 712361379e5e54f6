"""The lock of one key on a Redis server: taken for some seconds, renewed while held, fenced once lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextvars import ContextVar
from types import MappingProxyType

import attrs

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.protocol.serializable import Secretive
from twilio_oauth_async.stores.cancellation import ended, finish
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.redis.calls import RedisCalls
from twilio_oauth_async.stores.redis.scripts import ACQUIRE, RELEASE, RENEW

LOCK_LIFETIME = 15.0
"""Seconds after which the lock of a holder that has died is free. One that lives renews it three times as often."""

ASK_AGAIN = 0.025
"""Seconds between two looks at a lock that somebody else holds, on average."""

_FENCE_LIFETIME = 7 * 86_400_000
"""Milliseconds that the counter is kept when nobody locks: far longer than any hold."""

_log = logging.getLogger(__name__)


@attrs.define
class Hold(Secretive):
    """A lock that is held, or was."""

    value: str = attrs.field(repr=False)
    """Nobody else can guess it: what the server compares before it renews, releases, or takes a save."""
    fence: int = 0
    """Grows with each holder of this key."""
    seen: int = -1
    """The greatest generation that its holder has loaded or saved."""

    def note(self, generation: int) -> None:
        """The holder has seen this generation."""
        self.seen = max(self.seen, generation)


# Which holds the present task is inside of. A context variable, because `TokenStore.save` is not told: tasks that are
# started inside of a hold belong to it, and those next to it do not.
_holds: ContextVar[Mapping[tuple[RedisLocks, str], Hold]] = ContextVar("holds", default=MappingProxyType({}))


class RedisLocks(Secretive):
    """The locks of one store."""

    def __init__(self, calls: RedisCalls, *, timeout: float, lifetime: float) -> None:
        """No command is sent here.

        Args:
            calls: the way to the server.
            timeout: seconds to wait for another holder.
            lifetime: seconds that a lock outlives a holder that has died.

        Raises:
            ConfigurationError: one of them is not positive.
        """
        if not timeout > 0 or not lifetime > 0:
            raise ConfigurationError("lock_timeout and lock_lifetime must be positive numbers of seconds")
        self._calls = calls
        self._timeout = timeout
        self._lifetime = lifetime
        self._turns = KeyedLocks()

    def held(self, key: str) -> Hold | None:
        """The hold of `key` that the present task is inside of, lost or not."""
        return _holds.get().get((self, key))

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncGenerator[None]:
        """Hold the lock of `key`.

        Raises:
            StoreError: others had it for all the time, or the server did not answer.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with self._turns.hold(key, self._timeout):
            hold = await self._acquire(key, deadline)
            _holds.set({**_holds.get(), (self, key): hold})
            over = asyncio.Event()
            renewal = asyncio.create_task(self._renew(key, hold, over))
            try:
                yield
            finally:
                # Not reset with a token: holds may overlap, and end in another context than they began in.
                _holds.set({place: other for place, other in _holds.get().items() if other is not hold})
                over.set()
                cancelled = await ended(renewal, asyncio.create_task(self._release(key, hold)))
                if cancelled is not None:
                    raise cancelled

    async def _acquire(self, key: str, deadline: float) -> Hold:
        hold = Hold(secrets.token_urlsafe(16))
        loop = asyncio.get_running_loop()
        while not await self._take(key, hold):
            wait = ASK_AGAIN * random.uniform(0.5, 1.5)  # noqa: S311 - keeps many waiters apart
            if loop.time() + wait > deadline:
                raise StoreError(f"the lock was not free within {self._timeout:g} s: somebody else holds it")
            await asyncio.sleep(wait)
        return hold

    async def _take(self, key: str, hold: Hold) -> bool:
        """Ask for the lock once. A command that is on its way cannot be called back, so its end is awaited."""
        names = [self._calls.name(key, "lock"), self._calls.name(key, "fence")]
        asking = asyncio.ensure_future(
            self._calls.run(ACQUIRE, names, hold.value, _milliseconds(self._lifetime), _FENCE_LIFETIME)
        )
        try:
            hold.fence = int(await finish(asking))
        except asyncio.CancelledError:
            if not asking.cancelled() and asking.exception() is None and asking.result():
                await finish(asyncio.ensure_future(self._release(key, hold)))
            raise
        return hold.fence > 0

    async def _renew(self, key: str, hold: Hold, over: asyncio.Event) -> None:
        """Keep the lock until the hold is over, or it is lost: it is not taken again, others may have acted on it."""
        names = [self._calls.name(key, "lock")]
        troubled = False
        while not await _comes(over, self._lifetime / 3):
            try:
                if not await self._calls.run(RENEW, names, hold.value, _milliseconds(self._lifetime)):
                    _log.warning("lock %d of a key was lost while it was held", hold.fence)
                    return
                troubled = False
            except StoreError as error:
                if not troubled:
                    _log.warning("lock %d of a key could not be renewed, trying on: %s", hold.fence, error)
                troubled = True

    async def _release(self, key: str, hold: Hold) -> None:
        # What was done under the lock is done: that it stays until its time has run out harms nobody's token.
        try:
            await self._calls.run(RELEASE, [self._calls.name(key, "lock")], hold.value)
        except StoreError as error:
            _log.warning("lock %d of a key could not be released, it ends by itself: %s", hold.fence, error)


async def _comes(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event`, but no longer than `seconds`; whether it came."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
