"""`NatsTokenStore`: a store of tokens in a bucket of NATS JetStream."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

import attrs

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import ConfigurationError, StoreConflict, StoreError
from twilio_oauth_async.protocol.argument_checks import check_clock
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import LOCK_TIMEOUT
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.encryption import FernetKey, PlainCipher, given_cipher
from twilio_oauth_async.stores.keys import check_key, digest, token_key
from twilio_oauth_async.stores.nats.bucket import Bucket
from twilio_oauth_async.stores.nats.connection import CALL_TIMEOUT, Connection
from twilio_oauth_async.stores.nats.lock import LOCK_LIFETIME, HeldLock, NatsLocks
from twilio_oauth_async.stores.records import Key, StoredToken, TokenKey, Tombstone
from twilio_oauth_async.stores.serialization import to_text
from twilio_oauth_async.tasks import create_task

if TYPE_CHECKING:
    from nats.js import JetStreamContext

TOKEN_LIFETIME = 401 * 86_400.0
"""Seconds after its last write at which the server deletes a token or a tombstone, when the bucket is created."""

MAX_CONFLICTS = 100
"""Changes of one key by other processes, after each of which a change is tried again."""

_log = logging.getLogger(__name__)


@attrs.frozen
class _Present:
    record: StoredToken | Tombstone | None
    revision: int


class NatsTokenStore(HoldsSecrets):
    """A `TokenStore` in a bucket of NATS JetStream, for many hosts.

    The `JetStreamContext` belongs to the caller: it is neither closed nor changed. The caller configures its TLS and
    credentials. Every wait is limited in time, and every failure is a `StoreError`.

    Each write names the revision that it replaces, so that the server refuses it if another process has written in the
    meantime. A lock is renewed while it is held. If it is lost (the process was suspended, or the server has lost it),
    a later `save` or `delete` under it raises `StoreError`, with one exception: a new generation of the token is saved,
    because the sign-in would be lost with it.

    ``await managers.follow(store.changes())`` lets `TokenManagers` use what other processes have refreshed, at once.

    How durable a save is depends on the server: with one replica, a server whose machine crashes can lose the last
    moments, unless it syncs each write (``sync_interval: always``); with three replicas, each save is on two servers
    before it returns. Lost data is recognised: after it `load` returns None and `is_deleted` returns False.
    """

    def __init__(
        self,
        js: JetStreamContext,
        *,
        bucket: str = "twilio-oauth",
        encryption: FernetKey | Sequence[FernetKey] | None = None,
        replicas: int = 1,
        timeout: float = CALL_TIMEOUT,
        lock_timeout: float = LOCK_TIMEOUT,
        lock_lifetime: float = LOCK_LIFETIME,
        clock: Clock | None = None,
    ) -> None:
        """Create the store; nothing is sent. Its buckets are created when they are first used.

        Args:
            js: a connection to NATS, which is lent. Use one that reconnects without a limit.
            bucket: the name of the bucket; that of the locks ends with ``-locks``.
            encryption: one Fernet key, or several, of which the first encrypts and all decrypt; None: tokens are not
                encrypted. Needs the extra ``encryption``.
            replicas: of the buckets, when they are created: 3 in a cluster, so that one server can fail.
            timeout: seconds that one request to NATS may take.
            lock_timeout: seconds that `lock` waits for another holder.
            lock_lifetime: seconds after which the lock of a killed process is free, when the bucket is created.
            clock: tells when a tombstone expires; None: the clock of the system.

        Raises:
            ConfigurationError: an argument is invalid.
            MissingExtraError: the extra ``nats`` is not installed.
        """
        check_clock(clock)
        connection = Connection(js, SystemClock(), timeout=timeout)
        cipher = given_cipher(encryption)
        self._tokens = Bucket(connection, bucket, cipher, replicas=replicas, lifetime=TOKEN_LIFETIME)
        # A lock holds a random value, which is no secret: it gives no access to anything.
        locks = Bucket(connection, f"{bucket}-locks", PlainCipher(), replicas=replicas, lifetime=lock_lifetime)
        self._locks = NatsLocks(locks, timeout=lock_timeout, lifetime=lock_lifetime)
        self._clock = clock or SystemClock()

    async def load(self, key: Key) -> StoredToken | None:
        """Implement `TokenStore.load`. A damaged record is logged; the result is then None."""
        at = token_key(key)
        present = await self._read(at)
        if not isinstance(present.record, StoredToken):
            return None
        held = self._locks.held(_name(at))
        if held is not None:
            held.loaded = present.revision
            held.record_seen(present.record.epoch, present.record.generation)
        return present.record

    async def is_deleted(self, key: Key) -> bool:
        """Implement `TokenStore.is_deleted`."""
        return isinstance((await self._read(token_key(key))).record, Tombstone)

    async def save(self, key: Key, stored: StoredToken, *, replaces: str | None) -> None:
        """Implement `TokenStore.save`; under a lost lock only a new generation is saved."""
        at = token_key(key)
        to_text(stored)  # raises here if it cannot be stored
        # A task that is cancelled waits for the end: the lock must not be released before.
        await finish(create_task(self._save(at, stored, replaces)))

    async def delete(self, key: Key) -> None:
        """Implement `TokenStore.delete`; raises `StoreError` under a lost lock."""
        await finish(create_task(self._delete(token_key(key))))

    async def users(self) -> AsyncIterator[str]:
        """Implement `TokenStore.users`: users that are added or deleted meanwhile may be returned or not."""
        seen: set[str] = set()
        async for _, text in self._tokens.values("token.*.*"):
            user, record = _from_text(text)
            if isinstance(record, StoredToken) and user not in seen:
                seen.add(user)
                yield user

    async def erase(self, user: str) -> None:
        """Implement `TokenStore.erase`. Locks that are held stay, until they are released."""
        check_key(user, "user")
        await finish(create_task(self._tokens.purge(f"token.{digest(user)}.*")))

    def lock(self, key: Key) -> AbstractAsyncContextManager[None]:
        """Implement `TokenStore.lock`, between all hosts; the lock of a killed process is free after `lock_lifetime`.

        It applies to calls to this store by the task that holds it, and by the tasks that this task starts meanwhile.
        """
        return self._locks.hold(_name(token_key(key)))

    async def changes(self) -> AsyncGenerator[tuple[str, StoredToken | None]]:
        """Yield each user whose token changes from now on, in whichever process, with the token; None: it was deleted.

        It ends only with the task that reads it, and with an error.

        Raises:
            StoreError: NATS failed: changes may have been missed.
        """
        async for _, text in self._tokens.changes("token.*.*"):
            user, record = _from_text(text)
            yield user, record if isinstance(record, StoredToken) else None

    def __repr__(self) -> str:
        return f"NatsTokenStore(bucket={self._tokens.name!r})"

    async def _read(self, key: TokenKey) -> _Present:
        entry = await self._tokens.read(_name(key))
        if entry.text is None:
            return _Present(None, entry.revision)
        _, record = _from_text(entry.text)
        if record is None:
            _log.warning("the record of a token in the bucket %s is damaged", self._tokens.name)
        if isinstance(record, Tombstone) and record.expires_at <= self._clock.now():
            record = None
        return _Present(record, entry.revision)

    async def _save(self, key: TokenKey, stored: StoredToken, replaces: str | None) -> None:
        held = self._locks.held(_name(key))

        def change(present: _Present, *, is_lost: bool) -> str:
            rules.check_token(present.record, stored, replaces)
            if is_lost and held is not None and not self._is_new_generation(present.record, stored, held):
                raise StoreError("the lock was lost meanwhile, so nothing was changed")
            return _to_text(key, stored)

        revision = await self._change(key, held, change)
        if held is not None:
            held.loaded = revision
            held.record_seen(stored.epoch, stored.generation)

    def _is_new_generation(self, record: StoredToken | Tombstone | None, stored: StoredToken, held: HeldLock) -> bool:
        """Return whether `stored` is newer than what the holder and the server have seen: it must not be lost."""
        known = held.seen_generation(stored.epoch)
        if isinstance(record, StoredToken) and record.epoch == stored.epoch:
            known = max(known, record.generation)
        return stored.generation > known

    async def _delete(self, key: TokenKey) -> None:
        held = self._locks.held(_name(key))

        def change(present: _Present, *, is_lost: bool) -> str:
            if is_lost:
                raise StoreError("the lock was lost meanwhile, so nothing was changed")
            return _to_text(key, rules.tombstone(present.record, self._clock.now()))

        revision = await self._change(key, held, change)
        if held is not None:
            held.loaded = revision

    async def _change(self, key: TokenKey, held: HeldLock | None, change: Callable[..., str]) -> int:
        """Write what `change` returns for the present record, and return the revision.

        A lock counts as lost if the server has it no more, or if the record has changed since its holder loaded it.
        """
        name = _name(key)
        for _ in range(MAX_CONFLICTS):
            present = await self._read(key)
            is_lost = held is not None and (
                (held.loaded is not None and held.loaded != present.revision)
                or not await self._locks.is_still_held(name, held)
            )
            text = change(present, is_lost=is_lost)
            try:
                return await self._tokens.write(name, text, present.revision)
            except StoreConflict:
                continue
        raise StoreError("the token was changed by other processes each time")


def _name(key: TokenKey) -> str:
    """Return the key in the buckets. The parts may have characters that NATS does not allow, so they are hashed."""
    return f"token.{digest(key.user)}.{digest(json.dumps([key.client_sid, key.server]))}"


def _to_text(key: TokenKey, record: StoredToken | Tombstone) -> str:
    kind = "token" if isinstance(record, StoredToken) else "tombstone"
    return json.dumps({"user": key.user, kind: json.loads(record.to_json())})


def _from_text(text: str) -> tuple[str, StoredToken | Tombstone | None]:
    """Return the user and the record; an empty user and None if it is damaged."""
    try:
        document: Any = json.loads(text)
        user = cast("str", document["user"])
        if "token" in document:
            return user, StoredToken.from_json(json.dumps(document["token"]))
        return user, Tombstone.from_json(json.dumps(document["tombstone"]))
    except (ConfigurationError, ValueError, KeyError, TypeError):
        return "", None
