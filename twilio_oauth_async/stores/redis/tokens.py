"""`RedisTokenStore`: a store of tokens on a Redis server or cluster."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.protocol.argument_checks import check_clock
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.base import LOCK_TIMEOUT
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.keys import check_key, token_key
from twilio_oauth_async.stores.records import Key, StoredToken, TokenKey
from twilio_oauth_async.stores.redis.calls import CALL_TIMEOUT, RedisClient, RedisScripts, decode_reply
from twilio_oauth_async.stores.redis.lock import LOCK_LIFETIME, RedisLocks
from twilio_oauth_async.stores.redis.names import UserNames, names_of
from twilio_oauth_async.stores.redis.token_scripts import DELETE, ERASE, IS_DELETED, LOAD, SAVE, SET_ASIDE
from twilio_oauth_async.stores.redis.users import UserIndex
from twilio_oauth_async.stores.rules import TOMBSTONE_LIFETIME, UNKNOWN_LIFETIME
from twilio_oauth_async.stores.serialization import from_text, to_text
from twilio_oauth_async.tasks import create_task

TOKEN_RETENTION = timedelta(days=1)
"""How long a token is kept after its refresh token has expired, in case a clock is wrong."""

_SET_ASIDE_RETENTION = timedelta(days=30)
"""How long a damaged record is kept for inspection."""

_log = logging.getLogger(__name__)


class RedisTokenStore(HoldsSecrets):
    """A `TokenStore` on a Redis server or cluster, for many hosts.

    The client belongs to the caller: it is neither closed nor changed. The caller configures its TLS, password and
    connection pool. One store uses up to 40 connections at the same time. Further calls wait, in order; every wait is
    limited in time, and every failure is a `StoreError`. Tokens are not encrypted.

    A lock is renewed while it is held. If it is lost (a failover, a flush, a suspended process), it is fenced: a later
    save or delete under it raises `StoreError`. The exception is a save of a new rotation or a new sign-in, that is, of
    a generation greater than every one of its epoch that the holder or the server has seen: if that one were lost, the
    sign-in would be lost. The script that saves decides this on the server.

    A token expires a day after its refresh token. If the end of the refresh token is unknown, it expires 401 days after
    the last save. Tombstones expire, too.

    How durable a save is depends on the server:

    - Without ``appendonly yes`` a crash of the server undoes everything since the last snapshot. With ``appendfsync
      everysec``, its default, a crash of the machine undoes about the last second. Use ``appendfsync always`` if no
      rotation may be lost.
    - Replication is asynchronous. A failover undoes the saves, the deletions and the locks that were not replicated:
      the user of a rotation that is undone has to sign in again, an undone logout leaves the (revoked) token in the
      store, and two processes may have one lock. `lock` and `save` do not wait for replicas.
    - If the memory of the server is full, new sign-ins are refused with `StoreError`; rotations and deletions are not.
    - A `maxmemory-policy` other than ``noeviction`` deletes tokens and tombstones when the memory is full. It is logged
      once, unless the client may not read it.

    Lost data is recognised: after it `load` returns None and `is_deleted` returns False.
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
            prefix: of the names of all keys, followed by a colon; without braces.
            timeout: seconds that one command may take, including the client's own retries. While the server responds,
                a call may wait longer for other calls of this store.
            lock_timeout: seconds that `lock` waits for another holder.
            lock_lifetime: seconds after which the lock of a killed process is free.
            clock: decides how long a refresh token is still valid; None: the system clock.

        Raises:
            ConfigurationError: the client is not asynchronous, or `prefix` or a number of seconds is invalid.
            MissingExtraError: the extra ``redis`` is not installed.
        """
        check_clock(clock)
        self._scripts = RedisScripts(redis, prefix=prefix, timeout=timeout)
        self._locks = RedisLocks(self._scripts, timeout=lock_timeout, lifetime=lock_lifetime)
        self._index = UserIndex(self._scripts)
        self._clock = clock or SystemClock()

    async def load(self, key: Key) -> StoredToken | None:
        """Implement `TokenStore.load`. A damaged record is moved away and logged; the result is then None."""
        at = token_key(key)
        names = names_of(self._scripts, at)
        reply = await self._scripts.run(LOAD, [names.records], f"{names.field}stored")
        if reply is None:
            return None
        stored = from_text(decode_reply(reply), StoredToken)
        if stored is None:
            await self._set_aside(names, reply)
            return None
        held = self._locks.held(at)
        if held is not None:
            held.record_seen(stored)
        return stored

    async def is_deleted(self, key: Key) -> bool:
        """Implement `TokenStore.is_deleted`."""
        names = names_of(self._scripts, token_key(key))
        return bool(await self._scripts.run(IS_DELETED, [names.records], names.field))

    async def save(self, key: Key, stored: StoredToken, *, replaces: str | None) -> None:
        """Implement `TokenStore.save`; under a lost lock only a new rotation or sign-in is saved."""
        at = token_key(key)
        text = to_text(stored)
        # A task that is cancelled waits for the end: the lock must not be released before.
        await finish(create_task(self._save(at, stored, text, replaces)))
        held = self._locks.held(at)
        if held is not None:
            held.record_seen(stored)

    async def delete(self, key: Key) -> None:
        """Implement `TokenStore.delete`; raises `StoreError` under a lost lock."""
        await finish(create_task(self._delete(token_key(key))))

    def users(self) -> AsyncIterator[str]:
        """Implement `TokenStore.users`: users that are added or deleted meanwhile may be returned or not."""
        return self._index.users()

    async def erase(self, user: str) -> None:
        """Implement `TokenStore.erase`. Only locks that are held stay, until they are released."""
        check_key(user, "user")
        await finish(create_task(self._erase(user)))

    def lock(self, key: Key) -> AbstractAsyncContextManager[None]:
        """Implement `TokenStore.lock`, between all hosts; the lock of a killed process is free after `lock_lifetime`.

        It applies to calls to this store by the task that holds it, and by the tasks that this task starts meanwhile.
        """
        return self._locks.hold(token_key(key))

    def __repr__(self) -> str:
        return f"RedisTokenStore(prefix={self._scripts.prefix!r})"

    async def _save(self, key: TokenKey, stored: StoredToken, text: str, replaces: str | None) -> None:
        names = names_of(self._scripts, key)
        held = self._locks.held(key)
        lock = ("", 0, -1) if held is None else (held.value, held.fence, held.seen_generation(stored.epoch))
        ends_at = stored.token.refresh_token_expires_at
        left = None if ends_at is None else ends_at - self._clock.now()
        kept = UNKNOWN_LIFETIME if left is None else max(left, timedelta())
        retention = _milliseconds(kept + TOKEN_RETENTION)
        is_sign_in = replaces != stored.epoch
        if is_sign_in:
            # Before the token is saved: a crash in between leaves a user without a token, and not the reverse.
            await self._index.add(key.user, retention)
        reply = await self._scripts.run(
            SAVE,
            names.for_change,
            names.field,
            text,
            stored.epoch,
            stored.generation,
            _sortable(stored.signed_in_at),
            "" if replaces is None else f"={replaces}",
            "" if left is None else _milliseconds(left),
            *lock,
            retention,
        )
        outcome = _check_outcome(reply, stored)
        if not is_sign_in and (outcome == "created" or not stored.unanswered):
            # After a rotation: nothing may delay or prevent that it is saved.
            await self._index.add(key.user, retention)

    async def _delete(self, key: TokenKey) -> None:
        names = names_of(self._scripts, key)
        held = self._locks.held(key)
        reply = await self._scripts.run(
            DELETE,
            names.for_change,
            names.field,
            "" if held is None else held.value,
            _sortable(self._clock.now()),
            _milliseconds(TOMBSTONE_LIFETIME),
            _milliseconds(UNKNOWN_LIFETIME),
        )
        _check_outcome(reply, None)
        await self._index.expire(key.user, decode_reply(reply[1]) or "0")

    async def _erase(self, user: str) -> None:
        names = names_of(self._scripts, TokenKey(user))
        await self._scripts.run(ERASE, [names.records, names.set_aside, names.fences])
        await self._index.remove(user)

    async def _set_aside(self, names: UserNames, reply: str | bytes) -> None:
        keys = [names.records, names.set_aside]
        if await self._scripts.run(SET_ASIDE, keys, names.field, reply, _milliseconds(_SET_ASIDE_RETENTION)):
            _log.warning("a token record is damaged and was moved to the hash %s", names.set_aside)


def _check_outcome(reply: list[object], stored: StoredToken | None) -> str | None:
    """Return the outcome of `SAVE` or `DELETE`; raise if nothing was changed. `stored`: what was to be saved."""
    outcome, detail = map(decode_reply, reply)
    if outcome == "fenced":
        raise StoreError(f"the lock was lost meanwhile, so nothing was changed (the last holder has fence {detail})")
    if stored is not None and outcome == "deleted":
        raise StoreConflict("the sign-in was deleted")
    if stored is not None and outcome == "older":
        raise StoreConflict(f"generation {detail} is stored, which is newer than generation {stored.generation}")
    if outcome == "other":
        raise StoreConflict("the token of another sign-in is stored")
    return outcome


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)


def _sortable(date: datetime) -> str:
    """Return the microseconds since the year 1 as text of a fixed length. A Lua number could not hold all of them."""
    return f"{(date - datetime.min.replace(tzinfo=UTC)) // timedelta(microseconds=1):018d}"
