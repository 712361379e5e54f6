"""`Connection`: a connection to NATS that was lent, and its errors as `StoreError`. The stores and the queue use it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.argument_checks import check_methods, check_seconds

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.api import RawStreamMsg

T = TypeVar("T")

CALL_TIMEOUT = 5.0
"""Default number of seconds for one request."""

CONNECT_WAIT = 2.0
"""Seconds for which a call waits until the client of NATS has connected again."""

_CONNECT_PAUSE = 0.05

# Error codes of JetStream (errors.json of nats-server).
_WRONG_LAST_SEQUENCE = (10071, 10164)
_NO_MESSAGE = 10037
_NO_STREAM = 10059
_NO_CONSUMER = 10014
_STORE_FAILED = 10077

_METHODS = ("publish", "get_msg", "subscribe", "stream_info", "add_stream", "consumer_info", "add_consumer")


class MissingError(StoreError):
    """The stream, the consumer or the bucket does not exist, or JetStream is not available."""


class FullError(StoreError):
    """A limit of the stream or the bucket is reached."""


class Connection:
    """What is done with the `JetStreamContext` of the caller. It is neither opened nor closed."""

    def __init__(self, js: JetStreamContext, clock: Clock, *, timeout: float = CALL_TIMEOUT) -> None:
        """Create it.

        Args:
            js: is lent. Its credentials, TLS and limits are those of the caller.
            clock: the source of time.
            timeout: seconds that one request may take, with the wait for a connection.

        Raises:
            ConfigurationError: `js` is not a `JetStreamContext`, or `timeout` is not a positive number.
            MissingExtraError: the extra ``nats`` is not installed.
        """
        with from_extra("nats", "nats"):
            import nats  # noqa: F401  # pyright: ignore[reportUnusedImport]
        check_seconds("timeout", timeout)
        check_methods(
            "js", js, _METHODS, "the JetStreamContext of a NATS client, for example (await connect()).jetstream()"
        )
        self.js = js
        self.is_incomplete: bool = False
        """A stream, a consumer or the bucket was missing in some call."""
        self._clock = clock
        self._timeout = timeout

    @property
    def client(self) -> Client:
        """The client of NATS. It has no public name in a `JetStreamContext`."""
        return self.js._nc  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    @property
    def api_prefix(self) -> str:
        """The prefix of the subjects of the JetStream API, which depends on the domain."""
        return self.js._prefix  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    @property
    def is_connected(self) -> bool:
        """Whether the client is connected, as far as it knows."""
        return bool(self.client.is_connected)

    @property
    def reconnects(self) -> int:
        """How often the client has connected again."""
        return self.client.stats["reconnects"]

    async def of(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call `call` and await its result.

        Raises:
            StoreConflict: a compare-and-set failed.
            MissingError: a stream, a consumer or the bucket does not exist.
            FullError: a limit is reached.
            StoreError: NATS cannot be reached, or has refused.
        """
        return await self._translated(call)

    async def find(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """Like `of`, for a stream, a consumer, a bucket or a message that may not exist: then it returns None."""
        import nats.js.errors

        async def find() -> T | None:
            try:
                return await call()
            except nats.js.errors.NotFoundError:
                return None

        return await self.of(find)

    async def find_message(self, stream: str, subject: str) -> RawStreamMsg | None:
        """Return the last message on `subject`; None if there is none. Raises as `of`."""
        import nats.js.errors

        async def find() -> RawStreamMsg | None:
            try:
                # From the leader of the stream: a replica may be behind, and then a poll would be sent too early.
                return await self.js.get_msg(stream, subject=subject)
            except nats.js.errors.NotFoundError as error:
                if error.err_code == _NO_MESSAGE:
                    return None
                raise

        return await self.of(find)

    async def _translated(self, call: Callable[[], Awaitable[T]]) -> T:
        import nats.errors

        # The client keeps what is published while it is not connected, and sends it later. A caller that was given an
        # error would not expect that.
        failed: StoreError
        try:
            async with asyncio.timeout(self._timeout):
                await self._wait_until_connected()
                return await call()
        except TimeoutError:
            failed = StoreError("NATS did not respond in time")
        except nats.errors.Error as error:
            failed = _store_error(error)
        except OSError as error:
            failed = StoreError(f"NATS cannot be reached: {type(error).__name__}")
        if isinstance(failed, MissingError):
            self.is_incomplete = True
        raise failed

    async def _wait_until_connected(self) -> None:
        until = self._clock.monotonic() + CONNECT_WAIT
        while not self.is_connected:
            if self.client.is_closed:
                raise StoreError("the connection to NATS is closed")
            if self._clock.monotonic() >= until:
                raise StoreError("NATS cannot be reached: the client is not connected")
            await self._clock.sleep(_CONNECT_PAUSE)


def _store_error(error: Exception) -> StoreError:
    """Return the error for callers. A text of the server has no secret: it names streams and limits."""
    import nats.errors
    import nats.js.errors

    text: Any = getattr(error, "description", None) or type(error).__name__
    if isinstance(error, nats.js.errors.APIError):
        if error.err_code in _WRONG_LAST_SEQUENCE or isinstance(error, nats.js.errors.KeyWrongLastSequenceError):
            return StoreConflict("the value was changed by another process")
        if error.err_code in (_NO_STREAM, _NO_CONSUMER):
            return MissingError(f"a stream, consumer or bucket does not exist on the server of NATS: {text}")
        if error.err_code == _STORE_FAILED:
            return FullError(f"NATS has no room: {text}")
    if isinstance(
        error,
        nats.js.errors.NoStreamResponseError | nats.errors.NoRespondersError | nats.js.errors.BucketNotFoundError,
    ):
        return MissingError("a stream or bucket does not exist on the server of NATS: no stream has responded")
    if isinstance(error, nats.js.errors.ServiceUnavailableError):
        return StoreError(f"JetStream is not available: {text}")
    if isinstance(error, nats.errors.TimeoutError):
        return StoreError("NATS did not respond in time")
    return StoreError(f"NATS has refused a request: {text}")
