"""Looking into the body of an httpx answer without taking it from the caller."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

from twilio_oauth_async.adapters.httpx_versions import TRANSPORT_ERRORS, AsyncByteStream

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class PeekedStream(AsyncByteStream):
    """A stream whose beginning has been read, and is given again to whoever reads it now."""

    def __init__(self, stream: AsyncByteStream) -> None:
        self._stream = stream
        self._rest: AsyncIterator[bytes] = aiter(stream)
        self._head: list[bytes] = []
        self._is_whole = False
        self._failure: Exception | None = None

    @property
    def elapsed(self) -> timedelta | None:
        """How long the answer took; ``Response.elapsed`` of httpx2 asks its stream, once that is closed."""
        elapsed: timedelta | None = getattr(self._stream, "elapsed", None)
        return elapsed

    async def peek(self, limit: int) -> bytes | None:
        """The whole of it, as it came over the wire.

        Returns:
            None where it is longer than `limit` bytes, or breaks off.
        """
        try:
            while sum(map(len, self._head)) <= limit:
                self._head.append(await anext(self._rest))
        except StopAsyncIteration:
            self._is_whole = True
            # The connection is free before the manager asks for another one.
            await self._stream.aclose()
            return b"".join(self._head)
        except TRANSPORT_ERRORS as error:
            # The caller meets it when he reads, as he would have without us.
            self._failure = error
        return None

    async def drop_the_rest(self) -> None:
        """Close it; what it then gives is short: all of it where that has been read, else nothing."""
        if not self._is_whole:
            await self.aclose()
            self._head, self._is_whole, self._failure = [], True, None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._head:
            yield chunk
        if self._failure is not None:
            raise self._failure
        if not self._is_whole:
            async for chunk in self._rest:
                yield chunk

    async def aclose(self) -> None:
        """Close it, read or not."""
        # Not every iterator is a generator, and only those have to be told.
        aclose: Callable[[], Awaitable[None]] | None = getattr(self._rest, "aclose", None)
        if aclose is not None:
            await aclose()
        await self._stream.aclose()


def decoded(body: bytes, encoding: str, limit: int) -> bytes | None:
    """`body` without its ``Content-Encoding``.

    Returns:
        None where it is longer than `limit` bytes, damaged, or encoded in a way whose decoder cannot be told to stop.
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
