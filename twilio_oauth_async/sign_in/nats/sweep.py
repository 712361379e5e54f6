"""`Sweep`: finds states without a message, messages of ends that were lost, and states that need not be kept.

A sign-in is submitted in two writes, a state and a message, and a process can be killed between them. A message without
a state is acknowledged when it is delivered; a state without a message is found here. So is one whose message an
operator has deleted.
"""

# pyright: reportUnknownMemberType=false
# nats-py declares only some of its types.

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.sign_in.flow_life import KEPT
from twilio_oauth_async.sign_in.nats.ends import MESSAGE_ID, Ends
from twilio_oauth_async.sign_in.nats.names import Names
from twilio_oauth_async.sign_in.nats.states import Entry, States
from twilio_oauth_async.sign_in.reporting import may_delete
from twilio_oauth_async.stores.nats.connection import Connection

with from_extra("nats", "nats"):
    from nats.js.kv import KeyValue

OLD = 60.0
"""Seconds after its last change at which a state is looked at: one that is polled is changed at each poll."""

AT_A_TIME = 20
"""States that are looked at together."""

READ_TIMEOUT = 5.0
"""Seconds for which the server may be silent while it lists the states."""

_log = logging.getLogger(__name__)


@attrs.frozen
class Messages:
    """Publishes the messages of pending sign-ins."""

    connection: Connection
    names: Names

    async def publish(self, id_: str, suffix: str = "") -> None:
        """Publish the message of a sign-in; raises `StoreError`.

        Args:
            id_: of the sign-in. The message holds nothing else.
            suffix: makes it a new message for the server, although there was one for this sign-in.
        """
        js, subject, stream = self.connection.js, self.names.flow_subject(id_), self.names.flows
        headers = {MESSAGE_ID: f"{id_}{suffix}"}
        await self.connection.of(lambda: js.publish(subject, id_.encode(), headers=headers, stream=stream))


class Sweep:
    """Sweeps the states of one group; of all processes, one at a time does that."""

    def __init__(self, messages: Messages, states: States, ends: Ends, clock: Clock, *, every: float) -> None:
        """Create it.

        Args:
            messages: of pending sign-ins.
            states: in the bucket.
            ends: publishes ends.
            clock: the source of time.
            every: seconds between two sweeps.
        """
        self._messages = messages
        self._connection = messages.connection
        self._names = messages.names
        self._states = states
        self._ends = ends
        self._clock = clock
        self._every = every

    async def run(self) -> None:
        """Sweep, unless another process has done that a moment ago; raises `StoreError`."""
        now = self._clock.now()
        least = timedelta(seconds=self._every * 0.9)
        if not await self._states.start_sweep(now, lambda last: not last <= now < last + least):
            return
        old = await self._old_ids(now - timedelta(seconds=min(OLD, self._every)))
        has_consumer = await self._has_consumer()
        for start in range(0, len(old), AT_A_TIME):
            batch = old[start : start + AT_A_TIME]
            await asyncio.gather(*(self.reconcile(id_, has_consumer=has_consumer) for id_ in batch))

    async def _old_ids(self, before: datetime) -> list[str]:
        """Return the ids of the states that were changed last before `before`, without reading the states."""
        connection, key = self._connection, self._names.flow_key("*")
        bucket = await connection.of(lambda: connection.js.key_value(self._names.bucket))
        watcher: Any = await connection.of(lambda: bucket.watch(key, meta_only=True, ignore_deletes=True))
        ids: list[str] = []
        try:
            while (update := await connection.of(lambda: watcher.updates(READ_TIMEOUT))) is not None:
                if isinstance(update, KeyValue.Entry) and _created(update) < before:
                    ids.append(update.key.rpartition(".")[2])
        finally:
            await watcher.stop()
        return ids

    async def _has_consumer(self) -> bool:
        """Return whether a process has, or had, an `on_end`."""
        js, names = self._connection.js, self._names
        return await self._connection.find(lambda: js.consumer_info(names.ends, names.on_end)) is not None

    async def reconcile(self, id_: str, *, has_consumer: bool) -> None:
        """Publish the message that a state needs, if there is none; delete a state that is not needed.

        Args:
            id_: of the sign-in.
            has_consumer: there is a consumer for ends.
        """
        entry = await self._states.read(id_)
        if entry is None:
            return
        if not entry.state.flow.has_ended:
            await self.ensure_message(entry)
        elif self._may_delete(entry, has_consumer=has_consumer):
            await self._states.delete(entry)
        elif has_consumer and not entry.state.flow.delivered and not await self._has_end_message(id_):
            await self._ends.publish(entry.state.flow, _suffix())

    async def _has_end_message(self, id_: str) -> bool:
        return await self._connection.find_message(self._names.ends, self._names.end_subject(id_)) is not None

    async def ensure_message(self, entry: Entry) -> None:
        """Publish the message of a pending sign-in, if there is none; raises `StoreError`."""
        flow = entry.state.flow
        if await self._connection.find_message(self._names.flows, self._names.flow_subject(flow.id)) is not None:
            return
        newest = await self._states.read_user(flow.key)
        if newest.id not in (flow.id, "") and not entry.state.delivery:
            await self._states.delete(entry)  # another process was faster, and no user has seen this code
            return
        _log.warning("the message of a pending sign-in was missing, and is published again")
        await self._messages.publish(flow.id, _suffix())

    def _may_delete(self, entry: Entry, *, has_consumer: bool) -> bool:
        flow, now = entry.state.flow, self._clock.now()
        if flow.delivered:
            delivered_at = entry.state.delivered_at or now
            return now >= delivered_at + timedelta(seconds=2 * KEPT)  # its message does that before, if it is there
        is_reported = not has_consumer and flow.ended_at is not None
        if is_reported and flow.ended_at is not None and now >= flow.ended_at + timedelta(seconds=KEPT):
            return True
        return may_delete(flow, now)


def _created(update: KeyValue.Entry) -> datetime:
    created: object = update.created
    return created if isinstance(created, datetime) else datetime.now(UTC)


def _suffix() -> str:
    return f".{secrets.token_hex(4)}"


async def sweep_for_ever(sweep: Sweep, clock: Clock, every: float) -> None:
    """Sweep from time to time."""
    while True:
        await clock.sleep(every)
        try:
            await sweep.run()
        except StoreError:
            continue  # it is logged, and the next pass tries again
        except Exception as error:  # noqa: BLE001 - a mistake must not end the sweeps
            _log.error("the sign-ins were not swept: %s", type(error).__name__)
