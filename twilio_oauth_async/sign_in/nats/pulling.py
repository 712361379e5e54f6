"""`Puller`: receives the messages of one consumer, and calls a function with each, for a limited number at a time."""

# pyright: reportUnknownMemberType=false
# nats-py declares only some of its types.

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import attrs

from twilio_oauth_async.clock import Clock, wait_for_all
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.sign_in.flow_steps import Lease
from twilio_oauth_async.sign_in.nats.records import Delivered
from twilio_oauth_async.stores.nats.connection import Connection
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.state import Now

with from_extra("nats", "nats"):
    from nats.errors import Error as NatsError

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

REQUEST_LASTS = 5.0
"""Seconds for which a request for messages waits on the server, at most. See `Puller`."""

LOOK_EVERY = 1.0
"""Seconds between two looks whether a request has got lost, and whether a message must be held for longer."""

_log = logging.getLogger(__name__)


class Delivery:
    """One message that this process has, until its `lease` ends: then the server delivers it to another process."""

    def __init__(self, message: Msg, lease: Lease, puller: Puller, *, is_certain: bool) -> None:
        """Create it.

        Args:
            message: as it was received.
            lease: counted from the request for it, which was sent before it was delivered.
            puller: receives the messages.
            is_certain: see `Delivered`.
        """
        metadata = message.metadata
        self.id: str = message.subject.rpartition(".")[2]
        self.number: Delivered = Delivered(metadata.sequence.stream, metadata.num_delivered, is_certain)
        self.lease: Lease = lease
        self._message = message
        self._puller = puller

    @property
    def is_ours(self) -> bool:
        """Whether this process still has the message: a late response would be taken for one of its successor."""
        return self.lease.left(self._puller.now()) > 0 and self._puller.is_connected

    async def acknowledge(self) -> None:
        """Remove the message from the stream, if this process still has it."""
        if self.is_ours:
            await self._send(self._message.ack())

    async def give_back(self, seconds: float) -> None:
        """Let the server deliver the message again in `seconds`, if this process still has it."""
        if self.is_ours:
            await self._send(self._message.nak(delay=max(seconds, 0.001)))

    async def hold(self, seconds: float) -> None:
        """Keep the message for `seconds` from now, if this process still has it."""
        now = self._puller.now()
        if self.is_ours and self.lease.left(now) < seconds * 2 / 3:
            await self._send(self._message.in_progress())
            self.lease = Lease.given(now, seconds)

    async def _send(self, response: Awaitable[None]) -> None:
        try:
            await response
        except NatsError as error:
            # It is delivered again when its time is over.
            _log.debug("a message of NATS was not responded to: %s", type(error).__name__)


@attrs.define
class _Request:
    sent: Now
    left: int


