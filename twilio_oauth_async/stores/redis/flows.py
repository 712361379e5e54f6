"""`RedisFlowStore`."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from datetime import datetime

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.protocol.serializable import Secretive
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.keys import check_instant, check_key
from twilio_oauth_async.stores.leases import check_save, claimed, is_claimed
from twilio_oauth_async.stores.redis.calls import CALL_TIMEOUT, RedisCalls, RedisClient, text_of
from twilio_oauth_async.stores.redis.scripts import DROP, DUE, LOAD, SWAP
from twilio_oauth_async.stores.serialization import from_text, to_text

FLOW_SLACK = 86_400
"""Seconds that flows stay after they have ended, where nobody is left to finish them."""

_MOST_ATTEMPTS = 50
"""How often a change is tried where others change the same flow in between."""

_log = logging.getLogger(__name__)


class RedisFlowStore(Secretive):
    """A `FlowStore` on a Redis server or cluster. All flows of one prefix are in one slot of a cluster.

    The client is lent, and every wait bounded, as of `RedisTokenStore`. The clocks of the hosts should agree to a
    small part of a claim's length.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        prefix: str = "twilio-oauth",
        timeout: float = CALL_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        """No command is sent here.

        Args:
            redis: a ``redis.asyncio.Redis`` or ``RedisCluster``, with ``decode_responses`` or without.
            prefix: of the names of all keys, in front of a colon; without braces.
            timeout: seconds that one command may take, with the client's own retries.
            clock: tells when a claim has run out; None: the machine's own.

        Raises:
            ConfigurationError: a client that blocks, or a value that cannot be.
            ModuleNotFoundError: the extra ``redis`` is not installed.
        """
        self._calls = RedisCalls(redis, prefix=prefix, timeout=timeout)
        self._names = [self._calls.name("flows", part) for part in ("pending", "due")]
        self._clock = clock or SystemClock()

    async def save(self, flow: StoredFlow) -> None:
        """As `FlowStore.save`."""
        check_key(flow.id, "id")

        def change(present: StoredFlow | None) -> StoredFlow:
            check_save(present, flow, self._clock.now())
            return flow

        await self._change(flow.id, change)

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - the protocol's word
        """As `FlowStore.load`."""
        check_key(id, "id")
        return from_text(text_of(await self._load(id)), StoredFlow)

    async def list_due(self) -> Sequence[StoredFlow]:
        """As `FlowStore.list_due`."""
        now = self._clock.now()
        replies = await self._calls.run(DUE, self._names, _milliseconds(now))
        flows = [from_text(text_of(reply), StoredFlow) for reply in replies]
        if None in flows:
            _log.warning("%d pending flows are damaged and are passed over", flows.count(None))
        return [flow for flow in flows if flow is not None and not is_claimed(flow, now)]

    async def claim(self, id: str, owner: str, until: datetime) -> bool:  # noqa: A002
        """As `FlowStore.claim`."""
        check_key(id, "id")
        check_key(owner, "owner")
        check_instant(until, "until")
        return await self._change(id, lambda present: claimed(present, owner, until, self._clock.now()))

    async def delete(self, id: str) -> None:  # noqa: A002
        """As `FlowStore.delete`."""
        check_key(id, "id")
        await finish(asyncio.ensure_future(self._calls.run(DROP, self._names, id)))

    def __repr__(self) -> str:
        return f"RedisFlowStore(prefix={self._calls.prefix!r})"

    async def _load(self, id_: str) -> str | bytes | None:
        """As the client gives it: what is no text is compared all the same."""
        reply: str | bytes | None = await self._calls.run(LOAD, self._names[:1], id_)
        return reply

    async def _change(self, id_: str, change: Callable[[StoredFlow | None], StoredFlow | None]) -> bool:
        """Put what `change` makes of the present flow in its place, where nobody else did meanwhile; False for None."""
        for _ in range(_MOST_ATTEMPTS):
            present = await self._load(id_)
            flow = change(from_text(text_of(present), StoredFlow))
            if flow is None:
                return False
            if await self._swap(id_, present, flow):
                return True
        raise StoreError("Redis: others change this flow all the time")

    async def _swap(self, id_: str, present: str | bytes | None, flow: StoredFlow) -> bool:
        """One step at the server; run to its end, whoever is cancelled."""
        due = 0 if flow.owner is None or flow.claimed_until is None else _milliseconds(flow.claimed_until)
        left = (flow.authorization.expires_at - self._clock.now()).total_seconds()
        lives = round((max(left, 0.0) + FLOW_SLACK) * 1000)
        swap = self._calls.run(SWAP, self._names, id_, present or "", to_text(flow), due, lives)
        return bool(await finish(asyncio.ensure_future(swap)))


def _milliseconds(date: datetime) -> int:
    """Since 1970, rounded up: whether the last millisecond counts is decided with the exact dates."""
    return math.ceil(date.timestamp() * 1000)
