"""`RedisFlowStore`: a store of pending flows on a Redis server or cluster."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import ConfigurationError, StoreConflict, StoreError
from twilio_oauth_async.protocol.argument_checks import check_clock
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.keys import check_key, check_lease, check_limit, digest, token_key
from twilio_oauth_async.stores.records import FlowState, Key, StoredFlow, TokenKey
from twilio_oauth_async.stores.redis import flow_scripts as scripts
from twilio_oauth_async.stores.redis.calls import CALL_TIMEOUT, RedisClient, RedisScripts, decode_reply
from twilio_oauth_async.stores.serialization import from_text, to_text
from twilio_oauth_async.tasks import create_task

FLOW_RETENTION = timedelta(days=1)
"""How long a flow is kept after its device code has expired, if no process deletes it before."""

LEASES_PER_CALL = 500
"""Flows that one command leases or releases. The server does nothing else meanwhile."""

_MAX_LEASE = 10 * 365 * 86_400
"""Seconds. Longer leases are cut to this."""

_MAX_ATTEMPTS = 5
"""How often a flow is created if the user's pending flow is damaged."""

_ALLOWED_BEFORE: Mapping[FlowState, str] = {
    "approved": " granted ",
    "denied": " pending ",
    "expired": " pending ",
    "cancelled": " pending ",
    "failed": " pending granted ",
}
"""The states from which a flow can end so, as in `rules.ended`."""

_STATES: Mapping[str, FlowState] = {"pending": "pending", "granted": "granted", **{end: end for end in _ALLOWED_BEFORE}}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_log = logging.getLogger(__name__)


