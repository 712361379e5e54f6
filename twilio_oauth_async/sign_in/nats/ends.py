"""`Ends`: publishes the ends of sign-ins, and reports them to the `on_end` of one process, at least once.

The message of an end is the timer of all that follows: while it is there, the end is reported again if the callback
fails, and after that the state is kept for a while, so that those who come late can find it.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.sign_in.flow_life import KEPT
from twilio_oauth_async.sign_in.nats.names import Names
from twilio_oauth_async.sign_in.nats.pulling import Delivery
from twilio_oauth_async.sign_in.nats.records import QueuedFlow
from twilio_oauth_async.sign_in.nats.states import Entry, States
from twilio_oauth_async.sign_in.reporter import OnEnd, call_on_end, finish_call
from twilio_oauth_async.sign_in.reporting import GIVE_UP_AFTER, MAX_PAUSE
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.stores.nats.connection import Connection
from twilio_oauth_async.tasks import create_task

MESSAGE_ID = "Nats-Msg-Id"
"""The header by which the server drops a second message of the same sign-in."""


class Ends:
    """The ends of the sign-ins of one group."""

    def __init__(self, connection: Connection, names: Names, states: States, clock: Clock) -> None:
        """Create it without a callback."""
        self.on_end: OnEnd | None = None
        self._connection = connection
        self._names = names
        self._states = states
        self._clock = clock

    async def publish(self, flow: StoredFlow, suffix: str = "") -> None:
        """Publish the end of a flow; raises `StoreError`.

        Args:
            flow: has ended.
            suffix: makes a message a new one for the server, although there was one for this end.
        """
        subject = self._names.end_subject(flow.id)
        # An approval that is taken back is an end of its own.
        headers = {MESSAGE_ID: f"{flow.id}.{flow.state}{suffix}"}
        await self._connection.of(
            lambda: self._connection.js.publish(subject, flow.id.encode(), headers=headers, stream=self._names.ends)
        )

    async def take(self, delivery: Delivery) -> None:
        """Do what is due with the end of a message; raises `StoreError`."""
        entry = await self._states.read(delivery.id)
        if entry is None or not entry.state.flow.has_ended:
            await delivery.acknowledge()
        elif entry.state.flow.delivered:
            await self._keep(entry, delivery)
        elif self._is_late(entry.state) or await self._call(entry.state):
            await self._mark(delivery)
        else:
            # After each failure the pause doubles. The number of deliveries survives this process.
            await delivery.give_back(min(2.0 ** min(delivery.number.number - 1, 16), MAX_PAUSE))

    async def _keep(self, entry: Entry, delivery: Delivery) -> None:
        """Delete the state, when its time is over."""
        now = self._clock.now()
        delivered_at = entry.state.delivered_at or now
        seconds = (delivered_at + timedelta(seconds=KEPT) - now).total_seconds()
        if seconds > 0:
            await delivery.give_back(seconds)
            return
        await self._states.delete(entry)
        await delivery.acknowledge()

    async def _call(self, state: QueuedFlow) -> bool:
        assert self.on_end is not None, "messages are received only where there is a callback"
        sign_in = state.seen(self._clock.now())
        return await finish_call(create_task(call_on_end(self.on_end, sign_in)), self._clock)

    async def _mark(self, delivery: Delivery) -> None:
        now = self._clock.now()

        def mark(state: QueuedFlow) -> QueuedFlow:
            return attrs.evolve(state, flow=attrs.evolve(state.flow, delivered=True), delivered_at=now)

        await self._states.change(delivery.id, mark)
        await delivery.give_back(KEPT)

    def _is_late(self, state: QueuedFlow) -> bool:
        ended_at = state.flow.ended_at
        return ended_at is not None and self._clock.now() >= ended_at + GIVE_UP_AFTER
