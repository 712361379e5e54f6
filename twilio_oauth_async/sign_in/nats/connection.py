"""`QueueConnection`: the connection to NATS of a queue. It logs an outage once, and not each call that fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.sign_in.store_calls import StoreCalls
from twilio_oauth_async.stores.nats.connection import Connection

if TYPE_CHECKING:
    from nats.js import JetStreamContext

T = TypeVar("T")


class QueueConnection(Connection):
    """A connection whose outages are logged and counted, as those of the stores of a `DeviceFlowPool`."""

    def __init__(self, js: JetStreamContext, clock: Clock) -> None:
        """Create it; raises as `Connection`.

        Args:
            js: is lent.
            clock: the source of time.
        """
        super().__init__(js, clock)
        self.calls: StoreCalls = StoreCalls("connection to NATS")

    async def of(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call `call` and await its result; raises as `Connection.of`."""
        return await self.calls.of(super().of(call))
