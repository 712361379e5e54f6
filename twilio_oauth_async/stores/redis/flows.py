"""`RedisFlowStore`: a store of pending flows on a Redis server or cluster."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.keys import check_aware, check_key
from twilio_oauth_async.stores.leases import check_lease, is_leased, with_lease
from twilio_oauth_async.stores.redis.calls import CALL_TIMEOUT, RedisClient, RedisScripts, decode_reply
from twilio_oauth_async.stores.redis.scripts import COMPARE_AND_SET, DELETE_FLOW, LIST_DUE, LOAD
from twilio_oauth_async.stores.serialization import from_text, to_text

FLOW_RETENTION = 86_400
"""Minimum seconds that a flow is kept after its device code has expired, if no process deletes it before.

All flows of a prefix are in one hash, so each later flow extends this time.
"""

_MAX_ATTEMPTS = 50
"""Maximum number of attempts of one update while other processes change the same flow."""

_log = logging.getLogger(__name__)


class RedisFlowStore(HoldsSecrets):
    """A `FlowStore` on a Redis server or cluster. All flows of one prefix are in one slot of a cluster.

    The client belongs to the caller, and every wait is limited in time, as in `RedisTokenStore`. The clocks of the
    hosts should differ by much less than the length of a lease.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        prefix: str = "twilio-oauth",
        timeout: float = CALL_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        """Create the store. No command is sent.

        Args:
            redis: a ``redis.asyncio.Redis`` or ``RedisCluster``, with ``decode_responses`` or without.
            prefix: the prefix of all names in Redis, without the colon that follows it; it must not contain braces.
            timeout: seconds that one command may take, including the client's own retries.
            clock: decides when a lease has expired; None: the system clock.

        Raises:
            ConfigurationError: the client is not asynchronous, or `prefix` or `timeout` is invalid.
            MissingExtraError: the extra ``redis`` is not installed.
        """
        self._scripts = RedisScripts(redis, prefix=prefix, timeout=timeout)
        self._names = [self._scripts.name("flows", part) for part in ("pending", "due")]
        self._clock = clock or SystemClock()

    async def save(self, flow: StoredFlow) -> None:
        """As `FlowStore.save`."""
        check_key(flow.id, "id")

        def change(present: StoredFlow | None) -> StoredFlow:
            check_lease(present, flow, self._clock.now())
            return flow

        await self._update(flow.id, change)

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - as in FlowStore
        """As `FlowStore.load`."""
        check_key(id, "id")
        return from_text(decode_reply(await self._load(id)), StoredFlow)

    async def list_due(self) -> Sequence[StoredFlow]:
        """As `FlowStore.list_due`."""
        now = self._clock.now()
        replies = await self._scripts.run(LIST_DUE, self._names, _unix_milliseconds(now))
        flows = [from_text(decode_reply(reply), StoredFlow) for reply in replies]
        if None in flows:
            _log.warning("damaged pending flows were skipped: %d", flows.count(None))
        return [flow for flow in flows if flow is not None and not is_leased(flow, now)]

    async def claim(self, id: str, owner: str, until: datetime) -> bool:  # noqa: A002
        """As `FlowStore.claim`."""
        check_key(id, "id")
        check_key(owner, "owner")
        check_aware(until, "until")
        return await self._update(id, lambda present: with_lease(present, owner, until, self._clock.now()))

    async def delete(self, id: str) -> None:  # noqa: A002
        """As `FlowStore.delete`."""
        check_key(id, "id")
        await finish(asyncio.ensure_future(self._scripts.run(DELETE_FLOW, self._names, id)))

    def __repr__(self) -> str:
        return f"RedisFlowStore(prefix={self._scripts.prefix!r})"

    async def _load(self, id_: str) -> str | bytes | None:
        """Return the stored text exactly as the client returns it, for the comparison in `COMPARE_AND_SET`."""
        reply: str | bytes | None = await self._scripts.run(LOAD, self._names[:1], id_)
        return reply

    async def _update(self, id_: str, change: Callable[[StoredFlow | None], StoredFlow | None]) -> bool:
        """Replace the stored flow by the result of `change`; retry if another process changed the flow meanwhile.

        Return False, and store nothing, if `change` returns None.
        """
        for _ in range(_MAX_ATTEMPTS):
            present = await self._load(id_)
            flow = change(from_text(decode_reply(present), StoredFlow))
            if flow is None:
                return False
            if await self._compare_and_set(id_, present, flow):
                return True
        raise StoreError("Redis: too many concurrent changes to this flow")

    async def _compare_and_set(self, id_: str, present: str | bytes | None, flow: StoredFlow) -> bool:
        """Store `flow` if `present` is still stored. The command is completed also when the task is cancelled."""
        due = 0 if flow.owner is None or flow.claimed_until is None else _unix_milliseconds(flow.claimed_until)
        left = (flow.authorization.expires_at - self._clock.now()).total_seconds()
        retention = round((max(left, 0.0) + FLOW_RETENTION) * 1000)
        command = self._scripts.run(COMPARE_AND_SET, self._names, id_, present or "", to_text(flow), due, retention)
        return bool(await finish(asyncio.ensure_future(command)))


def _unix_milliseconds(date: datetime) -> int:
    """Return milliseconds since 1970, rounded up. They only select flows; `is_leased` compares the exact dates."""
    return math.ceil(date.timestamp() * 1000)
