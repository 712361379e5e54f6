"""`RedisTokenStore`: a store of tokens on a Redis server or cluster."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.base import LOCK_TIMEOUT, StoredToken
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.keys import check_key
from twilio_oauth_async.stores.redis.calls import CALL_TIMEOUT, RedisClient, RedisScripts, decode_reply
from twilio_oauth_async.stores.redis.lock import LOCK_LIFETIME, RedisLocks
from twilio_oauth_async.stores.redis.scripts import DELETE, LOAD, SAVE, SET_ASIDE
from twilio_oauth_async.stores.serialization import from_text, to_text

TOKEN_RETENTION = 86_400
"""Seconds that a token is kept after its refresh token has expired, in case a clock is wrong."""

_SET_ASIDE_RETENTION = 30 * 86_400_000
"""Milliseconds that a damaged record is kept for inspection."""

_log = logging.getLogger(__name__)


class RedisTokenStore(HoldsSecrets):
    """A `TokenStore` on a Redis server or cluster, for many hosts.

    The client belongs to the caller: it is neither closed nor changed. The caller configures its TLS, password and
    connection pool. Every wait is limited in time, and every failure is a `StoreError`.

    A lock is renewed while it is held. If it is lost (a failover, a flush, a suspended process), it is fenced: a later
    save or delete under it raises `StoreError`. Only a new rotation is still saved, because without its refresh token
    the grant would be lost. A new rotation has a generation greater than every one that the holder has loaded or saved,
    and it is newer than the stored token. The script `SAVE` decides this on the server.

    How durable a save is depends on the server's configuration. Without ``appendonly yes`` a crash undoes the last
    saves; a failover undoes those that were not replicated. Tokens are not encrypted.
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
        """Create the store. No command is sent.

        Args:
            redis: a ``redis.asyncio.Redis`` or ``RedisCluster``, with ``decode_responses`` or without.
            prefix: the prefix of all names in Redis, without the colon that follows it; it must not contain braces.
            timeout: seconds that one command may take, including the client's own retries.
            lock_timeout: seconds that `lock` waits for another holder.
            lock_lifetime: seconds after which the lock of a killed process is free.
            clock: decides how long a refresh token is still valid; None: the system clock.

        Raises:
            ConfigurationError: the client is not asynchronous, or `prefix` or a number of seconds is invalid.
            MissingExtraError: the extra ``redis`` is not installed.
        """
        self._scripts = RedisScripts(redis, prefix=prefix, timeout=timeout)
        self._locks = RedisLocks(self._scripts, timeout=lock_timeout, lifetime=lock_lifetime)
        self._clock = clock or SystemClock()

    async def load(self, key: str) -> StoredToken | None:
        """As `TokenStore.load`. A damaged record is renamed and logged; the result is then None."""
        check_key(key)
        reply = await self._scripts.run(LOAD, [self._scripts.name(key, "token")], "stored")
        if reply is None:
            return None
        stored = from_text(decode_reply(reply), StoredToken)
        if stored is None:
            await self._set_aside(key, reply)
            return None
        held = self._locks.held(key)
        if held is not None:
            held.record_seen(stored.generation)
        return stored

    async def save(self, key: str, stored: StoredToken) -> None:
        """As `TokenStore.save`; under a lost lock only a new rotation is saved."""
        check_key(key)
        held = self._locks.held(key)
        lock = ("", 0, -1) if held is None else (held.value, held.fence, held.seen_generation)
        outcome, detail = await self._run_to_end(
            SAVE, key, to_text(stored), stored.generation, self._retention_ms(stored), *lock
        )
        if outcome == "conflict":
            raise StoreConflict(f"generation {detail} is stored and newer than {stored.generation}")
        _raise_if_fenced(outcome, detail)
        if held is not None:
            held.record_seen(stored.generation)

    async def delete(self, key: str) -> None:
        """As `TokenStore.delete`; raises `StoreError` under a lost lock."""
        check_key(key)
        held = self._locks.held(key)
        _raise_if_fenced(*await self._run_to_end(DELETE, key, "" if held is None else held.value))

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """As `TokenStore.lock`, between all hosts; the lock of a killed process is free after `lock_lifetime`.

        It applies to calls to this store by the task that holds it, and by the tasks that this task starts meanwhile.
        """
        check_key(key)
        return self._locks.hold(key)

    def __repr__(self) -> str:
        return f"RedisTokenStore(prefix={self._scripts.prefix!r})"

    async def _run_to_end(self, script: str, key: str, *arguments: str | int) -> tuple[str | None, str | None]:
        """Run a script and wait for its end, also when cancelled: the lock must not be released earlier."""
        names = [self._scripts.name(key, part) for part in ("token", "lock", "fence")]
        outcome, detail = await finish(asyncio.ensure_future(self._scripts.run(script, names, *arguments)))
        return decode_reply(outcome), decode_reply(detail)

    async def _set_aside(self, key: str, reply: str | bytes) -> None:
        names = [self._scripts.name(key, "token"), self._scripts.name(key, "set-aside")]
        if await self._scripts.run(SET_ASIDE, names, reply, _SET_ASIDE_RETENTION):
            _log.warning("a token record is damaged and was renamed to %s", names[1])

    def _retention_ms(self, stored: StoredToken) -> int | str:
        """Return the milliseconds that `stored` is kept; an empty string for no limit."""
        expires_at = stored.token.refresh_token_expires_at
        if expires_at is None:
            return ""
        left = (expires_at - self._clock.now()).total_seconds()
        return round((max(left, 0.0) + TOKEN_RETENTION) * 1000)


def _raise_if_fenced(outcome: str | None, detail: str | None) -> None:
    if outcome == "fenced":
        raise StoreError(f"the lock was lost meanwhile, so nothing was changed (the last holder has fence {detail})")