class RedisFlowStore(HoldsSecrets):
    """A `FlowStore` on a Redis server or cluster. All flows of one prefix are in one slot of a cluster.

    The client belongs to the caller, and every wait is limited in time, as in `RedisTokenStore`. Leases and ends are
    measured by the clock of the server, so the clocks of the hosts do not matter. A flow expires a day after its device
    code.

    A crash of the server without ``appendonly yes``, and a failover, can undo the last changes. A new flow that is
    undone is not polled any more: the user has to start again. If a lease or a grant is undone, two processes may poll
    the same flow for some time; the authorization server gives its token to one of them. If the clock of the new server
    is behind, leases end later by this difference; if it is ahead, earlier.
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
            prefix: of the names of all keys, followed by a colon; without braces.
            timeout: seconds that one command may take, including the client's own retries. While the server responds,
                a call may wait longer for other calls of this store.
            clock: decides how long a device code is still valid; None: the system clock. Leases do not use it.

        Raises:
            ConfigurationError: the client is not asynchronous, or `prefix` or `timeout` is invalid.
            MissingExtraError: the extra ``redis`` is not installed.
        """
        check_clock(clock)
        self._scripts = RedisScripts(redis, prefix=prefix, timeout=timeout)
        self._names = [self._scripts.name("flows", part) for part in ("records", "pending", "ended", "expiry")]
        self._clock = clock or SystemClock()

    async def create(self, flow: StoredFlow, *, owner: str, seconds: float) -> StoredFlow:
        """Implement `FlowStore.create`. A damaged flow of the same user is not returned but replaced."""
        check_key(flow.id, "id")
        token_key(flow.key)
        check_lease(owner, seconds)
        left = max(flow.authorization.expires_at - self._clock.now(), timedelta())
        kept = _microseconds((left + FLOW_RETENTION).total_seconds())
        heads = (_app_hash(flow.authorization.client_sid, flow.server), _user_hash(flow.key))
        damaged = ""
        for _ in range(_MAX_ATTEMPTS):
            lease = (owner, _lease_time(seconds))
            arguments = (flow.id, *heads, _value(flow), flow.state, *lease, damaged, kept)
            reply = await self._change(scripts.CREATE, *arguments)
            if not reply:
                raise StoreConflict("there is another flow with this id")
            created = _flow(reply)
            if created is not None:
                return created
            _log.warning("a damaged flow is replaced by a new flow of the same user")
            damaged = decode_reply(reply[0]) or ""
        raise StoreError("Redis: the flows of this user are damaged")

    async def save(self, flow: StoredFlow) -> None:
        """Implement `FlowStore.save`."""
        check_key(flow.id, "id")
        reply = await self._change(scripts.SAVE, flow.id, _value(flow), flow.owner or "", flow.state)
        outcome, detail = map(decode_reply, reply)
        if outcome == "missing":
            raise StoreConflict("the flow does not exist any more")
        if outcome == "leased":
            raise StoreConflict("another process has the lease of this flow")
        if outcome == "state":
            raise StoreConflict(f"the state of this flow is {detail} now")

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - as in FlowStore
        """Implement `FlowStore.load`; None also if the flow is damaged."""
        check_key(id, "id")
        return _flow(await self._scripts.run(scripts.LOAD, self._names, id))

    async def find_user(self, key: Key) -> StoredFlow | None:
        """Implement `FlowStore.find_user`."""
        return _flow(await self._scripts.run(scripts.FIND, self._names, _user_hash(token_key(key))))

    async def list_due(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_due`; the flows whose lease has ended first are the first."""
        return await self._list(2, limit, client_sid, server)

    async def lease(self, ids: Collection[str], owner: str, seconds: float) -> set[str]:
        """Implement `FlowStore.lease`, up to `LEASES_PER_CALL` flows in one command."""
        check_lease(owner, seconds)
        leased: set[str] = set()
        for batch in _batches(ids):
            reply = await self._change(scripts.LEASE, owner, _lease_time(seconds), *batch)
            leased.update(id_ for id_ in map(decode_reply, reply) if id_ is not None)
        return leased

    async def release(self, ids: Collection[str], owner: str) -> None:
        """Implement `FlowStore.release`, up to `LEASES_PER_CALL` flows in one command."""
        check_key(owner, "owner")
        for batch in _batches(ids):
            await self._change(scripts.RELEASE, owner, *batch)

    async def grant(self, id: str, owner: str) -> bool:  # noqa: A002
        """Implement `FlowStore.grant`."""
        check_key(id, "id")
        check_key(owner, "owner")
        return bool(await self._change(scripts.GRANT, id, owner))

    async def end(self, id: str, state: FlowState, problem: str | None = None) -> bool:  # noqa: A002
        """Implement `FlowStore.end`.

        Raises:
            ConfigurationError: `state` is not the state of a flow that has ended.
        """
        check_key(id, "id")
        if state not in _ALLOWED_BEFORE:
            raise ConfigurationError("state must be that of a flow that has ended")
        more = () if problem is None else (problem,)
        return bool(await self._change(scripts.END, id, state, _ALLOWED_BEFORE[state], *more))

    async def list_ended(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_ended`."""
        return await self._list(3, limit, client_sid, server)

    async def delete(self, id: str) -> None:  # noqa: A002
        """Implement `FlowStore.delete`."""
        check_key(id, "id")
        await self._change(scripts.DELETE, id)

    def __repr__(self) -> str:
        return f"RedisFlowStore(prefix={self._scripts.prefix!r})"

    async def _change(self, script: str, *arguments: str | int) -> Any:
        """Run a script that changes flows. It is completed also if the task is cancelled."""
        return await finish(create_task(self._scripts.run(script, self._names, *arguments)))

    async def _list(self, number: int, limit: int, client_sid: str, server: str) -> list[StoredFlow]:
        """Return flows of the sorted set `number`. Damaged ones do not count towards `limit`."""
        check_limit(limit)
        skipped = 0
        while True:
            arguments = (number, _app_hash(client_sid, server), limit + skipped)
            replies = await self._change(scripts.LIST, *arguments)
            flows = [flow for flow in map(_flow, replies) if flow is not None]
            damaged = len(replies) - len(flows)
            if damaged == skipped or len(replies) < limit + skipped:
                break
            skipped = damaged
        if damaged:
            _log.warning("damaged flows were skipped: %d", damaged)
        return flows[:limit]


def _value(flow: StoredFlow) -> str:
    """Return the text of `flow` without what the other fields hold."""
    empty = StoredFlow(id=flow.id, user=flow.user, authorization=flow.authorization)
    return to_text(attrs.evolve(empty, server=flow.server, context=flow.context, delivered=flow.delivered))


def _flow(reply: Any) -> StoredFlow | None:
    """Return the flow in the reply of a script; None if there is none or it is damaged."""
    if not reply:
        return None
    _, value, state, granted_to, problem, ended_at, owner, leased_until = map(decode_reply, reply)
    flow = from_text(value, StoredFlow)
    if flow is None or state is None or state not in _STATES:
        return None
    return attrs.evolve(
        flow,
        state=_STATES[state],
        granted_to=granted_to,
        problem=problem,
        ended_at=_date(ended_at),
        owner=owner,
        leased_until=None if owner is None else _date(leased_until),
    )


def _app_hash(client_sid: str, server: str) -> str:
    return digest(f"{client_sid}\0{server}")


def _user_hash(key: TokenKey) -> str:
    return digest(f"{key.user}\0{key.client_sid}\0{key.server}")


def _batches(ids: Collection[str]) -> list[list[str]]:
    checked = list(dict.fromkeys(ids))
    for id_ in checked:
        check_key(id_, "id")
    return [checked[first : first + LEASES_PER_CALL] for first in range(0, len(checked), LEASES_PER_CALL)]


def _lease_time(seconds: float) -> int:
    return max(1, _microseconds(min(seconds, _MAX_LEASE)))


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _date(microseconds: str | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=int(microseconds))
