"""Locks between processes, one per key: lock files, which the end of a process releases.

`filelock` does what is difficult: it retries if the lock file was deleted meanwhile, and a forked child does not keep
the lock of its parent. Three of its settings matter. Each hold has an object of its own, because one object counts its
holds and would admit a second one. ``fallback_to_soft`` is off: a file that means "locked" by its existence outlives
the process that created it. ``thread_local`` is off, because another thread may release the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.stores.file.jobs import JobQueue, run_each
from twilio_oauth_async.stores.file.network_file_systems import check_is_local
from twilio_oauth_async.stores.file.private_folder import PrivateFolder
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.keys import digest
from twilio_oauth_async.stores.records import TokenKey

if TYPE_CHECKING:
    from filelock import BaseFileLock

RETRY_INTERVAL = 0.02
"""Seconds between two attempts to get a lock that another process holds; an attempt takes about 0.1 ms."""

_log = logging.getLogger(__name__)


@attrs.define
class _Attempt:
    """The lock that a task waits for."""

    lock: BaseFileLock
    is_wanted: bool = True


class FileLocks:
    """The locks beside one database.

    The tasks of one event loop wait for each other without a lock file, in order.
    """

    def __init__(self, folder: PrivateFolder, timeout: float) -> None:
        """Create locks that are waited for `timeout` seconds."""
        self._folder = folder
        self._timeout = timeout
        self._tasks = KeyedLocks()
        self._jobs = JobQueue("locks", run_each)
        # At the end of the process, all queues are stopped and waited for.
        weakref.finalize(self, self._jobs.stop).atexit = False

    @contextlib.asynccontextmanager
    async def hold(self, key: TokenKey) -> AsyncGenerator[None]:
        """Hold the lock of `key`.

        Raises:
            StoreError: it was not free in time, or the lock file cannot be used.
        """
        name = digest("\0".join((key.user, key.client_sid, key.server)))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        async with self._tasks.hold(name, self._timeout):
            lock = await self._acquire(self._folder.part(f".{name}.lock"), deadline)
            try:
                yield
            finally:
                await self._release(lock)

    async def _acquire(self, path: Path, deadline: float) -> BaseFileLock:
        loop = asyncio.get_running_loop()
        attempt = _Attempt(_file_lock(path))
        is_entered = False
        try:
            while not await self._jobs.run(lambda: self._is_acquired(attempt)):
                if loop.time() >= deadline:
                    raise StoreError(
                        f"the lock {path} was not free within {self._timeout:g} s: another process holds it"
                    )
                await asyncio.sleep(RETRY_INTERVAL)
            is_entered = True
        finally:
            attempt.is_wanted = is_entered
            if not is_entered and attempt.lock.is_locked:  # acquired while this task was being cancelled
                await self._release(attempt.lock)
        return attempt.lock

    def _is_acquired(self, attempt: _Attempt) -> bool:
        """Try once to get the lock."""
        self._folder.prepare()
        self._folder.check()
        check_is_local(self._folder.path)
        try:
            attempt.lock.acquire(blocking=False)
        except TimeoutError:
            return False
        except OSError as error:
            reason = error.strerror or type(error).__name__
        else:
            if not attempt.is_wanted:  # the file system hung for so long that the task does not wait any more
                _delete_and_release(attempt.lock)
            return True
        raise StoreError(f"the lock {attempt.lock.lock_file}: {reason}")

    async def _release(self, lock: BaseFileLock) -> None:
        reason: str | None = None
        try:
            await self._jobs.run(lambda: _delete_and_release(lock), must_run=True)
        except StoreError as error:
            reason = str(error)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        if reason is not None:
            # The work under the lock is done. Other processes wait until this one ends, or until their time is over.
            _log.warning("the lock %s could not be released: %s", lock.lock_file, reason)


def _file_lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(path, mode=0o600, thread_local=False, is_singleton=False, fallback_to_soft=False)


def _delete_and_release(lock: BaseFileLock) -> None:
    """Delete the lock file, so that locks of many keys leave no files behind, and release the lock.

    This is safe while the lock is held: a process that gets the lock of a deleted file tries again with a new file.
    """
    if not lock.is_locked:
        return  # released before: the file may be that of another process now
    try:
        with contextlib.suppress(OSError):  # an empty file is left behind, and does no harm
            Path(lock.lock_file).unlink()
    finally:
        lock.release()
