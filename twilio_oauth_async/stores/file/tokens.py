"""`FileTokenStore`: a `TokenStore` in one SQLite database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import LOCK_TIMEOUT
from twilio_oauth_async.stores.encryption import Cipher
from twilio_oauth_async.stores.file.connection import Kind
from twilio_oauth_async.stores.file.encryption import Encryption
from twilio_oauth_async.stores.file.locks import FileLocks
from twilio_oauth_async.stores.file.store import FileStore, executing, from_number, to_number
from twilio_oauth_async.stores.keys import check_key, token_key
from twilio_oauth_async.stores.records import Key, StoredToken, TokenKey, Tombstone
from twilio_oauth_async.stores.serialization import from_text, to_text

_PAGE = 500
_SELECT = (
    "SELECT number, CAST(value AS BLOB), signed_in_at, expires_at FROM tokens"
    " WHERE user = ? AND client_sid = ? AND server = ?"
)
_SELECT_TOMBSTONE = (
    "SELECT 1 FROM tokens WHERE user = ? AND client_sid = ? AND server = ? AND value IS NULL AND expires_at > ?"
)
_SELECT_USERS = "SELECT DISTINCT user FROM tokens WHERE value IS NOT NULL AND user > ? ORDER BY user LIMIT ?"
_PUT = (
    "INSERT INTO tokens (user, client_sid, server, value, signed_in_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (user, client_sid, server) DO UPDATE SET value = excluded.value,"
    " signed_in_at = excluded.signed_in_at, expires_at = excluded.expires_at"
)
_KIND = Kind(
    name="tokens",
    application_id=0x54774F74,  # "TwOt"
    schema=(
        # A row without a value is a tombstone. The times are microseconds since 1970.
        """CREATE TABLE tokens (
            number INTEGER PRIMARY KEY,
            user TEXT NOT NULL, client_sid TEXT NOT NULL, server TEXT NOT NULL,
            value BLOB, signed_in_at INTEGER, expires_at INTEGER)""",
        "CREATE UNIQUE INDEX tokens_by_key ON tokens (user, client_sid, server)",
        "CREATE INDEX tombstones_by_end ON tokens (expires_at) WHERE value IS NULL",
    ),
)


@attrs.frozen
class _Row:
    """What is stored under a key."""

    record: StoredToken | Tombstone | None = None
    damaged: tuple[int, bytes] | None = attrs.field(default=None, repr=False)
    """Number and value of a row that cannot be parsed."""


class FileTokenStore(FileStore):
    """A `TokenStore` in one SQLite database, for the processes of one user on one machine.

    The database has the mode 0600 and its folder 0700; both are created if missing. A folder or file that other users
    can open, that another user owns, or that is a symbolic link is refused with a `StoreError` and not repaired: it may
    have been read already. The database needs a local disk, not a network file system.

    A database that cannot be read is renamed and logged, and the store is empty then. One of a later version of this
    package is refused and left as it is, and so is one that none of the keys decrypts. In a read-only folder, tokens
    can be loaded but not saved.

    With encryption, the tokens are encrypted; users, client ids and servers are not.

    On Windows, which has no modes and owners of this kind, privacy depends on the access list of the folder. The
    default folder is in the profile of the user.
    """

    _kind = _KIND
    _default_name = "tokens.db"
    _place = ("user", "client_sid", "server")

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        encryption: Encryption | None = None,
        lock_timeout: float = LOCK_TIMEOUT,
        clock: Clock | None = None,
    ) -> None:
        """Create a store; nothing on the disk is touched until it is used.

        Args:
            path: of the database; None: ``tokens.db`` in the platform's folder for the state of applications.
            encryption: a Fernet key; several, of which the first encrypts and all decrypt; or `Keyring()`, which keeps
                the key in the keyring of the system. None: the tokens are not encrypted.
            lock_timeout: seconds that `lock` waits for another holder.
            clock: tells when a tombstone expires; None: the clock of the system.

        Raises:
            ConfigurationError: `path` cannot be a file, or `encryption` is not a key.
            ModuleNotFoundError: an extra is not installed; the message names it.
        """
        super().__init__(path, encryption=encryption, clock=clock)
        self._locks = FileLocks(self._folder, lock_timeout)

    async def load(self, key: Key) -> StoredToken | None:
        """Implement `TokenStore.load`."""
        at = token_key(key)
        row = await self._read(lambda rows, cipher: _select(rows, cipher, at), missing=_Row())
        if row.damaged is not None:
            await self._drop_damaged([row.damaged])
        return row.record if isinstance(row.record, StoredToken) else None

    async def is_deleted(self, key: Key) -> bool:
        """Implement `TokenStore.is_deleted`."""
        parameters = (*attrs.astuple(token_key(key)), to_number(self._clock.now()))
        return await self._read(
            lambda rows, _: rows.execute(_SELECT_TOMBSTONE, parameters).fetchone() is not None, missing=False
        )

    async def save(self, key: Key, stored: StoredToken, *, replaces: str | None) -> None:
        """Implement `TokenStore.save`."""
        at, now = token_key(key), to_number(self._clock.now())

        def save(rows: sqlite3.Connection, cipher: Cipher) -> None:
            value = cipher.seal(attrs.astuple(at), to_text(stored))
            _purge(rows, now)
            rules.check_token(_select(rows, cipher, at).record, stored, replaces)
            _put(rows, at, value, None)

        await self._write(save)

    async def delete(self, key: Key) -> None:
        """Implement `TokenStore.delete`. No part of the token is left in the files of the database."""
        at, now = token_key(key), self._clock.now()

        def delete(rows: sqlite3.Connection, cipher: Cipher) -> None:
            _purge(rows, to_number(now))
            _put(rows, at, None, rules.tombstone(_select(rows, cipher, at).record, now))

        await self._write(delete, erases=True)

    async def users(self) -> AsyncIterator[str]:
        """Implement `TokenStore.users`."""
        page = [""]
        while page:
            page = await self._users_after(page[-1])
            for user in page:
                yield user

    async def erase(self, user: str) -> None:
        """Implement `TokenStore.erase`. No part of the tokens is left in the files of the database."""
        check_key(user, "user")
        await self._write(executing("DELETE FROM tokens WHERE user = ?", [(user,)]), erases=True)

    def lock(self, key: Key) -> AbstractAsyncContextManager[None]:
        """Implement `TokenStore.lock`, among all processes that use this database."""
        return self._locks.hold(token_key(key))

    async def _users_after(self, last: str) -> list[str]:
        nothing: list[str] = []
        return await self._read(
            lambda rows, _: [user for (user,) in rows.execute(_SELECT_USERS, (last, _PAGE))], missing=nothing
        )


def _select(rows: sqlite3.Connection, cipher: Cipher, at: TokenKey) -> _Row:
    """Return what is stored under `at`. A tombstone may have expired."""
    place = attrs.astuple(at)
    found = rows.execute(_SELECT, place).fetchone()
    if found is None:
        return _Row()
    number, value, signed_in_at, expires_at = found
    if value is None:
        return _Row(Tombstone(signed_in_at=from_number(signed_in_at), expires_at=from_number(expires_at)))
    stored = from_text(cipher.unseal(place, value), StoredToken)
    return _Row(damaged=(number, value)) if stored is None else _Row(stored)


def _put(rows: sqlite3.Connection, at: TokenKey, value: bytes | None, tombstone: Tombstone | None) -> None:
    times = (None, None) if tombstone is None else tuple(map(to_number, attrs.astuple(tombstone)))
    rows.execute(_PUT, (*attrs.astuple(at), value, *times))


def _purge(rows: sqlite3.Connection, now: int) -> None:
    """Delete the tombstones that have expired."""
    rows.execute("DELETE FROM tokens WHERE value IS NULL AND expires_at <= ?", (now,))
