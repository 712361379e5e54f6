"""Runs Lua scripts on a Redis server. Each call is limited in time; every failure is a `StoreError` without secrets.

Every command is an ``EVAL``. A script runs atomically. It is sent to the primary, also by a client that reads from
replicas, which may hold an old token. Unlike ``EVALSHA`` it needs no script cache, which a restart or a failover
clears. A script uses only keys that it is given and that are in one slot, as clusters demand.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import quote

from twilio_oauth_async import in_flight
from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.argument_checks import check_seconds, is_printable
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.keys import digest
from twilio_oauth_async.stores.redis.call_queue import CallQueue

CALL_TIMEOUT = 5.0
"""Default number of seconds for one call, including the client's own retries and its wait for a free connection."""

FORMAT = 2
"""The version of the format, a part of all names. Processes of another version use other names, so that they do not
treat each other's records as damaged during an upgrade."""

_MAX_NAME_LENGTH = 128

_READ_POLICY = "return redis.call('INFO', 'memory')"
"""``INFO`` is allowed in a script, ``CONFIG`` is not."""

_log = logging.getLogger(__name__)


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
            prefix: of the names of all keys.
            timeout: seconds for one call, without its wait for a place (`CallQueue`).

        Raises:
            ConfigurationError: `redis` is no client, or not an asynchronous one; `prefix` is empty or contains braces
                or unprintable characters; or `timeout` is not positive.
            MissingExtraError: the extra ``redis`` is not installed.
        """
        with from_extra("redis", "redis"):
            import redis as package
        if isinstance(redis, package.Redis | package.RedisCluster):
            raise ConfigurationError("redis must be a client from redis.asyncio: this one blocks the event loop")
        if not callable(getattr(redis, "eval", None)):
            raise ConfigurationError("redis must be a client from redis.asyncio, for example Redis.from_url(...)")
        if not is_printable(prefix) or set(prefix) & set("{}"):
            raise ConfigurationError("prefix must be one or more printable characters without braces")
        check_seconds("timeout", timeout)
        self._redis = redis
        self._prefix = prefix
        self._timeout = timeout
        self._queue = CallQueue(timeout)
        self._policy_was_read = False

    @property
    def prefix(self) -> str:
        """The prefix of all names."""
        return self._prefix

    def name(self, tag: str, part: str) -> str:
        """Return a name in Redis. All names with the same `tag` are in one slot of a cluster."""
        return f"{self._prefix}:{FORMAT}:{{{quoted(tag)}}}:{part}"

    async def run(
        self, script: str, names: Sequence[str], *arguments: str | bytes | int, reserved: bool = False
    ) -> Any:
        """Run `script` and return its result; with `reserved` in a place that is kept for locks.

        Raises:
            StoreError: the server returned an error or did not respond in time; the script may still have run.
        """
        reply = await self._run(script, names, arguments, reserved)
        if not self._policy_was_read:
            self._policy_was_read = True
            await self._check_policy(names[0])
        return reply

    async def _run(
        self, script: str, names: Sequence[str], arguments: Sequence[str | bytes | int], reserved: bool
    ) -> Any:
        async with self._queue.place(reserved=reserved):
            try:
                async with asyncio.timeout(self._timeout):
                    with in_flight.call():
                        reply = await self._redis.eval(script, len(names), *names, *arguments)
            except TimeoutError:
                reason = f"no response within {self._timeout:g} s"
            except Exception as error:  # noqa: BLE001 - the caller's client may raise anything, with what was sent in it
                reason = _describe(error)
            else:
                self._queue.record_reply()
                return reply
            # Raised outside the except block, so that the client's error is not chained: its frames hold what was sent.
            raise StoreError(f"Redis: {reason}")

    async def _check_policy(self, name: str) -> None:
        """Warn if the server deletes keys when its memory is full. Not every user of a server may read this."""
        try:
            reply = decode_reply(await self._run(_READ_POLICY, [name], (), False))
        except StoreError:
            return
        found = re.search(r"^maxmemory_policy:([a-z-]+)", reply or "", re.MULTILINE)
        policy = "noeviction" if found is None else found[1]
        if policy != "noeviction":
            # All keys of the stores expire, so a policy volatile-... evicts them, too.
            _log.warning(
                "the Redis server may evict tokens: its maxmemory-policy is %s; a store of tokens needs noeviction",
                policy,
            )


def decode_reply(value: object) -> str | None:
    """Return a reply as text, whether the client decodes replies or not; None if it is not text or not UTF-8."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def quoted(text: str) -> str:
    """Return `text` without braces, which would end a hash tag, and without spaces: hashed if it is long."""
    short = quote(text, safe="@:")
    return short if len(short) <= _MAX_NAME_LENGTH else f"={digest(text)}"  # no quoted text begins with "="


def _describe(error: Exception) -> str:
    """Return the class of the error and the server's error code (``OOM``, ``READONLY``); neither contains a value."""
    code = str(error).partition(" ")[0]
    kind = type(error).__name__
    return f"{kind} {code}" if code.isalpha() and code.isascii() and code.isupper() and len(code) <= 16 else kind
