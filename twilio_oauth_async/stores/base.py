"""What a store must do, and what is stored.

A store guards the one thing that cannot be had again without a person: a refresh token. Its promises are those of
``tests/stores/contract.py``, which any store, ours or not, can be run against.
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
"""Seconds that `TokenStore.lock` waits where nothing else was asked for: the holder may be in the middle of a refresh,
which a session bounds to 30 s by default."""


@attrs.frozen(kw_only=True)
class StoredToken(Storable):
    """A token and what must be known of it after a crash."""

    token: Token
    generation: int
    """Grows by one with each token under this key; a save never puts a smaller one over a greater one."""
    obtained_at: datetime
    """UTC."""
    unanswered: int = 0
    """Refreshes with this token's refresh token that have been begun and never answered: raised before each request,
    back at 0 in the token that a definite answer brings."""


class TokenStore(Protocol):
    """Keeps one `StoredToken` a key. Every method raises `StoreError` where the storage fails."""

    async def load(self, key: str) -> StoredToken | None:
        """What was saved last under `key`; None where nothing is."""
        ...

    async def save(self, key: str, stored: StoredToken) -> None:
        """Put `stored` under `key`, durably: once this returns, a crash does not undo it.

        An equal generation is replaced (that is how `unanswered` is raised), a smaller one too.

        Raises:
            StoreConflict: a greater generation is there; it stays.
        """
        ...

    async def delete(self, key: str) -> None:
        """Forget `key`; nothing happens where there is nothing."""
        ...

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Exclude everybody else who shares the storage from `key`: tasks, processes and, where it spans them, hosts.

        Not reentrant. Waits in bounded time; it is released by leaving, and by the death of its holder.

        Raises:
            StoreError: it could not be had.
        """
        ...


@attrs.frozen(kw_only=True)
class StoredFlow(Storable):
    """A pending device flow and who is driving it."""

    id: str
    user: str
    """The key under which the token will be stored."""
    authorization: DeviceAuthorization
    generation_before: int | None = None
    """Of the user's stored token just before the one that this flow was granted: a greater one in the token store means
    that it is saved. None: nothing was granted yet."""
    owner: str | None = None
    """The process that drives it; None: nobody yet."""
    claimed_until: datetime | None = None
    """UTC. Afterwards the owner is taken for dead."""


class FlowStore(Protocol):
    """Keeps pending flows beyond the life of a process. Every method raises `StoreError` where the storage fails."""

    async def save(self, flow: StoredFlow) -> None:
        """Put `flow` under its id.

        Raises:
            StoreConflict: a claim of another owner than ``flow.owner`` is in force.
        """
        ...

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - the field's own word, as in SignIn.id
        """The flow with this id; None where there is none."""
        ...

    async def list_due(self) -> Sequence[StoredFlow]:
        """The flows that nobody drives: never claimed, or the claim has run out."""
        ...

    async def claim(self, id: str, owner: str, until: datetime) -> bool:  # noqa: A002
        """Make `owner` the one who drives the flow until `until` (UTC), atomically; also to prolong one's own claim.

        Returns:
            Whether it is `owner`'s now; False where another claim is in force or the flow is gone.
        """
        ...

    async def delete(self, id: str) -> None:  # noqa: A002
        """Forget the flow; nothing happens where there is none."""
        ...
