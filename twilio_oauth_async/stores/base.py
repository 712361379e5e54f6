"""The contract of token stores and flow stores, and the values that they store.

A store keeps refresh tokens. If one is lost, the user has to sign in again. The test suites in
``tests/helpers/store_contract.py`` check the contract; they can be run against any store, also one of your own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

import attrs

from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.serializable import Storable

LOCK_TIMEOUT = 60.0
"""Default number of seconds that `TokenStore.lock` waits. The holder may be in the middle of a refresh, which a session
limits to 30 s by default."""


@attrs.frozen(kw_only=True)
class StoredToken(Storable):
    """A token, and the state that is needed after a crash."""

    token: Token
    generation: int
    """Increases by one with each token under this key. A save never replaces a greater generation by a smaller one."""
    obtained_at: datetime
    """UTC."""
    unanswered: int = 0
    """Number of refreshes with this refresh token that were started and got no definite response. It is increased
    before each request. A new token starts at 0."""


class TokenStore(Protocol):
    """Stores one `StoredToken` per key. Every method raises `StoreError` if the storage fails."""

    async def load(self, key: str) -> StoredToken | None:
        """Return the value that was saved last under `key`; None if there is none."""
        ...

    async def save(self, key: str, stored: StoredToken) -> None:
        """Save `stored` under `key`, durably: once this returns, a crash does not undo it.

        It replaces an equal generation (this is how `unanswered` is increased) and a smaller one.

        Raises:
            StoreConflict: a greater generation is stored; it is kept.
        """
        ...

    async def delete(self, key: str) -> None:
        """Delete the value under `key`; do nothing if there is none."""
        ...

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Return a lock on `key` that excludes all other tasks, processes and (if the storage is shared) hosts.

        The lock is not reentrant. The wait for it is limited in time. Leaving the context releases it, and so does the
        end of the holder's process.

        Raises:
            StoreError: the lock could not be acquired.
        """
        ...


@attrs.frozen(kw_only=True)
class StoredFlow(Storable):
    """A pending device flow, and the lease of the process that polls it."""

    id: str
    user: str
    """The key under which the token will be stored."""
    authorization: DeviceAuthorization
    generation_before: int | None = None
    """Generation of the user's stored token just before this flow received its token. A greater generation in the token
    store means that the new token is saved. None: the flow has not received a token yet."""
    owner: str | None = None
    """The process that has the lease, that is, the right to poll this flow; None: no process has had it yet."""
    claimed_until: datetime | None = None
    """UTC. End of the lease; another process may take the lease after this time."""


class FlowStore(Protocol):
    """Stores pending flows so that they survive a restart. Every method raises `StoreError` if the storage fails.

    A process may poll a flow only while it has the flow's lease.
    """

    async def save(self, flow: StoredFlow) -> None:
        """Save `flow` under its id.

        Raises:
            StoreConflict: another owner than ``flow.owner`` has the lease.
        """
        ...

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - the same name as SignIn.id
        """Return the flow with this id; None if there is none."""
        ...

    async def list_due(self) -> Sequence[StoredFlow]:
        """Return the flows whose lease was never taken or has expired."""
        ...

    async def claim(self, id: str, owner: str, until: datetime) -> bool:  # noqa: A002
        """Give `owner` the lease of a flow until `until` (UTC), atomically. An owner can extend its own lease.

        Returns:
            Whether `owner` has the lease now; False if another owner has it or the flow does not exist.
        """
        ...

    async def delete(self, id: str) -> None:  # noqa: A002
        """Delete the flow; do nothing if there is none."""
        ...
