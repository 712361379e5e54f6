"""Opening and creating a database: its settings, its format, and what is refused. Blocking."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys

import attrs

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.stores.encryption import Cipher, check_value
from twilio_oauth_async.stores.file.damage import DamagedError, is_damage, primary_code, set_log_aside
from twilio_oauth_async.stores.file.network_file_systems import check_is_local
from twilio_oauth_async.stores.file.private_folder import PARTS, Identity, PrivateFolder, sync_folder
from twilio_oauth_async.stores.file.use_lock import UseLock, creating

FORMAT = 1
"""The ``user_version`` of the databases that this version of the package reads and writes."""

BUSY_TIMEOUT = 0.05
"""Seconds that one statement waits for the lock of another connection. Short: the thread serves readers between."""

_NEW = ".new"
_SMALLEST_PAGE = 512
_SETTINGS = (
    "PRAGMA synchronous = FULL",  # a commit is on the disk before its callers get their results
    "PRAGMA fullfsync = ON",  # macOS: fsync alone leaves the data in the cache of the drive
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA secure_delete = ON",  # overwrite deleted values
    "PRAGMA temp_store = MEMORY",  # no values in temporary files
    "PRAGMA trusted_schema = OFF",
)


@attrs.frozen
class Kind:
    """What a database is for."""

    name: str
    application_id: int
    """Identifies databases of this kind, so that one of another kind is refused."""
    schema: tuple[str, ...]


@attrs.define(eq=False)
class OpenDatabase:
    """A connection, and the lock that says that the database is open."""

    connection: sqlite3.Connection
    identity: Identity
    lock: UseLock
    is_read_only: bool = False
    """The folder is read-only: the connection does not see later changes and is used for one batch only."""

    def encryption(self) -> tuple[str, bytes]:
        """Return the label of the cipher and the value that verifies its key."""
        row: tuple[str, bytes] = self.connection.execute("SELECT label, check_value FROM encryption").fetchone()
        return row

    def truncate_log(self) -> bool:
        """Move the content of the log into the database and empty the log; return whether it is empty.

        Values that were deleted from the database are still in the log until then.
        """
        if self.is_read_only:
            return True
        is_busy, _, _ = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy

    def close(self, *, truncate: bool = True) -> None:
        """Close the connection and release the lock.

        Args:
            truncate: also empty the log.
        """
        try:
            with contextlib.suppress(sqlite3.Error):
                self.connection.rollback()
                if truncate:
                    self.truncate_log()
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()
        finally:
            self.lock.release()


def open_database(folder: PrivateFolder, kind: Kind, cipher: Cipher | None) -> OpenDatabase | None:
    """Open the database in `folder`.

    Args:
        folder: where it is.
        kind: what it has to be for.
        cipher: creates the database if it is missing; None: it is not created.

    Returns:
        None if the database is missing and `cipher` is None.

    Raises:
        DamagedError: it cannot be read.
        StoreError: it must not be used, or cannot be opened or created.
        sqlite3.Error: it cannot be opened or created.
    """
    if folder.check() is None:
        if cipher is None:
            return None
        folder.prepare()
        folder.check()
    check_is_local(folder.path)
    lock = UseLock(folder)
    try:
        identity = folder.check()
        if identity is None and cipher is not None:
            _create(folder, kind, cipher)
            identity = folder.check()
        if identity is not None:
            return _connect(folder, kind, identity, lock)
    except BaseException:
        lock.release()
        raise
    lock.release()
    if cipher is not None:
        raise StoreError(f"{folder.database}: it was deleted while it was created")
    return None


def _connect(folder: PrivateFolder, kind: Kind, identity: Identity, lock: UseLock) -> OpenDatabase:
    size = folder.size_of("") or 0
    if size < _SMALLEST_PAGE:  # SQLite takes it for a new database
        raise DamagedError("it is truncated" if size else "it is empty", identity)
    uri = folder.database.as_uri()
    try:
        return _checked(folder, kind, OpenDatabase(_sqlite(uri + "?mode=rw"), identity, lock))
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedError(str(error), identity) from None
        if folder.is_writable() or primary_code(error) not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
            raise
    # The index of the log cannot be created in a read-only folder, and without it SQLite reads no database in WAL mode.
    if folder.size_of("-wal"):
        raise StoreError(
            f"{folder.database}: its folder is read-only, and the newest changes, in its -wal, cannot be read"
        )
    try:
        return _checked(folder, kind, OpenDatabase(_sqlite(uri + "?immutable=1"), identity, lock, is_read_only=True))
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        reason = str(error)
    raise DamagedError(reason, identity)


def _sqlite(uri: str) -> sqlite3.Connection:
    # The transactions are written out: no statement begins one by itself.
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)


def _checked(folder: PrivateFolder, kind: Kind, database: OpenDatabase) -> OpenDatabase:
    """Check the format of `database` and apply the settings; close it, without the lock, if it is refused."""
    try:
        _check_format(folder, kind, database.connection)
        _apply_settings(folder, database)
    except BaseException:
        database.connection.close()
        raise
    return database


def _check_format(folder: PrivateFolder, kind: Kind, connection: sqlite3.Connection) -> None:
    # Before any setting, so that a database that is refused stays as it is.
    (found,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if found != kind.application_id:
        raise StoreError(f"{folder.database} is not a database of {kind.name}")
    if version > FORMAT:
        raise StoreError(
            f"{folder.database} has format {version}, which a later version of this package has written: update it"
        )


def _apply_settings(folder: PrivateFolder, database: OpenDatabase) -> None:
    if folder.check() != database.identity:
        raise StoreError(f"{folder.database} was replaced while it was opened")
    for setting in _SETTINGS:
        database.connection.execute(setting)
    if database.is_read_only:
        return
    (mode,) = database.connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"{folder.database}: SQLite cannot use a write-ahead log here")


def _create(folder: PrivateFolder, kind: Kind, cipher: Cipher) -> None:
    """Create the database under another name and rename it: under its name, it is always complete."""
    reason: str | None = None
    try:
        with creating(folder):
            if folder.check() is not None:
                return
            set_log_aside(folder)
            new = folder.part(_NEW)
            for ending in (*PARTS, "-journal"):
                folder.part(_NEW + ending).unlink(missing_ok=True)
            # Created here and not by SQLite, whose files would have the mode 0644.
            os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600))
            if sys.platform != "win32":
                new.chmod(0o600)  # an odd umask must not shut out the owner
            _fill(_sqlite(new.as_uri() + "?mode=rw"), kind, cipher)
            with contextlib.suppress(FileExistsError):  # only on Windows: another process was first
                os.rename(new, folder.database)  # noqa: PTH104 - Path.rename does the same
            sync_folder(folder.path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason is not None:
        raise StoreError(f"{folder.database}: it cannot be created: {reason}")


def _fill(connection: sqlite3.Connection, kind: Kind, cipher: Cipher) -> None:
    try:
        for statement in (*_SETTINGS, "PRAGMA journal_mode = MEMORY", "PRAGMA journal_mode = WAL", "BEGIN"):
            connection.execute(statement)
        for statement in (*kind.schema, "CREATE TABLE encryption (label TEXT NOT NULL, check_value BLOB NOT NULL)"):
            connection.execute(statement)
        connection.execute("INSERT INTO encryption VALUES (?, ?)", (cipher.label, check_value(cipher)))
        connection.execute(f"PRAGMA application_id = {kind.application_id}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
        # Only the database is renamed, not its log. A full disk is an error here; `close` would hide it.
        (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise sqlite3.OperationalError("the new database is in use")
    finally:
        connection.close()
