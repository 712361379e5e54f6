"""Locks on a Redis server. A lock expires after some seconds, is renewed while held, and is fenced if it is lost."""

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

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.protocol.argument_checks import check_seconds
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.cancellation import finish, wait_until_done
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.records import StoredToken, TokenKey
from twilio_oauth_async.stores.redis.calls import RedisScripts
from twilio_oauth_async.stores.redis.lock_scripts import ACQUIRE, RELEASE, RENEW
from twilio_oauth_async.stores.redis.names import names_of
from twilio_oauth_async.tasks import create_task

LOCK_LIFETIME = 15.0
"""Default number of seconds after which the lock of a killed process is free. A holder renews its lock after every
third of that time."""

RETRY_INTERVAL = 0.025
"""Average number of seconds between two attempts to acquire a lock that another process holds."""

_FENCE_LIFETIME_MS = 7 * 86_400_000
"""Milliseconds that the fences are kept after the last lock. This is much longer than any lock is held."""

_log = logging.getLogger(__name__)


@attrs.define
class HeldLock(HoldsSecrets):
    """A lock that is held or was held."""

    value: str = attrs.field(repr=False)
    """Random value that the server compares before it renews or releases the lock or saves under it."""
    fence: int = 0
    """Fencing token: increases with each holder of this key."""
    _seen: dict[str, int] = attrs.field(factory=dict[str, int])
    """The greatest generation of each epoch that the holder has loaded or saved."""

    def record_seen(self, stored: StoredToken) -> None:
        """Record that the holder has loaded or saved `stored`."""
        self._seen[stored.epoch] = max(self.seen_generation(stored.epoch), stored.generation)

    def seen_generation(self, epoch: str) -> int:
        """Return the greatest generation of `epoch` that the holder has loaded or saved; -1: none."""
        return self._seen.get(epoch, -1)


# The locks that the current task holds. A context variable, because `TokenStore.save` gets no lock as an argument, and
# because the tasks that the holder starts inherit it while other tasks do not.
_held_locks: ContextVar[Mapping[tuple[RedisLocks, TokenKey], HeldLock]] = ContextVar(
    "held_locks", default=MappingProxyType({})
)


class RedisLocks(HoldsSecrets):
    """Locks of one `RedisTokenStore`."""

    def __init__(self, scripts: RedisScripts, *, timeout: float, lifetime: float) -> None:
        """Check the arguments. No command is sent.

        Args:
            scripts: runs the scripts on the server.
            timeout: seconds to wait for another holder.
            lifetime: seconds after which the lock of a killed process is free.

        Raises:
            ConfigurationError: `timeout` or `lifetime` is not positive.
        """
        check_seconds("lock_timeout", timeout)
        check_seconds("lock_lifetime", lifetime, may_be_infinite=False)
        self._scripts = scripts
        self._timeout = timeout
        self._lifetime = lifetime
        self._local_locks = KeyedLocks()

    def held(self, key: TokenKey) -> HeldLock | None:
        """Return the lock on `key` that the current task holds, even if it was lost; None if it holds none."""
        return _held_locks.get().get((self, key))

    @contextlib.asynccontextmanager
    async def hold(self, key: TokenKey) -> AsyncGenerator[None]:
        """Hold the lock of `key`.

        Raises:
            StoreError: another task or process held the lock for the whole timeout, or the server did not respond.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with self._local_locks.hold(str(key), self._timeout):
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
                cancelled = await wait_until_done(renewal, create_task(self._release(key, held)))
                if cancelled is not None:
                    raise cancelled

    async def _acquire(self, key: TokenKey, deadline: float) -> HeldLock:
        held = HeldLock(secrets.token_urlsafe(16))
        loop = asyncio.get_running_loop()
        while not await self._try_acquire(key, held):
            wait = RETRY_INTERVAL * random.uniform(0.5, 1.5)  # noqa: S311 - spreads the attempts
            if loop.time() + wait > deadline:
                raise StoreError(f"the lock was not free within {self._timeout:g} s: another process holds it")
            await asyncio.sleep(wait)
        return held

    async def _try_acquire(self, key: TokenKey, held: HeldLock) -> bool:
        """Try to acquire the lock once. A command that was sent cannot be taken back, so its result is awaited."""
        names = names_of(self._scripts, key)
        arguments = (held.value, names.field, _milliseconds(self._lifetime), _FENCE_LIFETIME_MS)
        command = create_task(self._scripts.run(ACQUIRE, [names.lock, names.fences], *arguments))
        try:
            held.fence = int(await finish(command))
        except asyncio.CancelledError:
            if not command.cancelled() and command.exception() is None and command.result():
                await finish(create_task(self._release(key, held)))
            raise
        return held.fence > 0

    async def _renew(self, key: TokenKey, held: HeldLock, released: asyncio.Event) -> None:
        """Renew the lock until it is released or lost.

        A lost lock is not acquired again: another process may have held it meanwhile.
        """
        names = [names_of(self._scripts, key).lock]
        arguments = (held.value, _milliseconds(self._lifetime))
        failing = False
        while not await _is_set_within(released, self._lifetime / 3):
            try:
                if not await self._scripts.run(RENEW, names, *arguments, reserved=True):
                    _log.warning("the lock on a key was lost while it was held (fence %d)", held.fence)
                    return
                failing = False
            except StoreError as error:
                if not failing:
                    _log.warning("the lock on a key could not be renewed, retrying (fence %d): %s", held.fence, error)
                failing = True

    async def _release(self, key: TokenKey, held: HeldLock) -> None:
        # The work under the lock is done. If the release fails, the lock expires by itself, so this is only logged.
        try:
            await self._scripts.run(RELEASE, [names_of(self._scripts, key).lock], held.value, reserved=True)
        except StoreError as error:
            _log.warning("the lock on a key could not be released and will expire (fence %d): %s", held.fence, error)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event` for at most `seconds`; return whether it was set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
