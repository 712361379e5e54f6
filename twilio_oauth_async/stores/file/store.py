"""`FileStore`: what the token store and the flow store on SQLite have in common."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.argument_checks import check_clock
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.encryption import PLAIN, Cipher, OtherKeyError, PlainCipher, check_value
from twilio_oauth_async.stores.file.connection import Kind
from twilio_oauth_async.stores.file.database import Database
from twilio_oauth_async.stores.file.encryption import Encryption, key_source
from twilio_oauth_async.stores.file.private_folder import private_folder
from twilio_oauth_async.stores.keyed_locks import KeyedLocks

T = TypeVar("T")

ENCRYPT_TIMEOUT = 300.0
"""Seconds that `FileStore.encrypt` may take: it rewrites every value, about 10,000 in a second."""

KEY_TIMEOUT = 120.0
"""Seconds to wait while another task of this process gets the key from the keyring."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ATTEMPTS = 3

_log = logging.getLogger(__name__)


class FileStore(HoldsSecrets):
    """A database with one table of values, in a private folder, encrypted if asked for."""

    _kind: Kind
    _default_name: str
    _place: tuple[str, ...]
    """The columns that say whose value it is; a value cannot be moved to other ones."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        encryption: Encryption | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Do not touch the disk yet; see the subclasses."""
        check_clock(clock)
        with from_extra("file", "filelock"):
            import filelock  # noqa: F401 # pyright: ignore[reportUnusedImport] - a missing package is named here
        self._folder = private_folder(path, self._default_name)
        self._database = Database(self._folder, self._kind)
        self._keys = key_source(encryption)
        self._is_encrypted = encryption is not None
        self._clock = clock or SystemClock()
        self._cipher: Cipher | None = None
        self._getting_key = KeyedLocks()

    async def encrypt(self) -> None:
        """Encrypt all values again with the first key: after a key rotation, or if they are not encrypted yet.

        Raises:
            ConfigurationError: the store was created without encryption.
            StoreError: the database cannot be read or written.
        """
        if not self._is_encrypted:
            raise ConfigurationError("the store was created without encryption=")
        label = await self._database.label()
        if label is None:
            return
        cipher = await self._find_cipher(None if label == PLAIN else label)
        await self._database.write(
            lambda rows: self._seal_again(rows, cipher), cipher, erases=True, verify=False, timeout=ENCRYPT_TIMEOUT
        )
        self._cipher = cipher

    async def close(self) -> None:
        """Close the database; no deleted value is left in its files. The next call opens it again.

        Raises:
            StoreError: the database was not closed in time.
        """
        await self._database.close()

    @property
    def path(self) -> Path:
        """The path of the database."""
        return self._folder.database

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._folder.database)!r})"

    async def _read(self, work: Callable[[sqlite3.Connection, Cipher], T], *, missing: T) -> T:
        """Return the result of `work`, which reads the database; `missing` if there is none."""

        async def run(cipher: Cipher) -> T:
            return await self._database.read(lambda rows: work(rows, cipher), cipher, missing=missing)

        return await self._with_cipher(run, missing)

    async def _write(self, work: Callable[[sqlite3.Connection, Cipher], T], *, erases: bool = False) -> T:
        """Return the result of `work`, which changes the database, durably and in one step.

        Args:
            work: may run more than once.
            erases: it deletes values, which must not be left in the files.
        """

        async def run(cipher: Cipher) -> T:
            return await self._database.write(lambda rows: work(rows, cipher), cipher, erases=erases)

        return await self._with_cipher(run)

    async def _with_cipher(self, run: Callable[[Cipher], Awaitable[T]], *missing: T) -> T:
        """Return the result of `run` with the cipher of the database; `missing`, if given, if there is no database."""
        for _ in range(_ATTEMPTS):
            cipher = self._cipher
            if cipher is None:
                async with self._getting_key.hold("", KEY_TIMEOUT):
                    cipher = self._cipher or await self._first_cipher(creates=not missing)
            if cipher is None:
                return missing[0]
            try:
                return await run(cipher)
            except OtherKeyError:
                self._cipher = None  # another process has created the database, with a key of its own
        raise StoreError(f"{self._folder.database}: its key changes all the time")

    async def _first_cipher(self, *, creates: bool) -> Cipher | None:
        label = await self._database.label() if self._keys.depends_on_label else None
        if label is None and self._keys.depends_on_label and not creates:
            return None
        self._cipher = await self._find_cipher(label)
        return self._cipher

    async def _find_cipher(self, label: str | None) -> Cipher:
        try:
            return await self._keys.cipher(label)
        except StoreError as error:
            reason = str(error)
        raise StoreError(f"{self._folder.database}: {reason}")

    def _seal_again(self, rows: sqlite3.Connection, cipher: Cipher) -> None:
        label, check = rows.execute("SELECT label, check_value FROM encryption").fetchone()
        present: Cipher = PlainCipher()
        if label != PLAIN:
            cipher.verify(label, check)
            present = cipher
        columns = ", ".join(("number", "CAST(value AS BLOB)", *self._place))
        table = self._kind.name
        last = 0
        while page := rows.execute(
            f"SELECT {columns} FROM {table} WHERE value IS NOT NULL AND number > ? ORDER BY number LIMIT 500",  # noqa: S608
            (last,),
        ).fetchall():
            sealed = [(cipher.seal(place, present.unseal(place, value)), number) for number, value, *place in page]
            rows.executemany(f"UPDATE {table} SET value = ? WHERE number = ?", sealed)  # noqa: S608
            last = page[-1][0]
        rows.execute("UPDATE encryption SET label = ?, check_value = ?", (cipher.label, check_value(cipher)))

    async def _drop_damaged(self, damaged: Sequence[tuple[int, bytes]]) -> None:
        """Remove rows whose values cannot be parsed, unless they have been replaced meanwhile."""
        if damaged:
            _log.error("%d values in %s are damaged and are removed", len(damaged), self._folder.database)
            statement = f"DELETE FROM {self._kind.name} WHERE number = ? AND CAST(value AS BLOB) = ?"  # noqa: S608
            await self._write(executing(statement, damaged), erases=True)


def executing(statement: str, parameters: Sequence[tuple[object, ...]]) -> Callable[[sqlite3.Connection, Cipher], None]:
    """Return the work that executes `statement` once for each of `parameters`."""

    def execute(rows: sqlite3.Connection, _: Cipher) -> None:
        rows.executemany(statement, parameters)

    return execute


def to_number(time: datetime) -> int:
    """Return `time` as microseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def from_number(number: int) -> datetime:
    """Return the time that `to_number` has made a number of; in UTC."""
    return _EPOCH + timedelta(microseconds=number)
