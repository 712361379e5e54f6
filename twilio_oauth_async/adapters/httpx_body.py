"""Reading the start of an httpx response body so that the caller can still read all of it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from twilio_oauth_async.adapters.httpx_versions import TRANSPORT_ERRORS, AsyncByteStream
from twilio_oauth_async.tasks import create_task

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class PeekedStream(AsyncByteStream):
    """Wraps a response stream: what `peek` has read is yielded again when the stream is iterated."""

    def __init__(self, stream: AsyncByteStream) -> None:
        self._stream = stream
        self._rest: AsyncIterator[bytes] = aiter(stream)
        self._head: list[bytes] = []
        self._pending: asyncio.Task[bytes | None] | None = None
        """The read that was late."""
        self._is_complete = False
        self._failure: Exception | None = None

    @property
    def elapsed(self) -> timedelta | None:
        """Time until the end of the response. ``Response.elapsed`` of httpx2 reads it from the closed stream."""
        elapsed: timedelta | None = getattr(self._stream, "elapsed", None)
        return elapsed

    async def peek(self, limit: int, timeout: float) -> bytes | None:
        """Read and return the whole body, not decoded.

        Returns:
            None if it is longer than `limit` bytes, has not arrived within `timeout` seconds, or the connection breaks.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + timeout
        try:
            while sum(map(len, self._head)) <= limit:
                # To cancel a read would close the connection: a late one goes on, and the caller gets its bytes.
                self._pending = create_task(self._read())
                done, _ = await asyncio.wait({self._pending}, timeout=max(0.0, ends_at - loop.time()))
                if not done:
                    return None
                chunk = self._take_pending()
                if chunk is None:
                    self._is_complete = True
                    # Release the connection before the manager needs one.
                    await self._stream.aclose()
                    return b"".join(self._head)
                self._head.append(chunk)
        except asyncio.CancelledError:
            await self._cancel_pending()
            raise
        except TRANSPORT_ERRORS as error:
            # Raised later, when the caller reads the body, as without this wrapper.
            self._failure = error
        return None

    async def _read(self) -> bytes | None:
        return await anext(self._rest, None)

    def _take_pending(self) -> bytes | None:
        assert self._pending is not None, "a read has ended"
        ended, self._pending = self._pending, None
        return ended.result()

    async def _cancel_pending(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
            if not pending.cancelled():
                pending.exception()  # it is of no interest any more

    async def discard_rest(self) -> None:
        """Close the stream. It then yields the body if `peek` has read all of it, else nothing."""
        if not self._is_complete:
            await self.aclose()
            self._head, self._is_complete, self._failure = [], True, None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._head:
            yield chunk
        if self._failure is not None:
            raise self._failure
        if self._pending is not None:
            await asyncio.wait({self._pending})
            late = self._take_pending()
            if late is None:
                self._is_complete = True
            else:
                yield late
        if not self._is_complete:
            async for chunk in self._rest:
                yield chunk

    async def aclose(self) -> None:
        """Close the stream, whether it was read or not."""
        await self._cancel_pending()
        # Only generators have `aclose`; other iterators need no closing.
        aclose: Callable[[], Awaitable[None]] | None = getattr(self._rest, "aclose", None)
        if aclose is not None:
            await aclose()
        await self._stream.aclose()


def decode(body: bytes, encoding: str, limit: int) -> bytes | None:
    """Return `body` decoded from its ``Content-Encoding``.

    Returns:
        None if the result is longer than `limit` bytes, the body is damaged, or the encoding is not supported. Only
        decoders that can stop at a limit are used.
    """
    if encoding.strip().lower() in {"", "identity"}:
        return body if len(body) <= limit else None
    if encoding.strip().lower() not in {"gzip", "x-gzip", "deflate"}:
        return None
    decoder = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        plain = decoder.decompress(body, limit + 1)
    except zlib.error:
        return None
    return plain if len(plain) <= limit else None
