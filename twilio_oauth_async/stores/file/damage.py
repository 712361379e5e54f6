"""A database that cannot be read: its files are renamed, so that nothing is lost, and this is logged. Blocking."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sqlite3
from pathlib import Path

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.stores.file.private_folder import PARTS, Identity, PrivateFolder, sync_folder
from twilio_oauth_async.stores.file.use_lock import UseLock

_log = logging.getLogger(__name__)


class DamagedError(Exception):
    """The database cannot be read; the message says why."""

    def __init__(self, reason: str, database: Identity) -> None:
        """`database` is the one that could not be read."""
        super().__init__(reason)
        self.database = database


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether `error` says that the content of the database is not valid."""
    return primary_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether `error` says that another connection has a lock at the moment."""
    return primary_code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def primary_code(error: sqlite3.Error) -> int:
    """Return the result code of SQLite without its extension; 0 if the error comes from the Python module."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def set_aside(folder: PrivateFolder, damaged: DamagedError) -> None:
    """Rename the files of the damaged database, unless another process has done so already.

    Args:
        folder: has the database; it must not be open in this thread.
        damaged: says which database it is, and why.

    Raises:
        StoreError: another process has the database open, or a file cannot be renamed.
    """
    lock = UseLock(folder)
    try:
        is_exclusive = lock.become_exclusive()
        if folder.check() != damaged.database:
            return  # also if the lock is not exclusive: another process may use a new database already
        if not is_exclusive:
            raise StoreError(f"{folder.database} is damaged ({damaged}), and another process or store has it open")
        aside = _rename(folder)
    finally:
        lock.release()
    _log.error(
        "%s is damaged (%s); it has been renamed to %s, and nothing is stored now", folder.database, damaged, aside
    )


def set_log_aside(folder: PrivateFolder) -> None:
    """Remove a log that was left without its database: SQLite would apply it to a new database.

    Raises:
        OSError: it cannot be renamed or deleted.
    """
    if folder.size_of("-wal"):
        os.rename(folder.part("-wal"), _free_path(folder, "-wal"))  # noqa: PTH104 - Path.rename does the same
    for ending in PARTS[1:]:
        folder.part(ending).unlink(missing_ok=True)


def _rename(folder: PrivateFolder) -> Path:
    reason: str | None = None
    free = _free_path(folder, "")
    try:
        for ending in PARTS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder.part(ending), free.with_name(free.name + ending))  # noqa: PTH104
        sync_folder(folder.path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason is not None:
        raise StoreError(f"{folder.database} is damaged and cannot be renamed: {reason}")
    return free


def _free_path(folder: PrivateFolder, ending: str) -> Path:
    """Return a path for `ending` under a number that no file has yet."""
    for number in itertools.count(1):
        name = f".set-aside-{number}"
        if not any(os.path.lexists(folder.part(name + part)) for part in PARTS):
            return folder.part(name + ending)
    raise AssertionError
