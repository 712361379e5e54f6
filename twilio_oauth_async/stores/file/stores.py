"""Stores in a file: for a command, a bot, or the processes of one machine. Needs the extra ``file``.

A call rewrites the whole file. That is right for some hundred tokens; for more, use Redis.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import TypeVar

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.protocol import codec
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.base import LOCK_TIMEOUT, StoredFlow, StoredToken
from twilio_oauth_async.stores.file.encryption import Encryption
from twilio_oauth_async.stores.file.format import Entries
from twilio_oauth_async.stores.file.keyring import Keyring
from twilio_oauth_async.stores.file.state_file import StateFile
from twilio_oauth_async.stores.keys import check_aware, check_key
from twilio_oauth_async.stores.leases import check_lease, is_leased, with_lease
from twilio_oauth_async.stores.serialization import to_text

__all__ = ["FileFlowStore", "FileTokenStore", "Keyring"]

T = TypeVar("T")


class FileTokenStore(HoldsSecrets):
    """A `TokenStore` in one file of mode 0600 in a folder of mode 0700, shared by the processes of one user.

    The folder is made where it is missing. A folder or file that others may enter or read, that belongs to somebody
    else or is a symbolic link is refused (`StoreError`), never repaired: what was open may have been read. A file that
    is empty, damaged or of a later format is renamed and logged, and nothing is stored then. A file that no key opens
    stays where it is (`StoreError`), and so does one in plain text where encryption is asked for: see `encrypt`.

    On Windows, which has no modes and owners of this sort, privacy is left to the folder: the default one is in the
    user's profile.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        encryption: Encryption | None = None,
        lock_timeout: float = LOCK_TIMEOUT,
    ) -> None:
        """Nothing on the disk is touched here.

        Args:
            path: None: ``tokens.json`` in the platform's state folder for this package.
            encryption: a Fernet key; several, of which the first encrypts and all decrypt; or `Keyring()`, which keeps
                the key in the system's keyring. None: plain text.
            lock_timeout: seconds that `lock` waits for another holder.

        Raises:
            ConfigurationError: a path that cannot be a file, or a key that cannot be one.
            ModuleNotFoundError: an extra is not installed; the message names it.
        """
        self._state = StateFile(path, name="tokens.json", kind="tokens", encryption=encryption)
        self._lock_timeout = lock_timeout

    async def load(self, key: str) -> StoredToken | None:
        """As `TokenStore.load`."""
        check_key(key)
        return await _load(self._state, key, StoredToken)

    async def save(self, key: str, stored: StoredToken) -> None:
        """As `TokenStore.save`; on return it is on the disk."""
        check_key(key)
        entry = _entry(stored)

        def change(entries: Entries) -> bool:
            present = _read(entries.get(key), StoredToken)
            if present is not None and present.generation > stored.generation:
                raise StoreConflict(f"generation {present.generation} is there, {stored.generation} was to be saved")
            entries[key] = entry
            return True

        await self._state.update(change)

    async def delete(self, key: str) -> None:
        """As `TokenStore.delete`."""
        check_key(key)
        await _delete(self._state, key)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """As `TokenStore.lock`, among all processes that use this file; the death of the holder releases it.

        Other keys, and loading and saving under this one, go on meanwhile.
        """
        check_key(key)
        return self._state.lock(key, self._lock_timeout)

    async def encrypt(self) -> None:
        """Encrypt the file anew with the first key: after a rotation, or to take over a file that is in plain text.

        Raises:
            ConfigurationError: the store was made without encryption.
            StoreError: the file could not be read or written.
        """
        await self._state.seal_again()

    def __repr__(self) -> str:
        return f"FileTokenStore({str(self._state.path)!r})"


class FileFlowStore(HoldsSecrets):
    """A `FlowStore` in one file, private in the way of `FileTokenStore`."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        encryption: Encryption | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing on the disk is touched here.

        Args:
            path: None: ``flows.json`` in the platform's state folder for this package.
            encryption: as of `FileTokenStore`.
            clock: tells when a lease has run out; None: the machine's own.

        Raises:
            ConfigurationError: a path that cannot be a file, or a key that cannot be one.
            ModuleNotFoundError: an extra is not installed; the message names it.
        """
        self._state = StateFile(path, name="flows.json", kind="flows", encryption=encryption)
        self._clock = clock or SystemClock()

    async def save(self, flow: StoredFlow) -> None:
        """As `FlowStore.save`; on return it is on the disk."""
        check_key(flow.id, "id")
        entry = _entry(flow)

        def change(entries: Entries) -> bool:
            check_lease(_read(entries.get(flow.id), StoredFlow), flow, self._clock.now())
            entries[flow.id] = entry
            return True

        await self._state.update(change)

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - the protocol's word
        """As `FlowStore.load`."""
        check_key(id, "id")
        return await _load(self._state, id, StoredFlow)

    async def list_due(self) -> Sequence[StoredFlow]:
        """As `FlowStore.list_due`."""
        now = self._clock.now()
        flows = [await _found(self._state, id_, entry, StoredFlow) for id_, entry in (await self._state.read()).items()]
        return [flow for flow in flows if flow is not None and not is_leased(flow, now)]

    async def claim(self, id: str, owner: str, until: datetime) -> bool:  # noqa: A002
        """As `FlowStore.claim`."""
        check_key(id, "id")
        check_key(owner, "owner")
        check_aware(until, "until")
        got = False

        def change(entries: Entries) -> bool:
            nonlocal got
            flow = with_lease(_read(entries.get(id), StoredFlow), owner, until, self._clock.now())
            if flow is not None:
                entries[id] = _entry(flow)
                got = True
            return got

        await self._state.update(change)
        return got

    async def delete(self, id: str) -> None:  # noqa: A002
        """As `FlowStore.delete`."""
        check_key(id, "id")
        await _delete(self._state, id)

    async def encrypt(self) -> None:
        """As `FileTokenStore.encrypt`."""
        await self._state.seal_again()

    def __repr__(self) -> str:
        return f"FileFlowStore({str(self._state.path)!r})"


def _entry(value: StoredToken | StoredFlow) -> object:
    """`value` as plain values that are sure to become text; raises as `to_text`."""
    to_text(value)
    return codec.unstructure(value)


def _read(entry: object, kind: type[T]) -> T | None:
    """The value of an entry; None where there is none, or it is damaged."""
    if entry is None:
        return None
    try:
        return codec.structure(entry, kind)
    except codec.Malformed:
        return None


async def _load(state: StateFile, key: str, kind: type[T]) -> T | None:
    entry = (await state.read()).get(key)
    return None if entry is None else await _found(state, key, entry, kind)


async def _found(state: StateFile, key: str, entry: object, kind: type[T]) -> T | None:
    value = _read(entry, kind)
    if value is None:
        await state.drop_unreadable(key, lambda now_there: _read(now_there, kind) is None)
    return value


async def _delete(state: StateFile, key: str) -> None:
    if key in await state.read():  # where there is nothing, no folder and no lock are made either
        await state.update(lambda entries: entries.pop(key, None) is not None)
