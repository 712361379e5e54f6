"""`Database`: one SQLite database, used by one thread, from any number of tasks and event loops.

The jobs that wait at the same time are run together. A commit costs one sync of the disk, some milliseconds, so all
changes that wait are committed at once; each is in a savepoint, so that one that fails does not undo the others.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
import weakref
from collections.abc import Callable
from typing import Any, TypeVar, cast

import attrs

from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.encryption import Cipher, OtherKeyError
from twilio_oauth_async.stores.file import jobs as job_queue
from twilio_oauth_async.stores.file.connection import Kind, OpenDatabase, open_database
from twilio_oauth_async.stores.file.damage import DamagedError, is_busy, is_damage, set_aside
from twilio_oauth_async.stores.file.jobs import Job, JobQueue, Outcome, attempt
from twilio_oauth_async.stores.file.private_folder import PrivateFolder

T = TypeVar("T")

RETRY_BUSY = 0.02
"""Seconds between two attempts to lock a database that another process writes to."""

FIRST_TRUNCATE, LAST_TRUNCATE = 0.1, 5.0
"""Seconds to the next attempt to empty the log, while another process reads from it; doubled each time."""

_log = logging.getLogger(__name__)


@attrs.frozen
class _Access(HoldsSecrets):
    """How a job uses the database."""

    cipher: Cipher | None = None
    """None: the key is not needed."""
    writes: bool = False
    erases: bool = False
    """Values are deleted: the log is emptied before the caller gets the result."""
    missing: object = None
    """The result if there is no database."""
    closes: bool = False


class Database(HoldsSecrets):
    """One database. The file is opened when it is first used, and created when it is first written to."""

    def __init__(self, folder: PrivateFolder, kind: Kind) -> None:
        """Do not touch the disk yet."""
        self._jobs = JobQueue(f"{kind.name} database", _Server(folder, kind).serve)
        # At the end of the process, all queues are stopped and waited for.
        weakref.finalize(self, self._jobs.stop).atexit = False

    async def read(self, work: Callable[[sqlite3.Connection], T], cipher: Cipher | None, *, missing: T) -> T:
        """Return the result of `work`, which runs in the thread and only reads.

        Args:
            work: uses the connection.
            cipher: is verified first.
            missing: the result if there is no database.

        Raises:
            StoreError: the database cannot be read.
        """
        return await self._jobs.run(work, _Access(cipher, missing=missing))

    async def write(
        self,
        work: Callable[[sqlite3.Connection], T],
        cipher: Cipher,
        *,
        erases: bool = False,
        verify: bool = True,
        timeout: float | None = None,
    ) -> T:
        """Return the result of `work`, which runs in the thread; its changes are durable then.

        Args:
            work: uses the connection. If it raises, its changes are undone. It may run more than once.
            cipher: is verified first, and creates a database that is missing.
            erases: no value that `work` deletes is left in the files afterwards.
            verify: False: `work` verifies the cipher itself.
            timeout: seconds; None: the same as for every call.

        Raises:
            StoreError: the database cannot be written; nothing is changed.
        """
        access = _Access(cipher, writes=True, erases=erases)
        if not verify:
            return await self._jobs.run(work, attrs.evolve(access, missing=_UNVERIFIED), timeout=timeout)
        return await self._jobs.run(work, access, timeout=timeout)

    async def label(self) -> str | None:
        """Return the label of the cipher; None if there is no database."""
        label: str | None = await self._jobs.run(_read_label, _Access())
        return label

    async def close(self) -> None:
        """Empty the log and close the file. The next call opens it again."""
        await self._jobs.run(_do_nothing, _Access(closes=True))


_UNVERIFIED = object()


def _read_label(connection: sqlite3.Connection) -> str:
    row: tuple[str] = connection.execute("SELECT label FROM encryption").fetchone()
    return row[0]


def _do_nothing() -> None:
    return None


class _Server:
    """Runs in the thread of one database."""

    def __init__(self, folder: PrivateFolder, kind: Kind) -> None:
        self._folder = folder
        self._kind = kind
        self._database: OpenDatabase | None = None
        self._has_warned = False
        self._must_truncate = False
        self._truncate_after = FIRST_TRUNCATE

    def serve(self, jobs: JobQueue) -> None:
        """Run jobs until there are none for a while."""
        waiting: list[Job[Any]] = []
        while True:
            taken = jobs.take(self._patience(bool(waiting)))
            is_idle = not taken and not waiting
            waiting = self._run(jobs, waiting + taken)
            if jobs.is_stopping:
                jobs.put_back(waiting)
                waiting = []
            elif not is_idle:
                continue
            elif self._must_truncate:
                self._truncate()
                continue
            self._close()
            if jobs.may_end():
                return

    def _patience(self, has_waiting: bool) -> float:
        if has_waiting:
            return RETRY_BUSY
        return self._truncate_after if self._must_truncate else job_queue.IDLE_TIMEOUT

    def _run(self, jobs: JobQueue, batch: list[Job[Any]]) -> list[Job[Any]]:
        """Run `batch` and return the jobs that have to wait for the lock of another process."""
        writes: dict[bool, list[Job[Any]]] = {False: [], True: []}
        closing: list[Job[Any]] = []
        for job in batch:
            access = _access(job)
            (closing if access.closes else writes[access.writes]).append(job)
        # Reads first: no write of another process makes them wait.
        waiting = self._run_alike(jobs, self._read, writes[False])
        waiting += self._run_alike(jobs, self._write, writes[True])
        closing = [job for job in closing if job.start()]
        if closing:
            self._close()
            jobs.finish([attempt(job) for job in closing])
        return waiting

    def _run_alike(
        self, jobs: JobQueue, run: Callable[[list[Job[Any]]], list[Outcome]], batch: list[Job[Any]]
    ) -> list[Job[Any]]:
        batch = [job for job in batch if job.start()]
        if not batch:
            return []
        try:
            outcomes = self._repaired(run, batch)
        except sqlite3.Error as error:
            if is_busy(error):
                return self._put_back(jobs, batch)
            reason = f"{self._folder.database}: {error}"
            self._close()  # the next call begins with a new connection
        except StoreError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - without the thread, all callers would wait in vain
            reason = f"{self._folder.database}: {getattr(error, 'strerror', None) or type(error).__name__}"
        else:
            jobs.finish(outcomes)
            return []
        # Each caller gets an exception of its own; made here, they have no other exception behind them.
        jobs.finish([(job, None, StoreError(reason)) for job in batch])
        return []

    def _put_back(self, jobs: JobQueue, batch: list[Job[Any]]) -> list[Job[Any]]:
        reason = f"{self._folder.database}: another process has locked it for too long"
        now = time.monotonic()
        over = {job for job in batch if job.may_wait_until <= now or job.is_cancelled}
        jobs.finish([(job, None, StoreError(reason)) for job in over])
        waiting = [job for job in batch if job not in over]
        for job in waiting:
            job.put_back()
        return waiting

    def _repaired(self, run: Callable[[list[Job[Any]]], list[Outcome]], batch: list[Job[Any]]) -> list[Outcome]:
        """Run `batch`, once more if the database is damaged and is renamed."""
        damaged: DamagedError
        try:
            return run(batch)
        except DamagedError as error:
            damaged = error
        except sqlite3.Error as error:
            if self._database is None or not is_damage(error):
                raise
            damaged = DamagedError(str(error), self._database.identity)
        self._close(truncate=False)
        set_aside(self._folder, damaged)
        try:
            return run(batch)
        except DamagedError as error:
            reason = str(error)
        raise StoreError(f"{self._folder.database}: {reason}")

    def _open(self, cipher: Cipher | None) -> OpenDatabase | None:
        """Return the open database. It is looked at before each use: it may have been deleted, or opened to others."""
        present = self._database
        if present is not None:
            if not present.is_read_only and self._folder.check() == present.identity:
                return present
            self._close(truncate=False)
        self._must_truncate = bool(self._folder.size_of("-wal"))  # a killed process may have left deleted values in it
        self._truncate_after = FIRST_TRUNCATE
        self._database = open_database(self._folder, self._kind, cipher)
        if self._database is not None and self._database.is_read_only and not self._has_warned:
            self._has_warned = True
            _log.warning("%s is in a read-only folder: it is read as it is now, without locks", self._folder.database)
        return self._database

    def _close(self, *, truncate: bool = True) -> None:
        database, self._database, self._must_truncate = self._database, None, False
        if database is not None:
            database.close(truncate=truncate)

    def _read(self, batch: list[Job[Any]]) -> list[Outcome]:
        database = self._open(None)
        if database is None:
            return [(job, _access(job).missing, None) for job in batch]
        database.connection.execute("BEGIN")  # so that all jobs see the same state
        try:
            encryption = database.encryption()
            return [self._attempt(job, database, encryption) for job in batch]
        finally:
            with contextlib.suppress(sqlite3.Error):
                database.connection.rollback()

    def _write(self, batch: list[Job[Any]]) -> list[Outcome]:
        try:
            outcomes = self._commit(batch)
        except sqlite3.Error as error:
            if len(batch) == 1 or is_busy(error) or is_damage(error):
                raise
            outcomes = None
        if outcomes is None:
            # One of them, perhaps, does not fit on the disk.
            return [outcome for job in batch for outcome in self._commit_alone(job)]
        if any(_access(job).erases for job in batch):
            self._must_truncate = True
            self._truncate()
        return outcomes

    def _commit_alone(self, job: Job[Any]) -> list[Outcome]:
        try:
            return self._write([job])
        except sqlite3.Error as error:
            if is_damage(error):
                raise
            reason = f"{self._folder.database}: {error}"
        return [(job, None, StoreError(reason))]

    def _commit(self, batch: list[Job[Any]]) -> list[Outcome]:
        """Run `batch` in one transaction."""
        database = self._open(_access(batch[0]).cipher)
        assert database is not None  # with a cipher, it is created
        if database.is_read_only:
            raise StoreError(f"{self._folder.database}: its folder is read-only")
        execute = database.connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            encryption = database.encryption()
            outcomes: list[Outcome] = []
            for job in batch:
                execute("SAVEPOINT job")
                outcomes.append(self._attempt(job, database, encryption))
                if outcomes[-1][2] is not None:
                    execute("ROLLBACK TO job")
                execute("RELEASE job")
            execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                database.connection.rollback()
            raise
        return outcomes

    def _attempt(self, job: Job[Any], database: OpenDatabase, encryption: tuple[str, bytes]) -> Outcome:
        access = _access(job)
        reason = ""
        try:
            if access.cipher is not None and access.missing is not _UNVERIFIED:
                access.cipher.verify(*encryption)
        except OtherKeyError as error:
            return job, None, error
        except StoreError as error:
            reason = str(error)
        if not reason:
            _, result, raised = attempt(job, database.connection)
            if isinstance(raised, sqlite3.Error) and (is_busy(raised) or is_damage(raised) or access.writes):
                raise raised
            if (
                raised is None
                or isinstance(raised, StoreConflict)
                or not isinstance(raised, StoreError | sqlite3.Error)
            ):
                return job, result, raised
            reason = str(raised)
        return job, None, StoreError(f"{self._folder.database}: {reason}")

    def _truncate(self) -> None:
        """Empty the log, or try again later: while another process reads from it, SQLite cannot."""
        database = self._database
        try:
            self._must_truncate = database is not None and not database.truncate_log()
        except sqlite3.Error as error:
            _log.warning("%s: the log cannot be emptied: %s", self._folder.database, error)
        self._truncate_after = min(2 * self._truncate_after, LAST_TRUNCATE) if self._must_truncate else FIRST_TRUNCATE


def _access(job: Job[Any]) -> _Access:
    return cast("_Access", job.options)
