"""Runs Lua scripts on a Redis server: each call has a deadline, and every failure is a `StoreError` without secrets.

Every command is an ``EVAL``. Redis runs a script atomically. Clients always send ``EVAL`` to the primary, even if they
read from replicas, whose tokens may be old. ``EVAL`` needs no script cache; ``EVALSHA`` needs one, and a restart or a
failover clears it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote
from weakref import WeakKeyDictionary

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.keys import digest

CALL_TIMEOUT = 5.0
"""Default number of seconds for one call, including the client's own retries and its wait for a free connection."""

MAX_CONCURRENT_CALLS = 32
"""Commands that one store sends at the same time. Each needs a connection, and an empty pool makes the client raise."""

_MAX_TAG_LENGTH = 128


class RedisClient(Protocol):
    """The part of ``redis.asyncio.Redis`` and ``RedisCluster`` that is used, with ``decode_responses`` or without."""

    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> Any:
        """Return an awaitable with the result of a Lua script."""
        ...


class RedisScripts(HoldsSecrets):
    """Runs scripts on the caller's client. The client is neither closed nor changed."""

    def __init__(self, redis: RedisClient, *, prefix: str, timeout: float) -> None:
        """Check the arguments. No command is sent.

        Args:
            redis: the caller's client.
            prefix: the prefix of all names in Redis.
            timeout: seconds for one call.

        Raises:
            ConfigurationError: the client is not asynchronous, `prefix` is empty or contains braces or unprintable
                characters, or `timeout` is not positive.
            MissingExtraError: the extra ``redis`` is not installed.
        """
        with from_extra("redis", "redis"):
            import redis as package
        if isinstance(redis, package.Redis | package.RedisCluster):
            raise ConfigurationError("redis must be a client from redis.asyncio: this one blocks the event loop")
        if not prefix or set(prefix) & set("{}") or not prefix.isprintable():
            raise ConfigurationError("prefix must be one or more printable characters without braces")
        if not timeout > 0:
            raise ConfigurationError("timeout must be a positive number of seconds")
        self._redis = redis
        self._prefix = prefix
        self._timeout = timeout
        # An asyncio.Semaphore is bound to one loop once a task has waited for it; a store may be used in several loops.
        self._semaphores: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @property
    def prefix(self) -> str:
        """The prefix of all names."""
        return self._prefix

    def name(self, key: str, part: str) -> str:
        """Return the name in Redis for one part of `key`; the hash tag puts all parts in one slot of a cluster.

        The 1 is the version of the format. A later version uses other names, so that old and new processes do not
        treat each other's records as damaged during an upgrade.
        """
        return f"{self._prefix}:1:{{{_hash_tag(key)}}}:{part}"

    async def run(self, script: str, names: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Run `script` and return its result.

        Raises:
            StoreError: the server returned an error or did not respond in time; the script may still have run.
        """
        try:
            async with asyncio.timeout(self._timeout), self._semaphore():
                return await self._redis.eval(script, len(names), *names, *arguments)
        except TimeoutError:
            reason = f"no response within {self._timeout:g} s"
        except Exception as error:  # noqa: BLE001 - the caller's client may raise anything
            reason = _describe(error)
        # Raised after the except blocks, so that the client's error is not chained: it may hold a token.
        raise StoreError(f"Redis: {reason}")

    def _semaphore(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if loop not in self._semaphores:
            self._semaphores[loop] = asyncio.Semaphore(MAX_CONCURRENT_CALLS)
        return self._semaphores[loop]


def decode_reply(value: object) -> str | None:
    """Return a reply as text, whether the client decodes replies or not; None if it is not text or not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _hash_tag(key: str) -> str:
    """Return `key` without braces, which would end the hash tag: quoted if it is short, hashed if it is long."""
    quoted = quote(key, safe="@:")
    return quoted if len(quoted) <= _MAX_TAG_LENGTH else f"={digest(key)}"  # no quoted key begins with "="


def _describe(error: Exception) -> str:
    """Return the class of the error and the server's error code (``OOM``, ``READONLY``); neither contains a value."""
    code = str(error).partition(" ")[0]
    kind = type(error).__name__
    return f"{kind} {code}" if code.isalpha() and code.isascii() and code.isupper() and len(code) <= 16 else kind
