"""The contract of token stores and flow stores.

A store keeps refresh tokens. If one is lost, the user has to sign in again. `twilio_oauth_async.stores.testing` has the
test suites of this contract; they can be run against any store, also one of your own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from twilio_oauth_async.stores.records import FlowState, Key, StoredFlow, StoredToken, TokenKey, Tombstone, epoch_of

__all__ = [
    "LOCK_TIMEOUT",
    "FlowState",
    "FlowStore",
    "Key",
    "StoredFlow",
    "StoredToken",
    "TokenKey",
    "TokenStore",
    "Tombstone",
    "epoch_of",
]

LOCK_TIMEOUT = 60.0
"""Default number of seconds that `TokenStore.lock` waits. The holder may be in the middle of a refresh, which a session
limits to 30 s by default."""


class TokenStore(Protocol):
    """Stores one `StoredToken` per key. Every method raises `StoreError` if the storage fails, in limited time."""

    async def load(self, key: Key) -> StoredToken | None:
        """Return the token under `key`; None if there is none or it was deleted."""
        ...

    async def is_deleted(self, key: Key) -> bool:
        """Return whether the token under `key` was deleted and no later sign-in was saved.

        It distinguishes a logout from data that the storage has lost.
        """
        ...

    async def save(self, key: Key, stored: StoredToken, *, replaces: str | None) -> None:
        """Save `stored` under `key`, durably: once this returns, a crash does not undo it.

        Within one epoch it replaces the same generation (this is how `unanswered` is increased) and older ones. A new
        sign-in replaces the epoch that the caller has seen.

        Args:
            key: whose token it is.
            stored: the token.
            replaces: the epoch that the caller has loaded; None: it has found no token.

        Raises:
            StoreConflict: a newer generation, the token of another sign-in, or a tombstone is stored; it is kept. The
                caller loads again and decides: the later sign-in wins, and a deleted one stays deleted.
        """
        ...

    async def delete(self, key: Key) -> None:
        """Delete the token under `key` and leave a tombstone, which no save of that sign-in or an older one passes."""
        ...

    def users(self) -> AsyncIterator[str]:
        """Return the users with a stored token, each once, in any order."""
        ...

    async def erase(self, user: str) -> None:
        """Remove everything that is stored about `user`, for all clients and servers, without a tombstone."""
        ...

    def lock(self, key: Key) -> AbstractAsyncContextManager[None]:
        """Return a lock on `key` that excludes all other users of the storage: tasks, processes and, if shared, hosts.

        The lock is not reentrant. The wait for it is limited in time. Leaving the context releases it, and so does the
        end of the holder's process.

        Raises:
            StoreError: the lock could not be acquired.
        """
        ...


class FlowStore(Protocol):
    """Stores device flows so that they survive a restart. Every method raises `StoreError` if the storage fails.

    A process may poll a flow only while it has the flow's lease. Leases are given in seconds and measured by the clock
    of the store, so that the clocks of several hosts need not agree.
    """

    async def create(self, flow: StoredFlow, *, owner: str, seconds: float) -> StoredFlow:
        """Store `flow` with a lease for `owner`, unless its user has a pending flow of the same client and server.

        Returns:
            The user's pending flow: `flow`, or the one that was there before.

        Raises:
            StoreConflict: there is another flow with this id.
        """
        ...

    async def save(self, flow: StoredFlow) -> None:
        """Save the authorization, the context and `delivered` of a stored flow; never creates one.

        Raises:
            StoreConflict: the flow does not exist, its state has changed, or another owner has the lease.
        """
        ...

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - the same name as SignIn.id
        """Return the flow with this id; None if there is none."""
        ...

    async def find_user(self, key: Key) -> StoredFlow | None:
        """Return the flow of this user, client and server that has not ended; None if there is none."""
        ...

    async def list_due(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Return up to `limit` flows of this client and server that have not ended and that no process has leased."""
        ...

    async def lease(self, ids: Collection[str], owner: str, seconds: float) -> set[str]:
        """Give `owner` the leases of these flows, atomically for each; an owner extends its own leases in this way.

        Returns:
            The ids of the flows that `owner` has now; not those that other owners have, and not missing ones.
        """
        ...

    async def release(self, ids: Collection[str], owner: str) -> None:
        """Give back the leases that `owner` has on these flows."""
        ...

    async def grant(self, id: str, owner: str) -> bool:  # noqa: A002
        """Record, by compare-and-set, that `owner` has received the token of this flow; the lease does not matter.

        Returns:
            Whether it is recorded; False if the flow has ended or does not exist, or another owner was first.
        """
        ...

    async def end(self, id: str, state: FlowState, problem: str | None = None) -> bool:  # noqa: A002
        """Record the end of this flow. A granted flow can end as approved or failed only, an ended one not again.

        Returns:
            Whether the flow has ended as `state` now.
        """
        ...

    async def list_ended(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Return up to `limit` flows of this client and server that have ended and that no process has leased."""
        ...

    async def delete(self, id: str) -> None:  # noqa: A002
        """Delete the flow; do nothing if there is none."""
        ...
