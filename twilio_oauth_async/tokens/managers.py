"""`TokenManagers`: a manager for each user of a web backend or a bot."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError, LoginReason, TwilioOAuthError
from twilio_oauth_async.grants.base import Grant
from twilio_oauth_async.protocol.argument_checks import check_seconds, is_text
from twilio_oauth_async.stores.base import StoredToken, TokenStore
from twilio_oauth_async.tokens.arguments import check_arguments
from twilio_oauth_async.tokens.identity import clock_of, identity_of, key_of, why_unusable
from twilio_oauth_async.tokens.manager import TokenManager
from twilio_oauth_async.tokens.reports import OnToken
from twilio_oauth_async.tokens.server_time import skew_of

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier

OnUserLoginRequired: TypeAlias = Callable[[str, LoginReason], Awaitable[None] | None]

MAX_MANAGERS = 10_000
"""Managers that are kept at the same time. A web site asks for one for each cookie, also for one that a client has made
up. Beyond that, those that were not asked for the longest are dropped."""

KEEP_ALIVE_USER = "twilio-oauth-async keep-alive"
"""The lock of this name makes sure that one process of many refreshes idle sign-ins. No token is stored under it."""

_log = logging.getLogger(__name__)


class TokenManagers:
    """One `TokenManager` for each user, over one store. A manager that was not asked for in a while is dropped.

    A manager that is dropped loses nothing: its token is in the store. One that is refreshing, saving or signing in is
    never dropped.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        store: TokenStore,
        leeway: float = 60.0,
        verifier: IdTokenVerifier | None = None,
        on_token: OnToken | None = None,
        on_login_required: OnUserLoginRequired | None = None,
        clock: Clock | None = None,
        max_idle: float = 900.0,
    ) -> None:
        """Create it; nothing is read or sent. The arguments are those of `TokenManager`, except:

        Args:
            on_login_required: called with the user and the reason when a sign-in has ended for good.
            max_idle: seconds after which a manager that was not asked for is dropped.

        Raises:
            ConfigurationError: `max_idle` is not positive, or as `TokenManager`.
        """
        check_arguments(
            grant=grant,
            store=store,
            leeway=leeway,
            verifier=verifier,
            clock=clock,
            on_token=on_token,
            on_login_required=on_login_required,
        )
        if store is None:  # pyright: ignore[reportUnnecessaryComparison]
            raise ConfigurationError("store must be a TokenStore: the managers of all users share it")
        check_seconds("max_idle", max_idle)
        self._grant = grant
        self._store = store
        self._leeway = leeway
        self._verifier = verifier
        self._on_token = on_token
        self._on_login_required = on_login_required
        self._clock = clock or clock_of(grant)
        self._max_idle = max_idle
        self._managers: OrderedDict[str, TokenManager] = OrderedDict()  # the one asked for last stands last
        self._asked_at: dict[str, float] = {}

    def get(self, key: str) -> TokenManager:
        """Return the manager of the user `key`; it stays the same one while it is in use.

        Raises:
            ConfigurationError: an empty key.
        """
        now = self._clock.monotonic()
        self._drop_idle(now)
        # `TokenManager` refuses a key that is not text.
        manager = self._managers.get(key) if is_text(key) else None
        if manager is None:
            on_login_required = self._on_login_required
            manager = self._managers[key] = TokenManager(
                self._grant,
                store=self._store,
                key=key,
                leeway=self._leeway,
                verifier=self._verifier,
                on_token=self._on_token,
                on_login_required=on_login_required and functools.partial(on_login_required, key),
                clock=self._clock,
            )
        self._managers.move_to_end(key)
        self._asked_at[key] = now
        return manager

    def in_use(self, key: str) -> TokenManager | None:
        """Return the manager of the user `key` if there is one; none is created."""
        return self._managers.get(key)

    def __len__(self) -> int:
        return len(self._managers)

    async def users(self) -> AsyncIterator[str]:
        """Yield the users with a stored token, each once, in any order. A shared store has those of all its clients.

        Raises:
            StoreError: the store failed.
        """
        async for user in self._store.users():
            yield user

    async def erase(self, key: str) -> None:
        """Revoke the token of the user `key`, and remove everything that the store has about that user.

        Tokens of other clients in a shared store are removed too, but not revoked. Nothing is left that names the user.
        So a manager of another process that has the revoked token in memory may store it once more: call this again
        when that manager is dropped (`max_idle`).

        Raises:
            StoreError: the store failed.
            TwilioOAuthError: the token could not be revoked; nothing is removed.
        """
        at = key_of(self._grant, key)
        while True:
            await self.get(key).logout()
            async with self._store.lock(at):
                # A sign-in that was saved since the logout must not be removed without being revoked.
                if await self._store.load(at) is None:
                    await self._store.erase(key)
                    return

    async def follow(self, changes: AsyncIterator[tuple[str, StoredToken | None]]) -> None:
        """Let managers use tokens that other processes have refreshed, without a look into the store.

        It ends with `changes`. Without it, a manager reads the store when its token is about to expire.

        Args:
            changes: of the store, for example `NatsTokenStore.changes()`.

        Raises:
            StoreError: the store failed; changes may have been missed.
        """
        async for user, stored in changes:
            manager = self.in_use(user)
            if manager is not None and stored is not None:
                manager.take_in(stored)

    async def keep_alive(self, *, every: float = 3600.0, before: float = 604_800.0) -> None:
        """Refresh the stored sign-ins of idle users before their refresh tokens expire. Runs until it is cancelled.

        Run it in a task in each process: a lock of the store lets one of them do the work. Refresh tokens whose expiry
        is unknown are left alone. Failures are logged, and the next pass tries again.

        Args:
            every: seconds between two passes; the first one starts after a random part of it.
            before: seconds before its expiry at which a refresh token is used; at most half of its lifetime.

        Raises:
            ConfigurationError: an argument is not positive.
        """
        if not (0 < every < math.inf and before > 0):
            raise ConfigurationError("every and before must be positive numbers of seconds")
        await self._clock.sleep(every * random.random())  # noqa: S311 - no secret: spreads the processes
        while True:
            try:
                await self._pass_over_idle(before)
            except Exception as error:  # noqa: BLE001 - of the caller's own store
                _log.warning("the store failed, so idle sign-ins were not refreshed: %s", _text_of(error))
            await self._clock.sleep(every)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for every refresh and save under way."""
        managers = list(self._managers.values())
        self._managers.clear()
        self._asked_at.clear()
        await asyncio.gather(*(manager.close() for manager in managers))

    async def _pass_over_idle(self, before: float) -> None:
        key = key_of(self._grant, KEEP_ALIVE_USER)
        await self._store.load(key)  # raises if the store is down: else a lock that fails is held by another process
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._store.lock(key))
            except Exception as error:  # noqa: BLE001 - of the caller's own store
                _log.info("another process refreshes the idle sign-ins: %s", _text_of(error))
            else:
                await self._refresh_idle(before)

    async def _refresh_idle(self, before: float) -> None:
        identity = identity_of(self._grant)
        async for user in self._store.users():
            try:
                stored = await self._store.load(key_of(self._grant, user))
                if stored is not None and why_unusable(stored, identity) is None and self._is_due(stored, before):
                    await self.get(user).refresh(stored.token.access_token)
            except Exception as error:  # noqa: BLE001 - of the caller's own store
                _log.warning("the idle sign-in of %r was not refreshed: %s", user, _text_of(error))

    def _is_due(self, stored: StoredToken, before: float) -> bool:
        expires_at = stored.token.refresh_token_expires_at
        if stored.token.refresh_token is None or expires_at is None:
            return False
        lifetime = (expires_at - stored.obtained_at).total_seconds()
        server_now = self._clock.now() + timedelta(seconds=skew_of(self._grant))
        return server_now >= expires_at - timedelta(seconds=min(before, lifetime / 2))

    def _drop_idle(self, now: float) -> None:
        """Look only at those that were asked for longest ago: the cost does not depend on their number."""
        for _ in range(min(len(self._managers), 2)):
            key = next(iter(self._managers))
            if now - self._asked_at[key] <= self._max_idle and len(self._managers) < MAX_MANAGERS:
                return
            if self._managers[key].is_busy:
                self._managers.move_to_end(key)
                self._asked_at[key] = now
            else:
                del self._managers[key], self._asked_at[key]


def _text_of(error: Exception) -> str:
    """Return what may be logged: an exception that is not of this package may contain anything."""
    return str(error) if isinstance(error, TwilioOAuthError) else type(error).__name__
