"""`NatsFlowStore`: a store of device flows in a bucket of NATS JetStream, for in-process pools of many hosts."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import attrs

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.protocol.argument_checks import check_clock
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.cancellation import finish
from twilio_oauth_async.stores.encryption import FernetKey, given_cipher
from twilio_oauth_async.stores.keys import check_key, check_lease, check_limit, digest, token_key
from twilio_oauth_async.stores.nats.bucket import Bucket
from twilio_oauth_async.stores.nats.connection import CALL_TIMEOUT, Connection
from twilio_oauth_async.stores.records import FlowState, Key, StoredFlow, TokenKey
from twilio_oauth_async.stores.serialization import from_text, to_text
from twilio_oauth_async.tasks import create_task

if TYPE_CHECKING:
    from nats.js import JetStreamContext

FLOW_LIFETIME = 7 * 86_400.0
"""Seconds after its last write at which the server deletes a flow, when the bucket is created: a code expires long
before, and an end is reported for a day."""

MAX_CONFLICTS = 100
"""Changes of one flow by other processes, after each of which a change is tried again."""

_log = logging.getLogger(__name__)


class NatsFlowStore(HoldsSecrets):
    """A `FlowStore` in a bucket of NATS JetStream, for `DeviceFlowPool` on many hosts.

    It lists flows by reading all of them, so it is for some thousands. For more, use `DeviceFlowQueue`, which the
    server sends what is due. Leases are measured by the clocks of the hosts, which should agree to within a second.
    """

    def __init__(
        self,
        js: JetStreamContext,
        *,
        bucket: str = "twilio-oauth-flows",
        encryption: FernetKey | Sequence[FernetKey] | None = None,
        replicas: int = 1,
        timeout: float = CALL_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        """Create the store; nothing is sent. Its bucket is created when it is first used.

        Args:
            js: a connection to NATS, which is lent. Use one that reconnects without a limit.
            bucket: the name of the bucket.
            encryption: one Fernet key, or several, of which the first encrypts and all decrypt; None: device codes are
                not encrypted. Needs the extra ``encryption``.
            replicas: of the bucket, when it is created: 3 in a cluster, so that one server can fail.
            timeout: seconds that one request to NATS may take.
            clock: measures the leases; None: the clock of the system.

        Raises:
            ConfigurationError: an argument is invalid.
            MissingExtraError: the extra ``nats`` is not installed.
        """
        check_clock(clock)
        connection = Connection(js, SystemClock(), timeout=timeout)
        self._flows = Bucket(connection, bucket, given_cipher(encryption), replicas=replicas, lifetime=FLOW_LIFETIME)
        self._clock = clock or SystemClock()

    async def create(self, flow: StoredFlow, *, owner: str, seconds: float) -> StoredFlow:
        """Implement `FlowStore.create`."""
        check_key(flow.id, "id")
        check_lease(owner, seconds)
        to_text(flow)  # raises here if it cannot be stored
        return await finish(create_task(self._create(flow, owner, seconds)))

    async def save(self, flow: StoredFlow) -> None:
        """Implement `FlowStore.save`."""
        check_key(flow.id, "id")
        to_text(flow)  # raises here if it cannot be stored
        await self._change(flow.id, lambda present: rules.saved(present, flow, self._clock.now()))

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - as FlowStore
        """Implement `FlowStore.load`. A damaged record is logged; the result is then None."""
        return (await self._read(id))[0]

    async def find_user(self, key: Key) -> StoredFlow | None:
        """Implement `FlowStore.find_user`."""
        return (await self._find_user(token_key(key)))[0]

    async def list_due(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_due`."""
        now = self._clock.now()
        return await self._list(limit, client_sid, server, lambda flow: rules.is_due(flow, now))

    async def lease(self, ids: Collection[str], owner: str, seconds: float) -> set[str]:
        """Implement `FlowStore.lease`."""
        check_lease(owner, seconds)
        given: set[str] = set()
        for id_ in ids:
            if await self._change(id_, lambda flow: rules.with_lease(flow, owner, self._clock.now(), seconds)):
                given.add(id_)
        return given

    async def release(self, ids: Collection[str], owner: str) -> None:
        """Implement `FlowStore.release`."""
        check_key(owner, "owner")
        for id_ in ids:
            await self._change(id_, lambda flow: rules.without_lease(flow, owner))

    async def grant(self, id: str, owner: str) -> bool:  # noqa: A002
        """Implement `FlowStore.grant`."""
        check_key(owner, "owner")
        return await self._change(id, lambda flow: rules.granted(flow, owner))

    async def end(self, id: str, state: FlowState, problem: str | None = None) -> bool:  # noqa: A002
        """Implement `FlowStore.end`."""
        return await self._change(id, lambda flow: rules.ended(flow, state, problem, self._clock.now()))

    async def list_ended(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_ended`."""
        now = self._clock.now()
        return await self._list(
            limit, client_sid, server, lambda flow: flow.has_ended and not rules.is_leased(flow, now)
        )

    async def delete(self, id: str) -> None:  # noqa: A002
        """Implement `FlowStore.delete`."""
        await finish(create_task(self._flows.purge(_flow_name(id))))

    def __repr__(self) -> str:
        return f"NatsFlowStore(bucket={self._flows.name!r})"

    async def _create(self, flow: StoredFlow, owner: str, seconds: float) -> StoredFlow:
        for _ in range(MAX_CONFLICTS):
            present, pointer = await self._find_user(flow.key)
            if present is not None:
                return present
            if (created := await self._create_for(flow, owner, seconds, pointer)) is not None:
                return created
        raise StoreError("other processes have started a flow of this user each time")

    async def _create_for(self, flow: StoredFlow, owner: str, seconds: float, pointer: int) -> StoredFlow | None:
        """Store `flow` and make it that of its user; None if another process was faster."""
        created = rules.with_lease(flow, owner, self._clock.now(), seconds)
        assert created is not None, "it had no lease"
        at = await self._flows.read(_flow_name(flow.id))
        if at.text is not None:
            raise StoreConflict("there is another flow with this id")
        revision = await self._flows.write(_flow_name(flow.id), to_text(created), at.revision)
        try:
            await self._flows.write(_user_name(flow.key), json.dumps(flow.id), pointer)
        except StoreError as error:
            # No user has seen its code. If this fails too, the flow ends when its code expires.
            await self._flows.delete(_flow_name(flow.id), revision)
            if isinstance(error, StoreConflict):
                return None
            raise
        return created

    async def _find_user(self, key: TokenKey) -> tuple[StoredFlow | None, int]:
        """Return the flow of a user that has not ended, and the revision of the key that names it."""
        entry = await self._flows.read(_user_name(key))
        if entry.text is None:
            return None, entry.revision
        flow, _ = await self._read(json.loads(entry.text))
        is_hers = flow is not None and flow.key == key and not flow.has_ended
        return flow if is_hers else None, entry.revision

    async def _read(self, id_: str) -> tuple[StoredFlow | None, int]:
        entry = await self._flows.read(_flow_name(id_))
        flow = from_text(entry.text, StoredFlow)
        if flow is None and entry.text is not None:
            _log.warning("the record of a flow in the bucket %s is damaged", self._flows.name)
        return flow, entry.revision

    async def _change(self, id_: str, change: Callable[[StoredFlow | None], StoredFlow | None]) -> bool:
        """Replace a flow by what `change` returns for it; return False if that is None."""
        return await finish(create_task(self._change_until_stored(id_, change)))

    async def _change_until_stored(self, id_: str, change: Callable[[StoredFlow | None], StoredFlow | None]) -> bool:
        for _ in range(MAX_CONFLICTS):
            present, revision = await self._read(id_)
            changed = change(present)
            if changed is None:
                return False
            if changed == present:
                return True
            try:
                await self._flows.write(_flow_name(id_), to_text(changed), revision)
            except StoreConflict:
                continue
            return True
        raise StoreError("the flow was changed by other processes each time")

    async def _list(
        self, limit: int, client_sid: str, server: str, wanted: Callable[[StoredFlow], bool]
    ) -> Sequence[StoredFlow]:
        check_limit(limit)
        found: list[StoredFlow] = []
        async for _, text in self._flows.values("flow.*"):
            flow = from_text(text, StoredFlow)
            if flow is None:
                _log.warning("the record of a flow in the bucket %s is damaged", self._flows.name)
            elif (flow.authorization.client_sid, flow.server) == (client_sid, server) and wanted(flow):
                found.append(flow)
                if len(found) == limit:
                    break
        return found


def _flow_name(id_: str) -> str:
    """Return the key in the bucket. An id may have characters that NATS does not allow, so it is hashed."""
    check_key(id_, "id")
    return f"flow.{digest(id_)}"


def _user_name(key: TokenKey) -> str:
    return f"user.{digest(json.dumps(attrs.astuple(key)))}"
