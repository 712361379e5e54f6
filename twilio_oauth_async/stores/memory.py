"""Stores in memory. Their content is lost when the process ends."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.base import LOCK_TIMEOUT, StoredFlow, StoredToken
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.keys import check_aware, check_key
from twilio_oauth_async.stores.leases import check_lease, is_leased, with_lease


class MemoryTokenStore(HoldsSecrets):
    """A `TokenStore` for one event loop; tokens are lost when the process ends.

    All tasks of the loop can use it. Its lock does not exclude tasks of an event loop in another thread.
    """

    def __init__(self, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        """Create an empty store.

        Args:
            lock_timeout: seconds that `lock` waits for another task.
        """
        self._tokens: dict[str, StoredToken] = {}
        self._locks = KeyedLocks()
        self._lock_timeout = lock_timeout

    async def load(self, key: str) -> StoredToken | None:
        """As `TokenStore.load`."""
        check_key(key)
        return self._tokens.get(key)

    async def save(self, key: str, stored: StoredToken) -> None:
        """As `TokenStore.save`."""
        check_key(key)
        present = self._tokens.get(key)
        if present is not None and present.generation > stored.generation:
            raise StoreConflict(f"generation {present.generation} is stored and newer than {stored.generation}")
        self._tokens[key] = stored

    async def delete(self, key: str) -> None:
        """As `TokenStore.delete`."""
        check_key(key)
        self._tokens.pop(key, None)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """As `TokenStore.lock`, between the tasks of this event loop."""
        check_key(key)
        return self._locks.hold(key, self._lock_timeout)

    def __repr__(self) -> str:
        return f"MemoryTokenStore({len(self._tokens)} tokens)"


class MemoryFlowStore(HoldsSecrets):
    """A `FlowStore` for one event loop; flows are lost when the process ends."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Create an empty store.

        Args:
            clock: decides when a lease has expired; None: the system clock.
        """
        self._flows: dict[str, StoredFlow] = {}
        self._clock = clock or SystemClock()

    async def save(self, flow: StoredFlow) -> None:
        """As `FlowStore.save`."""
        check_key(flow.id, "id")
        check_lease(self._flows.get(flow.id), flow, self._clock.now())
        self._flows[flow.id] = flow

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - as in FlowStore
        """As `FlowStore.load`."""
        check_key(id, "id")
        return self._flows.get(id)

    async def list_due(self) -> Sequence[StoredFlow]:
        """As `FlowStore.list_due`."""
        now = self._clock.now()
        return [flow for flow in self._flows.values() if not is_leased(flow, now)]

    async def claim(self, id: str, owner: str, until: datetime) -> bool:  # noqa: A002
        """As `FlowStore.claim`."""
        check_key(id, "id")
        check_key(owner, "owner")
        check_aware(until, "until")
        flow = with_lease(self._flows.get(id), owner, until, self._clock.now())
        if flow is not None:
            self._flows[id] = flow
        return flow is not None

    async def delete(self, id: str) -> None:  # noqa: A002
        """As `FlowStore.delete`."""
        check_key(id, "id")
        self._flows.pop(id, None)

    def __repr__(self) -> str:
        return f"MemoryFlowStore({len(self._flows)} flows)"
