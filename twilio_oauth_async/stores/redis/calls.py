"""The way to a Redis server: scripts, each in bounded time, and every failure a `StoreError` without a secret.

All goes through ``EVAL``. A script is one step for everybody else; it is sent to the primary even by a client that
reads from replicas, where a token may be an old one; and unlike ``EVALSHA`` it needs nothing that a restart or a
failover takes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote
from weakref import WeakKeyDictionary

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.serializable import Secretive
from twilio_oauth_async.stores.keys import digest

CALL_TIMEOUT = 5.0
"""Seconds that one call may take, the client's own retries and its wait for a free connection included."""

CALLS_AT_ONCE = 32
"""Commands of one store that are under way at a time; each takes a connection, and a pool that has none left raises."""

_LONGEST_NAME = 128


class RedisClient(Protocol):
    """What is used of a ``redis.asyncio.Redis`` or ``RedisCluster``, with ``decode_responses`` or without."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> Any:
        """The awaitable result of a Lua script."""
        ...


class RedisCalls(Secretive):
    """Runs scripts on a client that somebody else owns: it is neither closed nor changed."""

    def __init__(self, redis: RedisClient, *, prefix: str, timeout: float) -> None:
        """No command is sent here.

        Args:
            redis: the lent client.
            prefix: of all names of keys.
            timeout: seconds for one call.

        Raises:
            ConfigurationError: a client that would block the loop, a prefix that would break the keys' hash tag, or a
                `timeout` that is none.
            ModuleNotFoundError: the extra ``redis`` is not installed.
        """
        with from_extra("redis", "redis"):
            import redis as package
        if isinstance(redis, package.Redis | package.RedisCluster):
            raise ConfigurationError("redis: this client blocks; it must be one of redis.asyncio")
        if not prefix or set(prefix) & set("{}") or not prefix.isprintable():
            raise ConfigurationError("prefix: one or more characters, without braces")
        if not timeout > 0:
            raise ConfigurationError("timeout must be a positive number of seconds")
        self._redis = redis
        self._prefix = prefix
        self._timeout = timeout
        # A semaphore that was waited for belongs to one loop for good; a store may see several.
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @property
    def prefix(self) -> str:
        """Of all names."""
        return self._prefix

    def name(self, key: str, part: str) -> str:
        """The name of one of the server's keys; all parts of one `key` share a cluster's slot by their hash tag.

        The 1 is the format: a later one lives under other names, so that during an upgrade old and new processes do not
        take each other's records for damaged.
        """
        return f"{self._prefix}:1:{{{_tag(key)}}}:{part}"

    async def run(self, script: str, names: Sequence[str], *arguments: str | bytes | int) -> Any:
        """What `script` returns.

        Raises:
            StoreError: the server refused, or did not answer in time; it may have acted all the same.
        """
        try:
            async with asyncio.timeout(self._timeout), self._gate():
                return await self._redis.eval(script, len(names), *names, *arguments)
        except TimeoutError:
            reason = f"no answer within {self._timeout:g} s"
        except Exception as error:  # noqa: BLE001 - a lent client of any kind; its text may hold what was sent
            reason = _describe(error)
        # Raised out here: without the client's error behind it, whose frames hold what was sent.
        raise StoreError(f"Redis: {reason}")

    def _gate(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if loop not in self._gates:
            self._gates[loop] = asyncio.Semaphore(CALLS_AT_ONCE)
        return self._gates[loop]


def text_of(value: object) -> str | None:
    """A reply as text, whether the client decodes or not; None where it is neither, or not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _tag(key: str) -> str:
    """`key` without braces, which would end the hash tag: legible where it is short, a digest where it is long."""
    quoted = quote(key, safe="@:")
    return quoted if len(quoted) <= _LONGEST_NAME else f"={digest(key)}"  # no quoted key begins with "="


def _describe(error: Exception) -> str:
    """The kind of error, and the server's own code for it (``OOM``, ``READONLY``): words that hold no value."""
    code = str(error).partition(" ")[0]
    kind = type(error).__name__
    return f"{kind} {code}" if code.isalpha() and code.isascii() and code.isupper() and len(code) <= 16 else kind
