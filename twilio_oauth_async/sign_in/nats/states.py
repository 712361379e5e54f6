"""`States`: the states of sign-ins in the bucket, changed by compare-and-set. A part of a `FlowStore`."""

# pyright: reportUnknownMemberType=false
# nats-py declares only some of its types.

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError, StoreConflict, StoreError
from twilio_oauth_async.sign_in.nats.names import Names, is_id
from twilio_oauth_async.sign_in.nats.records import QueuedFlow
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import FlowState, StoredFlow, TokenKey
from twilio_oauth_async.stores.encryption import Cipher
from twilio_oauth_async.stores.nats.connection import Connection

MAX_CONFLICTS = 10
"""Changes of one state by other processes, after each of which a change is tried again."""

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"


@attrs.frozen
class Entry:
    """A state, and its revision in the bucket."""

    state: QueuedFlow
    revision: int


@attrs.frozen
class NewestId:
    """Which sign-in of a user is the newest one."""

    group: str
    id: str
    """Empty: there is none."""
    revision: int
    """Of the key that names it."""


class States:
    """The states of the sign-ins of one group. Every method raises `StoreError` if NATS fails."""

    def __init__(self, connection: Connection, names: Names, cipher: Cipher, clock: Clock) -> None:
        """Create it.

        Args:
            connection: to NATS.
            names: of the bucket and its keys.
            cipher: encrypts the values, which contain device codes.
            clock: the source of time.
        """
        self.claims: dict[str, int] = {}
        """For the sign-ins that this process polls now: the number of claimed polls before its own was sent."""
        self.publish_end: Callable[[StoredFlow], Awaitable[None]] | None = None
        """Is called with each flow whose end is recorded here, before `end` returns."""
        self._connection = connection
        self._names = names
        self._cipher = cipher
        self._clock = clock

    async def read(self, id_: str) -> Entry | None:
        """Return the state of a sign-in; None if there is none."""
        if not is_id(id_):
            return None
        text, revision = await self._read(self._names.flow_key(id_))
        return None if text is None else Entry(_state(text), revision)

    def decode(self, id_: str, value: bytes) -> QueuedFlow:
        """Return the state that was stored as `value`; raises `StoreError`."""
        return _state(self._cipher.unseal([self._names.flow_key(id_)], value))

    async def create(self, state: QueuedFlow) -> Entry:
        """Store the state of a new sign-in.

        Raises:
            StoreConflict: there is one with this id.
        """
        return await self.write(Entry(state, 0), state)

    async def write(self, entry: Entry, state: QueuedFlow) -> Entry:
        """Replace `entry` by `state`. It can be repeated after a `StoreError`.

        Raises:
            StoreConflict: another process has changed it since.
        """
        id_ = state.flow.id
        try:
            return Entry(state, await self._write(self._names.flow_key(id_), state.to_json(), entry.revision))
        except StoreConflict:
            # A call before this one, which seemed to fail, may have stored it.
            present = await self.read(id_)
            if present is not None and present.state == state:
                return present
            raise

    async def change(self, id_: str, change: Callable[[QueuedFlow], QueuedFlow | None]) -> QueuedFlow | None:
        """Replace a state by what `change` returns for it.

        Returns:
            The new state; None if there is no such sign-in, or `change` returned None.
        """
        for _ in range(MAX_CONFLICTS):
            entry = await self.read(id_)
            state = None if entry is None else change(entry.state)
            if entry is None or state is None:
                return None
            if state == entry.state:
                return state
            try:
                return (await self.write(entry, state)).state
            except StoreConflict:
                continue
        raise StoreError("the state of a sign-in was changed by other processes each time")

    async def delete(self, entry: Entry) -> None:
        """Delete a state, unless it has changed."""
        subject = self._names.key_subject(self._names.flow_key(entry.state.flow.id))
        headers = {_OPERATION: "DEL", _EXPECTED: str(entry.revision)}
        with contextlib.suppress(StoreConflict):
            await self._connection.of(lambda: self._connection.js.publish(subject, b"", headers=headers))

    def of_group(self, group: str) -> States:
        """Return the states of the sign-ins with other scopes or audiences. It publishes no ends: their workers do."""
        return States(self._connection, attrs.evolve(self._names, group=group), self._cipher, self._clock)

    async def read_user(self, key: TokenKey) -> NewestId:
        """Return which sign-in of a user is the newest one; it may have ended."""
        text, revision = await self._read(self._names.user_key(key))
        group, _, id_ = (text or "").partition(".")
        return NewestId(group, id_, revision)

    async def write_user(self, key: TokenKey, id_: str, revision: int) -> None:
        """Make `id_` the newest sign-in of a user; raises `StoreConflict` if another process was faster."""
        try:
            await self._write(self._names.user_key(key), f"{self._names.group}.{id_}", revision)
        except StoreConflict:
            if (await self.read_user(key)).id != id_:
                raise

    async def start_sweep(self, now: datetime, may_start: Callable[[datetime], bool]) -> bool:
        """Record that a sweep starts, if `may_start` says so for the last one. Return whether this process sweeps."""
        text, revision = await self._read(self._names.sweep_key)
        if text is not None and not may_start(datetime.fromisoformat(text)):
            return False
        try:
            await self._write(self._names.sweep_key, now.isoformat(), revision)
        except StoreConflict:
            return False
        return True

    # The part of a FlowStore that `RunningFlow` uses.

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - as FlowStore
        """Implement `FlowStore.load`."""
        entry = await self.read(id)
        return None if entry is None else entry.state.flow

    async def save(self, flow: StoredFlow) -> None:
        """Do nothing: a worker saves the state at the end of its turn."""

    async def lease(self, ids: Collection[str], owner: str, seconds: float) -> set[str]:  # noqa: ARG002
        """Give no lease: a worker may poll while it has the message."""
        return set()

    async def grant(self, id: str, owner: str) -> bool:  # noqa: A002
        """Implement `FlowStore.grant`. It is refused, too, if another worker has claimed a poll since."""
        claims, now = self.claims.get(id), self._clock.now()

        def grant(state: QueuedFlow) -> QueuedFlow | None:
            flow = rules.granted(state.flow, owner)
            if flow is None or (state.flow.state == "pending" and state.claims != claims):
                return None
            granted_at = now if state.granted_at is None else state.granted_at
            return attrs.evolve(state, flow=flow, granted_at=granted_at)

        return await self.change(id, grant) is not None

    async def end(self, id: str, state: FlowState, problem: str | None = None) -> bool:  # noqa: A002
        """Implement `FlowStore.end`, and publish the end."""
        now = self._clock.now()

        def end(present: QueuedFlow) -> QueuedFlow | None:
            flow = rules.ended(present.flow, state, problem, now)
            return None if flow is None else attrs.evolve(present, flow=flow)

        ended = await self.change(id, end)
        if ended is not None and self.publish_end is not None:
            await self.publish_end(ended.flow)
        return ended is not None

    async def _read(self, key: str) -> tuple[str | None, int]:
        message = await self._connection.find_message(self._names.bucket_stream, self._names.key_subject(key))
        if message is None:
            return None, 0
        assert message.seq is not None, "each message of a stream has one"
        if (message.headers or {}).get(_OPERATION) is not None:
            return None, message.seq  # it was deleted
        return self._cipher.unseal([key], message.data or b""), message.seq

    async def _write(self, key: str, text: str, revision: int) -> int:
        subject, value = self._names.key_subject(key), self._cipher.seal([key], text)
        headers = {_EXPECTED: str(revision)}
        stored = await self._connection.of(lambda: self._connection.js.publish(subject, value, headers=headers))
        return stored.seq


def _state(text: str) -> QueuedFlow:
    failed = ""
    try:
        return QueuedFlow.from_json(text)
    except ConfigurationError as error:
        failed = str(error)
    raise StoreError(f"a state of a sign-in is damaged, or was stored by another version: {failed}")
