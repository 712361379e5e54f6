"""`Bucket`: values under keys in one bucket of JetStream, which is created when it is first used."""

# pyright: reportUnknownMemberType=false
# nats-py declares only some of its types.

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import attrs

from twilio_oauth_async.errors import ConfigurationError, StoreConflict, StoreError
from twilio_oauth_async.protocol.argument_checks import check_count
from twilio_oauth_async.stores.encryption import Cipher
from twilio_oauth_async.stores.nats.connection import Connection, MissingError

T = TypeVar("T")

READ_TIMEOUT = 5.0
"""Seconds for which the server may be silent while it lists values."""

WATCH_TIMEOUT = 2.0
"""Seconds between two looks whether a watch still works."""

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@attrs.frozen
class Entry:
    """A value in a bucket."""

    text: str | None = attrs.field(repr=False)
    """None: there is none, or it was deleted."""
    revision: int
    """Which write it was; 0: there was none. The next write names it, and fails if there was another one since."""


class Bucket:
    """One bucket. Every method raises `StoreError` if NATS fails."""

    def __init__(
        self, connection: Connection, name: str, cipher: Cipher, *, replicas: int, lifetime: float | None
    ) -> None:
        """Create it; nothing is sent.

        Args:
            connection: to NATS.
            name: of the bucket.
            cipher: encrypts the values.
            replicas: when the bucket is created.
            lifetime: seconds from the last write of a key after which the server deletes it, when the bucket is
                created; None: never.

        Raises:
            ConfigurationError: `name` cannot be the name of a bucket, or `replicas` is less than one.
        """
        if _NAME.fullmatch(name) is None:
            raise ConfigurationError("bucket must have 1 to 64 characters: letters, digits, - and _")
        check_count("replicas", replicas, 1)
        self.name = name
        self._connection = connection
        self._cipher = cipher
        self._replicas = replicas
        self._lifetime = lifetime

    async def read(self, key: str) -> Entry:
        """Return the value of `key`; raises `StoreError` also if it cannot be decrypted."""
        message = await self._of(lambda: self._connection.find_message(self._stream, self._subject(key)))
        if message is None:
            return Entry(None, 0)
        assert message.seq is not None, "each message of a stream has one"
        if (message.headers or {}).get(_OPERATION) is not None:
            return Entry(None, message.seq)
        return Entry(self._cipher.unseal([key], message.data or b""), message.seq)

    async def write(self, key: str, text: str, revision: int) -> int:
        """Replace the value of `key`, and return the new revision. It can be repeated after a `StoreError`.

        Raises:
            StoreConflict: `revision` is not the one that is stored.
        """
        try:
            return await self._publish(key, self._cipher.seal([key], text), {_EXPECTED: str(revision)})
        except StoreConflict:
            # A call before this one, which seemed to fail, may have stored it.
            present = await self.read(key)
            if present.text == text:
                return present.revision
            raise

    async def delete(self, key: str, revision: int) -> None:
        """Delete the value of `key`; raises `StoreConflict` as `write`."""
        await self._publish(key, b"", {_OPERATION: "DEL", _EXPECTED: str(revision)})

    async def purge(self, key: str) -> None:
        """Remove the values of `key`, which may end with ``*``, and all traces of them."""
        js, subject = self._connection.js, self._subject(key)
        await self._of(lambda: self._connection.of(lambda: js.purge_stream(self._stream, subject=subject)))

    async def values(self, key: str) -> AsyncGenerator[tuple[str, str]]:
        """Yield all keys that match `key`, which may contain ``*``, with their values, in any order."""
        async for each, value in self._entries(key):
            if value:
                yield each, self._cipher.unseal([each], value)

    async def changes(self, key: str) -> AsyncGenerator[tuple[str, str]]:
        """Yield each value that is written from now on to a key that matches `key`; raises if changes may be missed."""
        from nats.errors import TimeoutError as NatsTimeoutError
        from nats.js.kv import KeyValue

        connection = self._connection
        bucket = await self._of(lambda: connection.of(lambda: connection.js.key_value(self.name)))
        reconnects = connection.reconnects
        watcher: Any = await connection.of(lambda: bucket.watch(key, ignore_deletes=True, include_history=False))
        is_new = False
        try:
            while True:
                try:
                    update = await watcher.updates(WATCH_TIMEOUT)
                except NatsTimeoutError:
                    # The server deletes the consumer of a client that was away: then nothing would arrive any more.
                    if connection.reconnects != reconnects or not connection.is_connected:
                        raise StoreError("the watch on the bucket was interrupted") from None
                    continue
                if update is None:
                    is_new = True  # all values that were there have been received
                elif is_new and isinstance(update, KeyValue.Entry):
                    yield update.key, self._cipher.unseal([update.key], update.value or b"")
        finally:
            await watcher.stop()

    async def _entries(self, key: str) -> AsyncGenerator[tuple[str, bytes]]:
        from nats.js.kv import KeyValue

        connection = self._connection
        bucket = await self._of(lambda: connection.of(lambda: connection.js.key_value(self.name)))
        watcher: Any = await connection.of(lambda: bucket.watch(key, ignore_deletes=True))
        try:
            # None comes after all values that were there.
            while (update := await connection.of(lambda: watcher.updates(READ_TIMEOUT))) is not None:
                if isinstance(update, KeyValue.Entry):
                    yield update.key, update.value or b""
        finally:
            await watcher.stop()

    async def _publish(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        js, subject = self._connection.js, self._subject(key)
        stored = await self._of(lambda: self._connection.of(lambda: js.publish(subject, value, headers=headers)))
        return stored.seq

    async def _of(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call `call`, and once more after the bucket was created where it does not exist."""
        try:
            return await call()
        except MissingError:
            await self._create()
        return await call()

    async def _create(self) -> None:
        from nats.js.api import KeyValueConfig, StorageType

        js = self._connection.js
        config = KeyValueConfig(
            bucket=self.name,
            description="of twilio-oauth-async",
            ttl=self._lifetime,
            storage=StorageType.FILE,
            replicas=self._replicas,
        )
        failed: StoreError | None = None
        try:
            await self._connection.of(lambda: js.create_key_value(config))
        except StoreError as error:
            failed = error
        # Another process may have created it in the meantime.
        if await self._connection.find(lambda: js.stream_info(self._stream)) is None:
            raise failed or StoreError(f"the bucket {self.name} was deleted at once")

    @property
    def _stream(self) -> str:
        return f"KV_{self.name}"

    def _subject(self, key: str) -> str:
        return f"$KV.{self.name}.{key}"
