"""Locks in a bucket. The server deletes a lock after some seconds; its holder writes it again while it is held."""

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

from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.protocol.argument_checks import check_seconds
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.cancellation import finish, wait_until_done
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.nats.bucket import Bucket
from twilio_oauth_async.tasks import create_task

LOCK_LIFETIME = 15.0
"""Default number of seconds after which the lock of a killed process is free. A holder renews its lock after every
third of that time."""

RETRY_INTERVAL = 0.05
"""Average number of seconds between two attempts to acquire a lock that another process holds."""

_log = logging.getLogger(__name__)


@attrs.define
class HeldLock(HoldsSecrets):
    """A lock that is held or was held."""

    owner: str
    revision: int
    """Of its last write."""
    loaded: int | None = None
    """The revision of the token that the holder has loaded or saved last: the fence of its next save."""
    _seen: dict[str, int] = attrs.field(factory=dict[str, int])
    """The greatest generation of each epoch that the holder has loaded or saved."""

    def record_seen(self, epoch: str, generation: int) -> None:
        """Record that the holder has loaded or saved this generation."""
        self._seen[epoch] = max(self.seen_generation(epoch), generation)

    def seen_generation(self, epoch: str) -> int:
        """Return the greatest generation of `epoch` that the holder has loaded or saved; -1: none."""
        return self._seen.get(epoch, -1)


# The locks that the current task holds. A context variable, because `TokenStore.save` gets no lock as an argument, and
# because the tasks that the holder starts inherit it while other tasks do not.
_held_locks: ContextVar[Mapping[tuple[NatsLocks, str], HeldLock]] = ContextVar(
    "held_locks", default=MappingProxyType({})
)


class NatsLocks(HoldsSecrets):
    """Locks of one `NatsTokenStore`."""

    def __init__(self, bucket: Bucket, *, timeout: float, lifetime: float) -> None:
        """Check the arguments; nothing is sent.

        Args:
            bucket: of the locks. Its keys live for `lifetime`.
            timeout: seconds to wait for another holder.
            lifetime: seconds after which the lock of a killed process is free.

        Raises:
            ConfigurationError: `timeout` or `lifetime` is not positive.
        """
        check_seconds("lock_timeout", timeout)
        check_seconds("lock_lifetime", lifetime, may_be_infinite=False)
        self._bucket = bucket
        self._timeout = timeout
        self._lifetime = lifetime
        self._local_locks = KeyedLocks()

    def held(self, key: str) -> HeldLock | None:
        """Return the lock on `key` that the current task holds, even if it was lost; None if it holds none."""
        return _held_locks.get().get((self, key))

    async def is_still_held(self, key: str, held: HeldLock) -> bool:
        """Return whether the server still has this lock; raises `StoreError`."""
        return (await self._bucket.read(key)).text == held.owner

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncGenerator[None]:
        """Hold the lock of `key`.

        Raises:
            StoreError: another task or process held the lock for the whole timeout, or NATS failed.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with self._local_locks.hold(key, self._timeout):
            held = await self._acquire(key, deadline)
            _held_locks.set({**_held_locks.get(), (self, key): held})
            released = asyncio.Event()
            renewal = create_task(self._renew(key, held, released))
            try:
                yield
            finally:
                # ContextVar.reset is not used: locks may overlap, and may end in another context than they began in.
                _held_locks.set({at: other for at, other in _held_locks.get().items() if other is not held})
                released.set()
                cancelled = await wait_until_done(renewal)
                cancelled = await wait_until_done(create_task(self._release(key, held))) or cancelled
                if cancelled is not None:
                    raise cancelled

    async def _acquire(self, key: str, deadline: float) -> HeldLock:
        held = HeldLock(secrets.token_urlsafe(16), 0)
        loop = asyncio.get_running_loop()
        while not await self._try_acquire(key, held):
            wait = RETRY_INTERVAL * random.uniform(0.5, 1.5)  # noqa: S311 - spreads the attempts
            if loop.time() + wait > deadline:
                raise StoreError(f"the lock was not free within {self._timeout:g} s: another process holds it")
            await asyncio.sleep(wait)
        return held

    async def _try_acquire(self, key: str, held: HeldLock) -> bool:
        """Try to acquire the lock once. What was sent cannot be taken back, so its result is awaited."""
        attempt = create_task(self._create(key, held))
        try:
            await finish(attempt)
        except asyncio.CancelledError:
            if held.revision:
                await finish(create_task(self._release(key, held)))
            raise
        return held.revision > 0

    async def _create(self, key: str, held: HeldLock) -> None:
        present = await self._bucket.read(key)
        if present.text is None:
            with contextlib.suppress(StoreConflict):
                held.revision = await self._bucket.write(key, held.owner, present.revision)

    async def _renew(self, key: str, held: HeldLock, released: asyncio.Event) -> None:
        """Renew the lock until it is released or lost.

        A lost lock is not acquired again: another process may have held it meanwhile.
        """
        failing = False
        while not await _is_set_within(released, self._lifetime / 3):
            try:
                held.revision = await self._bucket.write(key, held.owner, held.revision)
                failing = False
            except StoreConflict:
                _log.warning("the lock on a key was lost while it was held")
                return
            except StoreError as error:
                if not failing:
                    _log.warning("the lock on a key could not be renewed, retrying: %s", error)
                failing = True

    async def _release(self, key: str, held: HeldLock) -> None:
        # The work under the lock is done. If the release fails, the lock expires by itself, so this is only logged.
        try:
            await self._bucket.delete(key, held.revision)
        except StoreConflict:
            pass  # it was lost
        except StoreError as error:
            _log.warning("the lock on a key could not be released and will expire: %s", error)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event` for at most `seconds`; return whether it was set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False
