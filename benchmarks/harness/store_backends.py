"""The stores that benchmarks compare: in memory, in files and on Redis, filled with tokens of a usual size."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from harness.redis_server import redis_server
from harness.rounds import Usage, measured
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import FlowStore, TokenStore
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore
from twilio_oauth_async.stores.records import StoredFlow, StoredToken, TokenKey, epoch_of

CLIENT, SERVER = "OQ" + "1" * 32, "https://oauth.example.com"
BATCH = 500
"""Rows that are stored together when a store is filled."""
STEP = 7919
"""Distance between two users whose tokens are saved one after the other, so that they are not adjacent in memory."""

_NOW = datetime.now(UTC).replace(microsecond=0)


@attrs.frozen
class Bare:
    """A write of a text with the library underneath a store and nothing else, as a comparison."""

    name: str
    write: Callable[[str, str], Awaitable[object]]
    """Its arguments are key and text."""


@attrs.frozen
class Backend:
    """One kind of store."""

    name: str
    tokens: Callable[[str], TokenStore]
    """Opens the token store of a name: the same name, the same data."""
    flows: Callable[[str], FlowStore]
    saves: int
    """Saves in one round of a measurement: as many as take some milliseconds."""
    bare: Bare | None = None
    server: int | None = None
    """The process id of its server."""
    folder: Path | None = None
    """Where its files are, in one subfolder per name."""


def user_key(number: int) -> TokenKey:
    return TokenKey(f"user-{number}@example.com", CLIENT, SERVER)


def stored_token(number: int, generation: int = 1) -> StoredToken:
    """Return a token of a usual size, about 2 KB."""
    signature = secrets.token_urlsafe(64)  # different each time, as in a real token
    token = Token(
        access_token="a" * 800 + signature,
        access_token_expires_at=_NOW + timedelta(hours=1),
        refresh_token=secrets.token_urlsafe(48),
        refresh_token_expires_at=_NOW + timedelta(days=30),
        id_token="i" * 800 + signature,
        scope="openid offline_access",
    )
    return StoredToken(
        token=token,
        client_sid=CLIENT,
        server=SERVER,
        scopes=("openid", "offline_access"),
        epoch=epoch_of(f"code-{number}"),
        signed_in_at=_NOW,
        obtained_at=_NOW,
        generation=generation,
    )


def stored_flow(number: int) -> StoredFlow:
    """Return a device flow that is pending for an hour."""
    authorization = DeviceAuthorization(
        client_sid=CLIENT,
        scopes=("openid", "offline_access"),
        audiences=(),
        device_code=f"device-code-{number}-" + "d" * 40,
        user_code="ABCD-EFGH",
        verification_uri="https://example.com/activate",
        verification_uri_complete="https://example.com/activate?user_code=ABCD-EFGH",
        interval=5.0,
        expires_at=_NOW + timedelta(hours=1),
        next_poll_at=_NOW,
    )
    user = user_key(number).user
    return StoredFlow(
        id=f"flow-{number}", user=user, server=SERVER, authorization=authorization, context={"chat": "42"}
    )


async def in_batches(calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Await all `calls`, some hundred at the same time."""
    waiting = list(calls)
    for first in range(0, len(waiting), BATCH):
        await asyncio.gather(*(call() for call in waiting[first : first + BATCH]))


@attrs.define
class FilledStore:
    """A token store with the tokens of `users` users."""

    store: TokenStore
    users: int
    _next: int = 0

    @classmethod
    async def of(cls, store: TokenStore, users: int) -> FilledStore:
        """Fill `store`."""

        def save(number: int) -> Callable[[], Awaitable[None]]:
            return lambda: store.save(user_key(number), stored_token(number), replaces=None)

        await in_batches(map(save, range(users)))
        return cls(store, users)

    def rotations(self, count: int) -> list[tuple[TokenKey, StoredToken]]:
        """Return the next `count` tokens to save: each is the next rotation of its user's token."""
        numbers = range(self._next, self._next + count)
        self._next += count
        users = [(number * STEP % self.users, 2 + number // self.users) for number in numbers]
        return [(user_key(user), stored_token(user, generation)) for user, generation in users]

    def save(self, rotation: tuple[TokenKey, StoredToken]) -> Awaitable[None]:
        """Save one of the `rotations`."""
        key, stored = rotation
        return self.store.save(key, stored, replaces=stored.epoch)

    async def one_after_the_other(self, count: int) -> Usage:
        """Save `count` rotations; creating them is not measured."""
        rotations = self.rotations(count)
        with measured() as usage:
            for rotation in rotations:
                await self.save(rotation)
        return usage

    async def together(self, count: int) -> Usage:
        """Save `count` rotations that wait at the same time."""
        rotations = self.rotations(count)
        with measured() as usage:
            await asyncio.gather(*map(self.save, rotations))
        return usage


@contextlib.asynccontextmanager
async def memory_backend() -> AsyncGenerator[Backend]:
    """Yield the stores in memory."""
    tokens, flows = dict[str, MemoryTokenStore](), dict[str, MemoryFlowStore]()
    yield Backend(
        "memory",
        lambda name: tokens.setdefault(name, MemoryTokenStore()),
        lambda name: flows.setdefault(name, MemoryFlowStore()),
        saves=2_000,
    )


@contextlib.asynccontextmanager
async def file_backend(folder: Path) -> AsyncGenerator[Backend]:
    """Yield the stores in files; the comparison is a connection with the same settings, used in the event loop."""
    from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}")
    connection.execute("CREATE TABLE tokens (user TEXT PRIMARY KEY, value TEXT)")

    async def write(user: str, text: str) -> None:
        connection.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", (user, text))

    stores = contextlib.AsyncExitStack()

    def tokens(name: str) -> TokenStore:
        store = FileTokenStore(folder / name / "tokens.db")
        stores.push_async_callback(store.close)
        return store

    def flows(name: str) -> FlowStore:
        store = FileFlowStore(folder / name / "flows.db")
        stores.push_async_callback(store.close)
        return store

    try:
        async with stores:
            yield Backend("file", tokens, flows, saves=40, bare=Bare("sqlite3", write), folder=folder)
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def redis_backend(folder: Path, versions: dict[str, str]) -> AsyncGenerator[Backend | None]:
    """Yield the stores on a Redis server of this run; None if it is not installed. `versions` gets its version."""
    # These are the settings that the documentation of the stores recommends as a minimum.
    async with redis_server(folder, "--appendonly", "yes", "--appendfsync", "everysec") as server:
        if server is None:
            yield None
            return
        versions["redis-server"] = server.version
        from redis.asyncio import Redis

        from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

        client: Redis = Redis.from_url(server.url)  # pyright: ignore[reportUnknownMemberType]
        try:
            yield Backend(
                "Redis",
                lambda name: RedisTokenStore(client, prefix=name),
                lambda name: RedisFlowStore(client, prefix=name),
                saves=100,
                bare=Bare("SET", client.set),
                server=server.pid,
            )
        finally:
            await client.aclose()
