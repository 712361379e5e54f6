"""`RedisTokenStore`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.protocol.serializable import Secretive
from twilio_oauth_async.stores.base import LOCK_TIMEOUT, StoredToken
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.keys import check_key
from twilio_oauth_async.stores.redis.calls import CALL_TIMEOUT, RedisCalls, RedisClient, text_of
from twilio_oauth_async.stores.redis.lock import LOCK_LIFETIME, RedisLocks
from twilio_oauth_async.stores.redis.scripts import DELETE, LOAD, SAVE, SET_ASIDE
from twilio_oauth_async.stores.serialization import from_text, to_text

EXPIRY_SLACK = 86_400
"""Seconds that a token stays after its refresh token has ended, for clocks that go wrong."""

_SET_ASIDE_LIFETIME = 30 * 86_400_000
"""Milliseconds that a damaged record is kept for somebody to look at."""

_log = logging.getLogger(__name__)


class RedisTokenStore(Secretive):
    """A `TokenStore` on a Redis server or cluster, for many hosts.

    The client is lent: it is neither closed nor changed, and its TLS, password and pool are its owner's affair. Every
    wait is bounded, every failure a `StoreError`.

    A lock is renewed while it is held and fenced once it is lost (a failover, a flush, a process that stood still): a
    later save or delete inside of it raises `StoreError`, except for a save that carries a new rotation, a generation
    greater than all that the holder and the server have seen. Losing that one would lose the grant. This is judged by
    the server, in the step that saves.

    How long a save lasts is for the server's configuration to say: without ``appendonly yes`` a crash undoes the last
    ones, and a failover those that had not been replicated. Tokens are stored as they are, not encrypted.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        prefix: str = "twilio-oauth",
        timeout: float = CALL_TIMEOUT,
        lock_timeout: float = LOCK_TIMEOUT,
        lock_lifetime: float = LOCK_LIFETIME,
        clock: Clock | None = None,
    ) -> None:
        """No command is sent here.

        Args:
            redis: a ``redis.asyncio.Redis`` or ``RedisCluster``, with ``decode_responses`` or without.
            prefix: of the names of all keys, in front of a colon; without braces.
            timeout: seconds that one command may take, with the client's own retries.
            lock_timeout: seconds that `lock` waits for another holder.
            lock_lifetime: seconds after which the lock of a holder that has died is free.
            clock: tells how long a refresh token has still to live; None: the machine's own.

        Raises:
            ConfigurationError: a client that blocks, or a value that cannot be.
            ModuleNotFoundError: the extra ``redis`` is not installed.
        """
        self._calls = RedisCalls(redis, prefix=prefix, timeout=timeout)
        self._locks = RedisLocks(self._calls, timeout=lock_timeout, lifetime=lock_lifetime)
        self._clock = clock or SystemClock()

    async def load(self, key: str) -> StoredToken | None:
        """As `TokenStore.load`. A damaged record is renamed and logged, and nothing is stored then."""
        check_key(key)
        reply = await self._calls.run(LOAD, [self._calls.name(key, "token")], "stored")
        if reply is None:
            return None
        stored = from_text(text_of(reply), StoredToken)
        if stored is None:
            await self._set_aside(key, reply)
            return None
        hold = self._locks.held(key)
        if hold is not None:
            hold.note(stored.generation)
        return stored

    async def save(self, key: str, stored: StoredToken) -> None:
        """As `TokenStore.save`; inside of a lock that was lost only a new rotation is taken."""
        check_key(key)
        hold = self._locks.held(key)
        lock = ("", 0, -1) if hold is None else (hold.value, hold.fence, hold.seen)
        verdict, detail = await self._change(
            SAVE, key, to_text(stored), stored.generation, self._milliseconds_to_live(stored), *lock
        )
        if verdict == "conflict":
            raise StoreConflict(f"generation {detail} is there, {stored.generation} was to be saved")
        _raise_if_fenced(verdict, detail)
        if hold is not None:
            hold.note(stored.generation)

    async def delete(self, key: str) -> None:
        """As `TokenStore.delete`; refused inside of a lock that was lost."""
        check_key(key)
        hold = self._locks.held(key)
        _raise_if_fenced(*await self._change(DELETE, key, "" if hold is None else hold.value))

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """As `TokenStore.lock`, among all hosts; a holder that dies loses it after `lock_lifetime`.

        It covers what the task that holds it does with this store, and tasks that it starts meanwhile.
        """
        check_key(key)
        return self._locks.hold(key)

    def __repr__(self) -> str:
        return f"RedisTokenStore(prefix={self._calls.prefix!r})"

    async def _change(self, script: str, key: str, *arguments: str | int) -> tuple[str | None, str | None]:
        """Run a script that changes something to its end, whoever is cancelled: the lock must not go before it."""
        names = [self._calls.name(key, part) for part in ("token", "lock", "fence")]
        verdict, detail = await finish(asyncio.ensure_future(self._calls.run(script, names, *arguments)))
        return text_of(verdict), text_of(detail)

    async def _set_aside(self, key: str, reply: str | bytes) -> None:
        names = [self._calls.name(key, "token"), self._calls.name(key, "set-aside")]
        if await self._calls.run(SET_ASIDE, names, reply, _SET_ASIDE_LIFETIME):
            _log.warning("a token's record was damaged; it has been renamed to %s, and nothing is stored now", names[1])

    def _milliseconds_to_live(self, stored: StoredToken) -> int | str:
        ends_at = stored.token.refresh_token_expires_at
        if ends_at is None:
            return ""
        left = (ends_at - self._clock.now()).total_seconds()
        return round((max(left, 0.0) + EXPIRY_SLACK) * 1000)


def _raise_if_fenced(verdict: str | None, detail: str | None) -> None:
    if verdict == "fenced":
        raise StoreError(f"the lock was lost meanwhile, and nothing was changed (the last holder's number is {detail})")
