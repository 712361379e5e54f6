"""The index of the users with stored tokens: a sorted set. The score of a user is the time at which it expires.

The index is in another slot of a cluster than the tokens, so a script cannot change both. It has every user with a
token, and for some time also users without one, which a reader has to leave out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.records import TokenKey
from twilio_oauth_async.stores.redis.calls import RedisScripts, decode_reply
from twilio_oauth_async.stores.redis.names import names_of
from twilio_oauth_async.stores.redis.token_scripts import ADD_USER, EXPIRE_USER, HAS_ANY, REMOVE_USER, SCAN_USERS

_BATCH = 100

_log = logging.getLogger(__name__)


class UserIndex(HoldsSecrets):
    """The users of one prefix."""

    def __init__(self, scripts: RedisScripts) -> None:
        """Create the index on `scripts`."""
        self._scripts = scripts
        self._names = [scripts.name("users", "index")]

    async def add(self, user: str, milliseconds: int) -> None:
        """Add `user` for at least `milliseconds`. A failure is logged: a token is saved without it, too."""
        await self._change(ADD_USER, user, milliseconds)

    async def expire(self, user: str, at: str) -> None:
        """Let `user` expire at this time in milliseconds since 1970. A failure is logged."""
        await self._change(EXPIRE_USER, user, at)

    async def remove(self, user: str) -> None:
        """Remove `user`."""
        await self._scripts.run(REMOVE_USER, self._names, user)

    async def users(self) -> AsyncGenerator[str]:
        """Yield each user with a token once.

        Raises:
            StoreError: the server failed.
        """
        seen: set[str] = set()  # a scan may return a user twice
        cursor = "0"
        while True:
            following, members = await self._scripts.run(SCAN_USERS, self._names, cursor, _BATCH)
            batch = {user for user in map(decode_reply, members[::2]) if user is not None} - seen
            seen |= batch
            for user in await self._with_token(sorted(batch)):
                yield user
            cursor = decode_reply(following) or "0"
            if cursor == "0":
                return

    async def _with_token(self, users: list[str]) -> list[str]:
        results = await asyncio.gather(
            *(self._scripts.run(HAS_ANY, [names_of(self._scripts, TokenKey(user)).records]) for user in users),
            return_exceptions=True,  # all calls are done when an error is raised
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [user for user, result in zip(users, results, strict=True) if result]

    async def _change(self, script: str, user: str, *arguments: str | int) -> None:
        try:
            await self._scripts.run(script, self._names, user, *arguments)
        except StoreError as error:
            _log.warning(
                "the index of users could not be updated; the next save of this user's token repairs it: %s", error
            )
