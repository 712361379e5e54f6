"""`Background`: the tasks of an open queue, and the streams, consumers and bucket that they need."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twilio_oauth_async import telemetry
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.sign_in.nats import setup
from twilio_oauth_async.sign_in.nats.names import Names
from twilio_oauth_async.sign_in.nats.pulling import Delivery, Puller
from twilio_oauth_async.sign_in.reporter import MAX_CALLS
from twilio_oauth_async.stores.nats.connection import Connection
from twilio_oauth_async.tasks import create_task

MEASURE_EVERY = 10.0
"""Seconds between two reports of how many sign-ins are pending."""

REPAIR_EVERY = 2.0
"""Seconds between two tries to create a stream, a consumer or a bucket that is missing."""

_log = logging.getLogger(__name__)


class Background:
    """The tasks of one queue."""

    def __init__(self, connection: Connection, names: Names, limits: setup.Limits, clock: Clock) -> None:
        """Create it; nothing is started.

        Args:
            connection: to NATS.
            names: of the streams, the consumers and the bucket.
            limits: with which they are created.
            clock: the source of time.
        """
        self._connection = connection
        self._names = names
        self._limits = limits
        self._clock = clock
        self._ack_wait = limits.ack_wait
        self._tasks: set[asyncio.Task[None]] = set()

    async def ensure(self, *, has_callback: bool) -> None:
        """Create what does not exist on the server; raises as `setup.ensure`."""
        self._ack_wait = await setup.ensure(self._connection, self._names, self._limits, has_callback=has_callback)

    async def repair_for_ever(self, *, has_callback: bool) -> None:
        """Create again what was deleted by hand."""
        while True:
            await self._clock.sleep(REPAIR_EVERY)
            if self._connection.is_incomplete:
                try:
                    await self.ensure(has_callback=has_callback)
                    _log.warning("a part of the queue was missing on the server of NATS, and was created again")
                except (ConfigurationError, StoreError) as error:
                    _log.error("a part of the queue is missing on the server of NATS: %s", error)

    async def pending(self) -> int:
        """Return the number of pending sign-ins in all processes; raises `StoreError`."""
        js, names = self._connection.js, self._names
        info = await self._connection.of(lambda: js.consumer_info(names.flows, names.workers))
        # A message that waits for its next delivery counts as not acknowledged.
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def measure_for_ever(self) -> None:
        """Report the number of pending sign-ins, if metrics are reported."""
        while True:
            if telemetry.observer is not None:
                with contextlib.suppress(StoreError):  # it is logged
                    telemetry.observer.set("twilio_oauth.queue.pending", await self.pending(), {})
            await self._clock.sleep(MEASURE_EVERY)

    async def poll(self, take: Callable[[Delivery], Awaitable[None]], concurrency: int, close_timeout: float) -> None:
        """Receive the messages of pending sign-ins, until this is cancelled or the queue is closed.

        Args:
            take: is called with each message.
            concurrency: messages at a time.
            close_timeout: seconds for those under way at the end.
        """
        consumer = (self._names.flows, self._names.workers)
        await self._watched(self._puller(take, consumer, concurrency).run(close_timeout))

    async def report_ends(self, take: Callable[[Delivery], Awaitable[None]], close_timeout: float) -> None:
        """Receive the messages of ends, until this is cancelled or the queue is closed."""
        consumer = (self._names.ends, self._names.on_end)
        await self._puller(take, consumer, MAX_CALLS).run(close_timeout)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in a task that ends with `stop`."""
        task = create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watched(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` here, but end it with `stop` too."""
        task = self.start(work)
        try:
            await asyncio.wait({task})
        finally:
            if not task.cancelling():  # a second cancellation would end the wait for polls that are under way
                task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    def _puller(self, take: Callable[[Delivery], Awaitable[None]], consumer: tuple[str, str], places: int) -> Puller:
        return Puller(self._connection, self._clock, take, consumer=consumer, places=places, ack_wait=self._ack_wait)
