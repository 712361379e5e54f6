"""Stores that last as long as the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import attrs

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.protocol.argument_checks import check_clock, check_seconds
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import LOCK_TIMEOUT
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.keys import check_key, check_lease, check_limit, token_key
from twilio_oauth_async.stores.records import FlowState, Key, StoredFlow, StoredToken, TokenKey, Tombstone


class MemoryTokenStore(HoldsSecrets):
    """A `TokenStore` for one process: tokens are gone when the process ends.

    The tasks of one event loop share it. Its locks do not exclude the tasks of another loop in another thread.
    """

    def __init__(self, *, lock_timeout: float = LOCK_TIMEOUT, clock: Clock | None = None) -> None:
        """Create an empty store.

        Args:
            lock_timeout: seconds that `lock` waits for another task.
            clock: tells when a tombstone expires; None: the clock of the system.

        Raises:
            ConfigurationError: `lock_timeout` is not a positive number, or `clock` is not a clock.
        """
        check_seconds("lock_timeout", lock_timeout)
        check_clock(clock)
        self._records: dict[TokenKey, StoredToken | Tombstone] = {}
        self._locks = KeyedLocks()
        self._lock_timeout = lock_timeout
        self._clock = clock or SystemClock()

    async def load(self, key: Key) -> StoredToken | None:
        """Implement `TokenStore.load`."""
        record = self._records.get(token_key(key))
        return record if isinstance(record, StoredToken) else None

    async def is_deleted(self, key: Key) -> bool:
        """Implement `TokenStore.is_deleted`."""
        return isinstance(self._present(token_key(key)), Tombstone)

    async def save(self, key: Key, stored: StoredToken, *, replaces: str | None) -> None:
        """Implement `TokenStore.save`."""
        at = token_key(key)
        rules.check_token(self._present(at), stored, replaces)
        self._records[at] = stored

    async def delete(self, key: Key) -> None:
        """Implement `TokenStore.delete`."""
        at = token_key(key)
        self._records[at] = rules.tombstone(self._present(at), self._clock.now())

    async def users(self) -> AsyncIterator[str]:
        """Implement `TokenStore.users`."""
        for user in {key.user for key, record in self._records.items() if isinstance(record, StoredToken)}:
            yield user

    async def erase(self, user: str) -> None:
        """Implement `TokenStore.erase`."""
        check_key(user, "user")
        for key in [key for key in self._records if key.user == user]:
            del self._records[key]

    def lock(self, key: Key) -> AbstractAsyncContextManager[None]:
        """Implement `TokenStore.lock`, among the tasks of this event loop."""
        return self._locks.hold(str(token_key(key)), self._lock_timeout)

    def __repr__(self) -> str:
        tokens = sum(isinstance(record, StoredToken) for record in self._records.values())
        return f"MemoryTokenStore({tokens} tokens)"

    def _present(self, key: TokenKey) -> StoredToken | Tombstone | None:
        record = self._records.get(key)
        if isinstance(record, Tombstone) and record.expires_at <= self._clock.now():
            del self._records[key]
            return None
        return record


class MemoryFlowStore(HoldsSecrets):
    """A `FlowStore` for one process: flows are gone when the process ends."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Create an empty store.

        Args:
            clock: measures the leases; None: the clock of the system.
        """
        self._flows: dict[str, StoredFlow] = {}
        self._by_key: dict[TokenKey, str] = {}
        self._clock = clock or SystemClock()

    async def create(self, flow: StoredFlow, *, owner: str, seconds: float) -> StoredFlow:
        """Implement `FlowStore.create`."""
        check_key(flow.id, "id")
        check_lease(owner, seconds)
        present = self._of_key(flow.key)
        if present is not None:
            return present
        if flow.id in self._flows:
            raise StoreConflict("there is another flow with this id")
        created = attrs.evolve(flow, owner=owner, leased_until=self._clock.now() + timedelta(seconds=seconds))
        self._flows[flow.id] = created
        self._by_key[flow.key] = flow.id
        return created

    async def save(self, flow: StoredFlow) -> None:
        """Implement `FlowStore.save`."""
        check_key(flow.id, "id")
        self._flows[flow.id] = rules.saved(self._flows.get(flow.id), flow, self._clock.now())

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - the name in the protocol
        """Implement `FlowStore.load`."""
        check_key(id, "id")
        return self._flows.get(id)

    async def find_user(self, key: Key) -> StoredFlow | None:
        """Implement `FlowStore.find_user`."""
        return self._of_key(token_key(key))

    async def list_due(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_due`."""
        check_limit(limit)
        now = self._clock.now()
        return [flow for flow in self._of_app(client_sid, server) if rules.is_due(flow, now)][:limit]

    async def lease(self, ids: Collection[str], owner: str, seconds: float) -> set[str]:
        """Implement `FlowStore.lease`."""
        check_lease(owner, seconds)
        now = self._clock.now()
        return {id_ for id_ in ids if self._replace(id_, rules.with_lease(self._flows.get(id_), owner, now, seconds))}

    async def release(self, ids: Collection[str], owner: str) -> None:
        """Implement `FlowStore.release`."""
        check_key(owner, "owner")
        for id_ in ids:
            self._replace(id_, rules.without_lease(self._flows.get(id_), owner))

    async def grant(self, id: str, owner: str) -> bool:  # noqa: A002
        """Implement `FlowStore.grant`."""
        check_key(owner, "owner")
        return self._replace(id, rules.granted(self._flows.get(id), owner))

    async def end(self, id: str, state: FlowState, problem: str | None = None) -> bool:  # noqa: A002
        """Implement `FlowStore.end`."""
        return self._replace(id, rules.ended(self._flows.get(id), state, problem, self._clock.now()))

    async def list_ended(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_ended`."""
        check_limit(limit)
        now = self._clock.now()
        found = (f for f in self._of_app(client_sid, server) if f.has_ended and not rules.is_leased(f, now))
        return list(found)[:limit]

    async def delete(self, id: str) -> None:  # noqa: A002
        """Implement `FlowStore.delete`."""
        check_key(id, "id")
        flow = self._flows.pop(id, None)
        if flow is not None and self._by_key.get(flow.key) == id:
            del self._by_key[flow.key]

    def __repr__(self) -> str:
        return f"MemoryFlowStore({len(self._flows)} flows)"

    def _of_key(self, key: TokenKey) -> StoredFlow | None:
        flow = self._flows.get(self._by_key.get(key, ""))
        return None if flow is None or flow.has_ended else flow

    def _of_app(self, client_sid: str, server: str) -> list[StoredFlow]:
        app = (client_sid, server)
        return [flow for flow in self._flows.values() if (flow.authorization.client_sid, flow.server) == app]

    def _replace(self, id_: str, flow: StoredFlow | None) -> bool:
        check_key(id_, "id")
        if flow is not None:
            self._flows[id_] = flow
        return flow is not None
