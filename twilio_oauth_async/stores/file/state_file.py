"""Entries under keys in one private file, shared by tasks and processes; what `FileTokenStore` and its sibling are on.

Two kinds of lock stand beside the file. ``<file>.lock`` guards one reading and rewriting, some milliseconds; it is
taken inside of a single call and never while another one is waited for. ``<file>.<digest>.lock`` belongs to one key
and is held by a caller for as long as a refresh takes. Were they one, a tenant whose refresh hangs for 30 s would keep
all others from loading and saving.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.cancellation import finish_in_thread
from twilio_oauth_async.stores.file import format as file_format
from twilio_oauth_async.stores.file import locks as file_locks
from twilio_oauth_async.stores.file.encryption import Encryption, Sealer, sealer_of
from twilio_oauth_async.stores.file.format import Entries, Sealed, Unreadable
from twilio_oauth_async.stores.file.private_file import PosixFile, PrivateFile
from twilio_oauth_async.stores.file.windows_file import ProfileFile
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.keys import digest

REWRITE_TIMEOUT = 15.0
"""Seconds to wait for the others who rewrite the file; each of them takes some milliseconds."""

_log = logging.getLogger(__name__)


@attrs.frozen
class _Content(HoldsSecrets):
    """What the file has."""

    entries: Entries = attrs.field(factory=dict[str, object], repr=False)
    data: bytes = attrs.field(default=b"", repr=False)
    key_id: str | None = None


class StateFile:
    """The file, its two kinds of lock, and its encryption."""

    def __init__(
        self, path: str | os.PathLike[str] | None, *, name: str, kind: str, encryption: Encryption | None
    ) -> None:
        """Nothing on the disk is touched here.

        Args:
            path: None: `name` in the state folder that the platform gives this package.
            name: of the file, where no path is given.
            kind: what the entries are; a file of another kind is refused.
            encryption: None: plain text.

        Raises:
            ConfigurationError: a path that cannot be a file, or a key that cannot be one.
            ModuleNotFoundError: an extra is not installed.
        """
        self._file = private_file(_default_folder() / name if path is None else _absolute(path))
        self._kind = kind
        self._sealer: Sealer | None = None if encryption is None else sealer_of(encryption)
        self._turns = KeyedLocks()

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    async def read(self) -> Entries:
        """All entries; none where there is no file. One that cannot be read is set aside.

        Raises:
            StoreError: the file must not, or cannot, be opened.
        """
        if not self._file.reads_disturb:
            # Without a lock: a rename gives a reader the old or the new content, never a part of one.
            with contextlib.suppress(Unreadable):
                return (await self._load()).entries
        async with self._turn():
            return (await self._load_or_set_aside()).entries

    async def update(self, change: Callable[[Entries], bool]) -> None:
        """Read, let `change` alter the entries in place, and write; atomically among all who share the file.

        Where `change` says that it changed nothing, or raises, nothing is written. A cancelled caller gets the
        cancellation before the write has begun or once it is done.

        Raises:
            StoreError: the file must not, or cannot, be opened or written; the old content stays.
        """
        async with self._turn():
            present = await self._load_or_set_aside()
            if change(present.entries):
                await self._write(present)

    async def drop_unreadable(self, key: str, is_unreadable: Callable[[object], bool]) -> None:
        """Take the entry under `key` out where it is unreadable, after the whole file has been copied aside.

        The other entries are good, and somebody else's.
        """
        async with self._turn():
            present = await self._load_or_set_aside()
            if key not in present.entries or not is_unreadable(present.entries[key]):
                return  # somebody else was here
            copy = await finish_in_thread(functools.partial(self._file.keep_copy, present.data))
            _log.warning("an entry of %s is damaged and is dropped; the file as it was is now %s", self.path, copy)
            del present.entries[key]
            await self._write(present)

    async def seal_again(self) -> None:
        """Write the file anew with the first key, also where it was in plain text.

        Raises:
            ConfigurationError: the store has no encryption.
            StoreError: as `update`.
        """
        if self._sealer is None:
            raise ConfigurationError("the store was made without encryption=")
        async with self._turn():
            present = await self._load_or_set_aside(plain_too=True)
            if present.data:
                await self._write(present)

    def lock(self, key: str, timeout: float) -> AbstractAsyncContextManager[None]:
        """Hold the lock of one key, among tasks and processes.

        Raises:
            StoreError: it was not free for `timeout` seconds, or the file system failed.
        """
        return self._hold(f".{digest(key)}.lock", timeout, remove=True)

    def _turn(self) -> AbstractAsyncContextManager[None]:
        return self._hold(".lock", REWRITE_TIMEOUT, remove=False)

    @contextlib.asynccontextmanager
    async def _hold(self, suffix: str, timeout: float, *, remove: bool) -> AsyncGenerator[None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        async with self._turns.hold(suffix, timeout):
            left = max(0.0, deadline - loop.time())
            async with file_locks.hold(self._file, suffix, left, remove=remove):
                yield

    async def _load_or_set_aside(self, *, plain_too: bool = False) -> _Content:
        """As `_load`, for who has the turn."""
        try:
            return await self._load(plain_too=plain_too)
        except Unreadable as error:
            reason = str(error)
        aside = await finish_in_thread(self._file.set_aside)
        _log.warning("%s is %s; it has been renamed to %s, and nothing is stored now", self.path, reason, aside)
        return _Content()

    async def _load(self, *, plain_too: bool = False) -> _Content:
        data = await finish_in_thread(self._file.read)
        if data is None:
            return _Content()
        try:
            return await self._understood(data, plain_too=plain_too)
        except StoreError as error:
            reason = str(error)
        raise StoreError(f"{self.path}: {reason}")

    async def _understood(self, data: bytes, *, plain_too: bool) -> _Content:
        read = await finish_in_thread(functools.partial(file_format.read, data, self._kind))
        if not isinstance(read, Sealed):
            if self._sealer is not None and not plain_too:
                # Whoever can write here but has no key could otherwise make us use a token of theirs.
                raise StoreError("it is not encrypted; to keep what it holds, await the store's encrypt() once")
            return _Content(read, data)
        if self._sealer is None:
            raise StoreError("it is encrypted: give the store encryption=")
        opener = await self._sealer.opener(read.key_id)
        entries = await finish_in_thread(functools.partial(file_format.unseal, read, opener, self._kind))
        return _Content(entries, data, read.key_id)

    async def _write(self, content: _Content) -> None:
        make = functools.partial(file_format.write, content.entries, self._kind)
        if self._sealer is not None:
            key_id, sealer = await self._sealer.sealer(content.key_id)
            make = functools.partial(file_format.seal, content.entries, self._kind, key_id, sealer)
        await finish_in_thread(lambda: self._file.replace(make()))


def _default_folder() -> Path:
    with from_extra("file", "platformdirs"):
        from platformdirs import user_state_path
    return user_state_path("twilio-oauth-async", appauthor=False)


def _absolute(path: str | os.PathLike[str]) -> Path:
    """`path`, whatever the working directory becomes later."""
    given = Path(path)
    absolute: Path | None = None
    if given.name not in {"", ".."} and "\0" not in str(given):
        with contextlib.suppress(RuntimeError):  # nobody knows that user's home
            absolute = given.expanduser().absolute()
    if absolute is None:
        raise ConfigurationError("path: this cannot be a file")
    return absolute


def private_file(path: Path) -> PrivateFile:
    """The file at `path` in the way of this system."""
    if os.open in os.supports_dir_fd and hasattr(os, "geteuid"):
        return PosixFile(path)
    return ProfileFile(path)
