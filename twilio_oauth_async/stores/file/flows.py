"""`FileFlowStore`: a `FlowStore` in one SQLite database."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.encryption import Cipher
from twilio_oauth_async.stores.file.connection import Kind
from twilio_oauth_async.stores.file.encryption import Encryption
from twilio_oauth_async.stores.file.store import FileStore, executing, from_number, to_number
from twilio_oauth_async.stores.keys import check_key, check_lease, check_limit, digest, token_key
from twilio_oauth_async.stores.records import FlowState, Key, StoredFlow
from twilio_oauth_async.stores.serialization import from_text, to_text

_KIND = Kind(
    name="flows",
    application_id=0x54774F66,  # "TwOf"
    schema=(
        """CREATE TABLE flows (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            user TEXT NOT NULL, client_sid TEXT NOT NULL, server TEXT NOT NULL,
            has_ended INTEGER NOT NULL,
            value BLOB NOT NULL)""",
        "CREATE UNIQUE INDEX flows_by_key ON flows (user, client_sid, server) WHERE has_ended = 0",
        # In a table of its own, because SQLite writes whole rows: thousands of leases are renewed every few seconds,
        # and the values are some kilobytes long. Without an owner, the lease ends at 0 (microseconds since 1970).
        """CREATE TABLE leases (
            flow INTEGER PRIMARY KEY,
            app TEXT NOT NULL, has_ended INTEGER NOT NULL,
            owner TEXT, leased_until INTEGER NOT NULL)""",
        "CREATE INDEX leases_by_end ON leases (app, has_ended, leased_until)",
        "CREATE TRIGGER leases_of_deleted AFTER DELETE ON flows BEGIN DELETE FROM leases WHERE flow = old.number; END",
    ),
)
_SELECT = (
    "SELECT number, id, user, client_sid, server, CAST(value AS BLOB), owner, leased_until"
    " FROM leases JOIN flows ON flows.number = leases.flow WHERE "
)
_BY_ID = "id = ?"
_OF_USER = "user = ? AND client_sid = ? AND server = ? AND flows.has_ended = 0"
_BY_END = "app = ? AND leases.has_ended = ? AND leased_until <= ? ORDER BY leased_until LIMIT ?"


class FileFlowStore(FileStore):
    """A `FlowStore` in one SQLite database, for the processes of one user on one machine.

    The database is private, and is checked, as that of `FileTokenStore`.
    """

    _kind = _KIND
    _default_name = "flows.db"
    _place = ("id", "user", "client_sid", "server")

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        encryption: Encryption | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Create a store; nothing on the disk is touched until it is used.

        Args:
            path: of the database; None: ``flows.db`` in the platform's folder for the state of applications.
            encryption: as for `FileTokenStore`.
            clock: measures the leases; None: the clock of the system.

        Raises:
            ConfigurationError: `path` cannot be a file, or `encryption` is not a key.
            ModuleNotFoundError: an extra is not installed; the message names it.
        """
        super().__init__(path, encryption=encryption, clock=clock)

    async def create(self, flow: StoredFlow, *, owner: str, seconds: float) -> StoredFlow:
        """Implement `FlowStore.create`."""
        check_key(flow.id, "id")
        check_lease(owner, seconds)
        created = attrs.evolve(flow, owner=owner, leased_until=self._clock.now() + timedelta(seconds=seconds))

        def create(rows: sqlite3.Connection, cipher: Cipher) -> StoredFlow:
            value = _value(cipher, created)
            present = _find(rows, cipher, _OF_USER, attrs.astuple(flow.key))
            if present is not None:
                return present
            if _find(rows, cipher, _BY_ID, (flow.id,)) is not None:
                raise StoreConflict("there is another flow with this id")
            _insert(rows, created, value)
            return created

        return await self._write(create)

    async def save(self, flow: StoredFlow) -> None:
        """Implement `FlowStore.save`."""
        check_key(flow.id, "id")
        now = self._clock.now()

        def save(rows: sqlite3.Connection, cipher: Cipher) -> None:
            to_text(flow)  # raises if it contains a lone surrogate, before SQLite meets it
            _update(rows, cipher, rules.saved(_find(rows, cipher, _BY_ID, (flow.id,)), flow, now))

        await self._write(save)

    async def load(self, id: str) -> StoredFlow | None:  # noqa: A002 - the name in the protocol
        """Implement `FlowStore.load`."""
        check_key(id, "id")
        return await self._first(_BY_ID, (id,))

    async def find_user(self, key: Key) -> StoredFlow | None:
        """Implement `FlowStore.find_user`."""
        return await self._first(_OF_USER, attrs.astuple(token_key(key)))

    async def list_due(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_due`."""
        return await self._list(limit, client_sid, server, has_ended=False)

    async def lease(self, ids: Collection[str], owner: str, seconds: float) -> set[str]:
        """Implement `FlowStore.lease`."""
        check_lease(owner, seconds)
        now = self._clock.now()
        until = to_number(now + timedelta(seconds=seconds))
        # `rules.with_lease` in SQL: the values, which are not needed, are not read.
        statement = (
            "UPDATE leases SET owner = ?, leased_until = ? WHERE flow = (SELECT number FROM flows WHERE id = ?)"
            " AND (owner = ? OR leased_until <= ?)"
        )
        wanted = _checked(ids)
        return await self._write(
            lambda rows, _: {
                id_ for id_ in wanted if rows.execute(statement, (owner, until, id_, owner, to_number(now))).rowcount
            }
        )

    async def release(self, ids: Collection[str], owner: str) -> None:
        """Implement `FlowStore.release`."""
        check_key(owner, "owner")
        statement = (
            "UPDATE leases SET owner = NULL, leased_until = 0"
            " WHERE flow = (SELECT number FROM flows WHERE id = ?) AND owner = ?"
        )
        parameters = [(id_, owner) for id_ in _checked(ids)]
        await self._write(executing(statement, parameters))

    async def grant(self, id: str, owner: str) -> bool:  # noqa: A002
        """Implement `FlowStore.grant`."""
        check_key(owner, "owner")
        return await self._change(id, lambda flow: rules.granted(flow, owner))

    async def end(self, id: str, state: FlowState, problem: str | None = None) -> bool:  # noqa: A002
        """Implement `FlowStore.end`."""
        now = self._clock.now()
        return await self._change(id, lambda flow: rules.ended(flow, state, problem, now))

    async def list_ended(self, limit: int, *, client_sid: str, server: str) -> Sequence[StoredFlow]:
        """Implement `FlowStore.list_ended`."""
        return await self._list(limit, client_sid, server, has_ended=True)

    async def delete(self, id: str) -> None:  # noqa: A002
        """Implement `FlowStore.delete`. No part of the flow is left in the files of the database."""
        check_key(id, "id")
        await self._write(executing("DELETE FROM flows WHERE id = ?", [(id,)]), erases=True)

    async def _change(self, id_: str, rule: Callable[[StoredFlow | None], StoredFlow | None]) -> bool:
        check_key(id_, "id")

        def change(rows: sqlite3.Connection, cipher: Cipher) -> bool:
            changed = rule(_find(rows, cipher, _BY_ID, (id_,)))
            if changed is not None:
                _update(rows, cipher, changed)
            return changed is not None

        return await self._write(change)

    async def _first(self, where: str, parameters: Sequence[object]) -> StoredFlow | None:
        found = await self._select(where, parameters)
        return found[0] if found else None

    async def _list(self, limit: int, client_sid: str, server: str, *, has_ended: bool) -> Sequence[StoredFlow]:
        check_limit(limit)
        now = to_number(self._clock.now())
        return await self._select(_BY_END, (_app(client_sid, server), has_ended, now, limit))

    async def _select(self, where: str, parameters: Sequence[object]) -> list[StoredFlow]:
        damaged: list[tuple[int, bytes]] = []
        nothing: list[StoredFlow] = []
        found = await self._read(
            lambda rows, cipher: _select(rows, cipher, where, parameters, damaged), missing=nothing
        )
        await self._drop_damaged(damaged)
        return found


def _select(
    rows: sqlite3.Connection,
    cipher: Cipher,
    where: str,
    parameters: Sequence[object],
    damaged: list[tuple[int, bytes]],
) -> list[StoredFlow]:
    """Return the flows that match, and append the number and value of each that cannot be parsed to `damaged`."""
    found: list[StoredFlow] = []
    for number, *place, value, owner, leased_until in rows.execute(_SELECT + where, tuple(parameters)):
        flow = from_text(cipher.unseal(place, value), StoredFlow)
        if flow is None:
            damaged.append((number, value))
            continue
        until = None if owner is None else from_number(leased_until)
        found.append(attrs.evolve(flow, owner=owner, leased_until=until))
    return found


def _find(rows: sqlite3.Connection, cipher: Cipher, where: str, parameters: Sequence[object]) -> StoredFlow | None:
    """Return the flow that matches; a damaged one is deleted. For a transaction that writes."""
    damaged: list[tuple[int, bytes]] = []
    found = _select(rows, cipher, where, parameters, damaged)
    rows.executemany("DELETE FROM flows WHERE number = ? AND CAST(value AS BLOB) = ?", damaged)
    return found[0] if found else None


def _insert(rows: sqlite3.Connection, flow: StoredFlow, value: bytes) -> None:
    assert flow.leased_until is not None
    inserted = rows.execute(
        "INSERT INTO flows (id, user, client_sid, server, has_ended, value) VALUES (?, ?, ?, ?, ?, ?)",
        (flow.id, *attrs.astuple(flow.key), flow.has_ended, value),
    )
    rows.execute(
        "INSERT INTO leases VALUES (?, ?, ?, ?, ?)",
        (
            inserted.lastrowid,
            _app(flow.authorization.client_sid, flow.server),
            flow.has_ended,
            flow.owner,
            to_number(flow.leased_until),
        ),
    )


def _update(rows: sqlite3.Connection, cipher: Cipher, flow: StoredFlow) -> None:
    """Store everything of `flow` but its lease."""
    rows.execute(
        "UPDATE flows SET user = ?, client_sid = ?, server = ?, has_ended = ?, value = ? WHERE id = ?",
        (*attrs.astuple(flow.key), flow.has_ended, _value(cipher, flow), flow.id),
    )
    rows.execute(
        "UPDATE leases SET app = ?, has_ended = ? WHERE flow = (SELECT number FROM flows WHERE id = ?)",
        (_app(flow.authorization.client_sid, flow.server), flow.has_ended, flow.id),
    )


def _value(cipher: Cipher, flow: StoredFlow) -> bytes:
    text = to_text(attrs.evolve(flow, owner=None, leased_until=None))
    return cipher.seal((flow.id, *attrs.astuple(flow.key)), text)


def _app(client_sid: str, server: str) -> str:
    """Return a short text that stands for a client and a server in the index of the leases."""
    return digest(f"{len(client_sid)} {client_sid} {server}")


def _checked(ids: Collection[str]) -> set[str]:
    for id_ in ids:
        check_key(id_, "id")
    return set(ids)
