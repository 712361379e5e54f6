"""Locks that say which processes have a database open. The end of a process releases them. Blocking.

A process that has a database open holds a shared lock on the file with the ending ``.use`` beside it. So a damaged
database is renamed only if no process has it open: an open connection would go on with the renamed files.

Windows has no such locks (flock) and needs none: it does not rename or delete a file that a process has open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Generator

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.stores.file.private_folder import PrivateFolder, check_file

if sys.platform != "win32":
    import fcntl

SHARED_TIMEOUT = 5.0
"""Seconds to wait while a process creates a database or renames a damaged one, which takes milliseconds."""

EXCLUSIVE_TIMEOUT = 2.0
"""Seconds to wait until no other process has a damaged database open."""

_RETRY = 0.02
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


class UseLock:
    """The lock of one connection on the use of its database."""

    def __init__(self, folder: PrivateFolder) -> None:
        """Take the shared lock; in a folder that is read-only, no lock is needed.

        Raises:
            StoreError: the lock file cannot be used, or another process holds the lock exclusively for too long.
            OSError: the file system has no locks.
        """
        self._path = folder.part(".use")
        self._descriptor = self._open()
        try:
            is_free = self._lock(exclusive=False, timeout=SHARED_TIMEOUT)
        except BaseException:
            self.release()
            raise
        if not is_free:
            self.release()
            raise StoreError(f"{folder.database}: another process does not finish creating or renaming it")

    def become_exclusive(self) -> bool:
        """Return whether no other process uses the database now, and none can begin to until `release`.

        If it returns False, there is no lock any more.
        """
        # Without the release, two processes that both want this would wait for each other.
        self._unlock()
        return self._lock(exclusive=True, timeout=EXCLUSIVE_TIMEOUT)

    def release(self) -> None:
        """Release the lock; do nothing if it was released."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int | None:
        if sys.platform == "win32":
            return None
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        reason = ""
        for is_new in (False, True, False):
            try:
                descriptor = os.open(self._path, flags | (os.O_CREAT | os.O_EXCL if is_new else 0), 0o600)
            except (FileNotFoundError, FileExistsError):
                continue
            except OSError as error:
                if error.errno in _READ_ONLY:
                    return None
                reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or "not usable"
                break
            try:
                if is_new:
                    os.fchmod(descriptor, 0o600)  # an odd umask must not shut out the owner
                check_file(self._path, os.fstat(descriptor))
            except BaseException:
                os.close(descriptor)
                raise
            return descriptor
        raise StoreError(f"{self._path}: {reason or 'it is created and deleted all the time'}")

    def _lock(self, *, exclusive: bool, timeout: float) -> bool:
        return self._descriptor is None or _flock(self._descriptor, exclusive=exclusive, timeout=timeout)

    def _unlock(self) -> None:
        if sys.platform != "win32" and self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)


@contextlib.contextmanager
def creating(folder: PrivateFolder) -> Generator[None]:
    """Exclude other processes that create a database in `folder`.

    Raises:
        StoreError: another process does not finish.
        OSError: the folder cannot be opened or locked.
    """
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not _flock(descriptor, exclusive=True, timeout=SHARED_TIMEOUT):
            raise StoreError(f"{folder.database}: another process does not finish creating a database in its folder")
        yield
    finally:
        os.close(descriptor)


def _flock(descriptor: int, *, exclusive: bool, timeout: float) -> bool:
    """Return whether the lock was free within `timeout` seconds."""
    if sys.platform == "win32":
        return True
    operation = (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, operation)
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(_RETRY)
