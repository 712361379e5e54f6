"""`Watching`: the listeners of one process, and the one watch on the bucket that tells them of changes elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import DeviceFlowError, SignInNotFound, StoreError, TwilioOAuthError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.listeners import AllEvents, Watch
from twilio_oauth_async.sign_in.nats.names import Names
from twilio_oauth_async.sign_in.nats.records import QueuedFlow
from twilio_oauth_async.sign_in.nats.states import Entry, States
from twilio_oauth_async.sign_in.running import RunningFlow
from twilio_oauth_async.stores.nats.connection import Connection

with from_extra("nats", "nats"):
    from nats.errors import Error as NatsError
    from nats.js.api import DeliverPolicy

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

FOLLOW_EVERY = 3.0
"""Seconds between two looks whether the watch still works, and whether a sign-in is not polled any more."""

_log = logging.getLogger(__name__)


class Watching:
    """All who listen to sign-ins in this process."""

    def __init__(self, connection: Connection, names: Names, states: States, clock: Clock) -> None:
        """Create it without listeners."""
        self.all_events: AllEvents = AllEvents()
        self.is_closing: bool = False
        self._connection = connection
        self._names = names
        self._states = states
        self._clock = clock
        self._watches: dict[str, Watch] = {}
        self._known: dict[str, QueuedFlow] = {}  # the newest state of each sign-in with a watch
        self._reading: dict[str, int] = {}  # how many read a state, to listen to it from then on
        self._missed: set[str] = set()  # of these, the sign-ins that have changed since
        self._subscription: JetStreamContext.PushSubscription | None = None
        self._reconnects = 0
        self._subscribing = asyncio.Lock()

    async def watch(self, id_: str) -> Watch:
        """Return the watch of a sign-in.

        Raises:
            SignInNotFound: there is no such sign-in.
            StoreError: NATS failed.
        """
        watch = self._watches.get(id_)
        if watch is not None and not watch.present.is_over:
            return watch
        await self._subscribe()  # before the state is read, so that no change is missed
        self._reading[id_] = self._reading.get(id_, 0) + 1
        try:
            entry = await self._read(id_)
        finally:
            self._reading[id_] -= 1
            if not self._reading[id_]:
                del self._reading[id_]
                self._missed.discard(id_)
        if entry is None:
            raise SignInNotFound("there is no such sign-in")
        seen = entry.state.seen(self._clock.now())
        watch = self._watches.get(id_) or Watch(seen)
        if self.is_closing:
            watch.close()
        elif not seen.is_over:
            self._watches[id_] = watch
            self._known[id_] = entry.state
        return watch

    async def _read(self, id_: str) -> Entry | None:
        """Return the state of a sign-in. It is read again if it has changed meanwhile."""
        while True:
            self._missed.discard(id_)
            entry = await self._states.read(id_)
            if id_ not in self._missed:
                return entry

    async def events(self, id_: str) -> AsyncGenerator[SignIn, None]:
        """Yield the present state of a sign-in, then each change; raises as `watch`."""
        watch = await self.watch(id_)
        async for sign_in in watch.events():
            yield sign_in

    async def wait_for_end(self, id_: str) -> Watch:
        """Return the watch of a sign-in that has ended; raises as `watch`.

        Raises:
            DeviceFlowError: the bucket has lost it, or the queue was closed.
        """
        watch = await self.watch(id_)
        async for _ in watch.events():
            pass
        if not watch.present.is_over:
            if self.is_closing:
                raise DeviceFlowError("the queue was closed: the sign-in is still pending in its store")
            raise DeviceFlowError("the sign-in is not stored any more")
        return watch

    def publish(self, sign_in: SignIn, running: RunningFlow | None = None) -> None:
        """Tell a state that has changed in this process, also to the readers of all."""
        error = None if running is None or running.life.ending is None else running.life.ending.error
        self._tell(sign_in, error)
        self.all_events.tell(sign_in)

    async def follow_for_ever(self) -> None:
        """Keep the watch, and read the states again after an outage: changes may have been missed."""
        while True:
            await self._clock.sleep(FOLLOW_EVERY)
            self._forget_unused()
            try:
                if self._watches and not await self._is_subscribed():
                    await self._unsubscribe()
                    await self._subscribe()
                    await self._read_again()
            except StoreError:
                continue  # it is logged, and the next pass tries again
            for state in list(self._known.values()):
                self._tell(state.seen(self._clock.now()))

    def close_streams(self) -> None:
        """End all event streams."""
        self.is_closing = True
        for watch in self._watches.values():
            watch.close()
        self.all_events.close()

    async def close(self) -> None:
        """End the watch on the bucket."""
        await self._unsubscribe()

    def _tell(self, sign_in: SignIn, error: TwilioOAuthError | None = None) -> None:
        watch = self._watches.get(sign_in.id)
        if watch is None and sign_in.id in self._reading:
            self._missed.add(sign_in.id)
        if watch is not None:
            watch.tell(sign_in, error)
            if sign_in.is_over:
                self._forget(sign_in.id)

    def _forget(self, id_: str) -> None:
        self._watches.pop(id_, None)
        self._known.pop(id_, None)

    def _forget_unused(self) -> None:
        for id_, watch in list(self._watches.items()):
            if not watch.listeners:
                self._forget(id_)

    async def _subscribe(self) -> None:
        async with self._subscribing:
            if self._subscription is not None:
                return
            js, reconnects = self._connection.js, self._connection.reconnects
            subject = self._names.key_subject(self._names.flow_key("*"))
            self._subscription = await self._connection.of(
                lambda: js.subscribe(
                    subject,
                    stream=self._names.bucket_stream,
                    cb=self._changed,
                    ordered_consumer=True,
                    deliver_policy=DeliverPolicy.NEW,
                )
            )
            self._reconnects = reconnects

    async def _is_subscribed(self) -> bool:
        """Return whether the server still has the watch; raises `StoreError` if NATS cannot be reached."""
        subscription = self._subscription
        if subscription is None or self._reconnects != self._connection.reconnects:
            return False
        try:
            await self._connection.of(subscription.consumer_info)
        except StoreError:
            # The consumer is gone, or NATS is down: a new watch shows which.
            return False
        return True

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _changed(self, message: Msg) -> None:
        """Take in one change of the bucket. Most are of sign-ins to which this process does not listen."""
        id_ = message.subject.rpartition(".")[2]
        if id_ in self._reading and id_ not in self._watches:
            self._missed.add(id_)
        if id_ not in self._watches or not message.data:
            return
        try:
            state = self._states.decode(id_, message.data)
        except StoreError as error:
            _log.warning("a change of a sign-in could not be read: %s", error)
            return
        self._take_in(state)

    def _take_in(self, state: QueuedFlow) -> None:
        id_ = state.flow.id
        if id_ in self._watches:
            self._known[id_] = state
            self._tell(state.seen(self._clock.now()))

    async def _read_again(self) -> None:
        for id_, watch in list(self._watches.items()):
            entry = await self._states.read(id_)
            if entry is not None:
                self._take_in(entry.state)
            elif self._watches.get(id_) is watch:
                # It was lost: an end is kept for longer than the time between two looks.
                watch.close()
                self._forget(id_)
