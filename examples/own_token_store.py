"""A token store of your own, on sqlite3 of the standard library: a starting point for PostgreSQL and others.

Each change is one transaction: it reads the present record, asks `rules`, and writes the result. In PostgreSQL, begin
it with ``pg_advisory_xact_lock`` of the key: ``SELECT ... FOR UPDATE`` locks nothing if there is no row yet. The clock
is ``now()`` of the database.
The suites of `twilio_oauth_async.stores.testing` check the result: see tests/stores/test_own_store.py.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from twilio_oauth_async import Clock, ConfigurationError, StoredToken, StoreError, SystemClock
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import LOCK_TIMEOUT, Key, TokenKey, Tombstone
from twilio_oauth_async.stores.cancellation import finish_in_thread
from twilio_oauth_async.stores.keys import check_key, digest, token_key
from twilio_oauth_async.stores.serialization import to_text

K = TypeVar("K")
T = TypeVar("T")
TABLE = "records (user, client, server, token, tombstone, PRIMARY KEY (user, client, server))"


class OwnTokenStore(HoldsSecrets):  # HoldsSecrets: pickle must not write the tokens somewhere else
    def __init__(self, path: str | Path, *, lock_timeout: float = LOCK_TIMEOUT, clock: Clock | None = None) -> None:
        self._path, self._lock_timeout, self._clock = path, lock_timeout, clock or SystemClock()

    async def load(self, key: Key) -> StoredToken | None:
        present = await self._run(self._read, token_key(key))
        return present if isinstance(present, StoredToken) else None

    async def is_deleted(self, key: Key) -> bool:
        return isinstance(await self._run(self._read, token_key(key)), Tombstone)

    async def save(self, key: Key, stored: StoredToken, *, replaces: str | None) -> None:
        text = to_text(stored)

        def save(db: sqlite3.Connection, at: TokenKey) -> None:
            rules.check_token(self._read(db, at), stored, replaces)
            db.execute("REPLACE INTO records VALUES (?, ?, ?, ?, NULL)", (at.user, at.client_sid, at.server, text))

        await self._run(save, token_key(key))

    async def delete(self, key: Key) -> None:
        def delete(db: sqlite3.Connection, at: TokenKey) -> None:
            text = rules.tombstone(self._read(db, at), self._clock.now()).to_json()
            db.execute("REPLACE INTO records VALUES (?, ?, ?, NULL, ?)", (at.user, at.client_sid, at.server, text))

        await self._run(delete, token_key(key))

    async def users(self) -> AsyncIterator[str]:
        query = "SELECT DISTINCT user FROM records WHERE token IS NOT NULL"
        for (user,) in await self._run(lambda db, _: db.execute(query).fetchall(), None):
            yield user

    async def erase(self, user: str) -> None:
        check_key(user, "user")
        await self._run(lambda db, user: db.execute("DELETE FROM records WHERE user = ?", (user,)).rowcount, user)

    @contextlib.asynccontextmanager
    async def lock(self, key: Key) -> AsyncGenerator[None]:
        # The lock must be released when its process is killed, so a row in a table is not enough. In PostgreSQL:
        # pg_advisory_lock on a connection of its own, with lock_timeout. Here: a transaction that stays open, in one
        # file for each key.
        file, loop = f"{self._path}.{digest(str(token_key(key)))}.lock", asyncio.get_running_loop()
        deadline = loop.time() + self._lock_timeout
        with contextlib.ExitStack() as stack:
            while loop.time() < deadline:
                with contextlib.suppress(sqlite3.OperationalError):
                    db = stack.enter_context(contextlib.closing(sqlite3.connect(file, timeout=0, isolation_level=None)))
                    db.execute("BEGIN EXCLUSIVE")
                    break
                stack.close()
                await asyncio.sleep(0.01)
            else:
                raise StoreError("the lock was not free in time")
            yield

    def _read(self, db: sqlite3.Connection, at: TokenKey) -> StoredToken | Tombstone | None:
        query = "SELECT token, tombstone FROM records WHERE user = ? AND client = ? AND server = ?"
        token, tombstone = db.execute(query, (at.user, at.client_sid, at.server)).fetchone() or (None, None)
        if token is not None:
            return StoredToken.from_json(token)
        present = None if tombstone is None else Tombstone.from_json(tombstone)
        return None if present is None or present.expires_at <= self._clock.now() else present

    async def _run(self, work: Callable[[sqlite3.Connection, K], T], at: K) -> T:
        """Run ``work(connection, at)`` in a transaction, in a thread."""

        def run() -> T:
            # A connection for each call: slower than a pool, but it needs no event loop and no closing.
            with contextlib.closing(sqlite3.connect(self._path, timeout=5, isolation_level=None)) as db, db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
                return work(db, at)

        try:
            return await finish_in_thread(run)  # waits also if the caller is cancelled: a thread cannot be cancelled
        except (sqlite3.Error, ConfigurationError) as error:  # the second: a record that cannot be read
            problem = type(error).__name__
        # Raised after the except block and without the text of the error: that error may hold a secret.
        raise StoreError(f"SQLite: {problem}")