class Puller:
    """Asks for as many messages as there are free places, and runs a task for each."""

    def __init__(
        self,
        connection: Connection,
        clock: Clock,
        handle: Callable[[Delivery], Awaitable[None]],
        *,
        consumer: tuple[str, str],
        places: int,
        ack_wait: float,
    ) -> None:
        """Create it; nothing is asked for.

        Args:
            connection: to NATS.
            clock: the source of time.
            handle: is called with each message. It decides what the server does with it.
            consumer: the names of the stream and the consumer.
            places: the most messages at a time.
            ack_wait: seconds for which the server leaves a message to a process.
        """
        self._connection = connection
        self._clock = clock
        self._handle = handle
        self._consumer = consumer
        self._places = places
        self._ack_wait = ack_wait
        # The time of a message is counted from the request for it, which must not have waited for most of that time.
        self._request_lasts = min(REQUEST_LASTS, ack_wait / 4)
        self._requests: deque[_Request] = deque()
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._woken = asyncio.Event()
        self._reconnects = 0
        self._uncertain_until = 0.0
        self._is_stopping = False

    @property
    def is_connected(self) -> bool:
        """Whether the client of NATS is connected, as far as it knows."""
        return self._connection.is_connected

    def now(self) -> Now:
        """Return the present moment on both clocks."""
        return Now(self._clock.monotonic(), self._clock.now())

    async def run(self, close_timeout: float) -> None:
        """Receive messages until this is cancelled. Then wait `close_timeout` seconds for those that are handled."""
        holding = create_task(self._hold_for_ever())
        subscription: Subscription | None = None
        try:
            self._reconnects = self._connection.reconnects
            inbox = self._connection.client.new_inbox()
            subscription = await self._connection.client.subscribe(inbox, cb=self._receive)
            while True:
                await self._ask(inbox)
                await self._wait()
        finally:
            self._is_stopping = True
            try:
                if subscription is not None and not self._connection.client.is_closed:
                    await subscription.unsubscribe()
            finally:
                await self._drain(close_timeout)
                holding.cancel()
                await asyncio.wait({holding})

    async def _wait(self) -> None:
        """Wait until a place is free, a request is over, or some time has passed."""
        timer = create_task(self._clock.sleep(LOOK_EVERY))
        woken = create_task(self._woken.wait())
        try:
            await asyncio.wait({timer, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            woken.cancel()
        self._woken.clear()

    async def _ask(self, inbox: str) -> None:
        """Ask for messages, if many places are free for which none were asked for."""
        if not self.is_connected:
            self._requests.clear()
            return
        now = self.now()
        self._note_reconnect(now)
        while self._requests and (self._requests[0].left <= 0 or self._is_over(self._requests[0], now)):
            self._requests.popleft()
        free = self._places - len(self._running) - sum(request.left for request in self._requests)
        if free < max(1, self._places // 4) and (free < 1 or self._requests):
            return
        stream, consumer = self._consumer
        subject = f"{self._connection.api_prefix}.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        request = {"batch": free, "expires": int(self._request_lasts * 1e9)}
        self._requests.append(_Request(now, free))
        try:
            await self._connection.client.publish(subject, json.dumps(request).encode(), reply=inbox)
        except NatsError:
            self._requests.pop()  # it is not connected any more, and asks again later

    def _note_reconnect(self, now: Now) -> None:
        reconnects = self._connection.reconnects
        if reconnects != self._reconnects:
            self._reconnects = reconnects
            self._requests.clear()  # the server has forgotten them
            self._uncertain_until = now.monotonic + self._ack_wait

    def _is_over(self, request: _Request, now: Now) -> bool:
        """Return whether a request has ended, also if the server has not said so."""
        return now.monotonic >= request.sent.monotonic + 2 * self._request_lasts

    async def _receive(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is not None:
            self._take_status(status)
            return
        now = self.now()
        self._note_reconnect(now)
        request = next((request for request in self._requests if request.left > 0), None)
        if request is None:
            # The message is of a request that was forgotten: when it was delivered is not known. It comes again.
            return
        request.left -= 1
        is_certain = now.monotonic >= self._uncertain_until
        delivery = Delivery(message, Lease.given(request.sent, self._ack_wait), self, is_certain=is_certain)
        if self._is_stopping:
            await delivery.give_back(0)
            return
        task = create_task(self._run(delivery))
        self._running[task] = delivery
        task.add_done_callback(self._ended)

    def _take_status(self, status: str) -> None:
        """Take in that a request has ended: after its time (408), or because the consumer has changed (409, 503)."""
        now = self.now()
        if status != "408":
            self._requests.clear()
            self._connection.is_incomplete = True
            return
        lasts = self._request_lasts * 0.9
        ended = [request for request in self._requests if now.monotonic >= request.sent.monotonic + lasts]
        for request in ended:
            self._requests.remove(request)
        self._woken.set()

    async def _run(self, delivery: Delivery) -> None:
        try:
            await self._handle(delivery)
        except StoreError as error:
            # It is logged once for each outage. The message is delivered again when its time is over.
            _log.debug("a message of NATS was left: %s", error)
        except Exception as error:  # noqa: BLE001 - a mistake in this package, or in a store of the caller's own
            _log.error("a sign-in was left by %s", type(error).__name__)
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a sign-in of a DeviceFlowQueue was left because of a mistake", "exception": error}
            )

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        self._woken.set()

    async def _hold_for_ever(self) -> None:
        """Hold the messages that are handled, so that the server does not deliver them to another process."""
        while True:
            await self._clock.sleep(min(LOOK_EVERY, self._ack_wait / 6))
            for delivery in list(self._running.values()):
                await delivery.hold(self._ack_wait)

    async def _drain(self, seconds: float) -> None:
        running = {task for task in self._running if task is not asyncio.current_task()}
        try:
            await wait_for_all(running, self._clock, seconds)
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
