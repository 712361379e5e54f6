"""`TokenManagers`: a manager for each user of a web backend or a bot."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from types import TracebackType
from typing import TYPE_CHECKING, Self

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.grants.base import Grant
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.tokens.manager import OnToken, TokenManager, clock_of

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier


class TokenManagers:
    """One `TokenManager` a key, over one store; those that nobody asked for in a while are let go.

    A manager that is let go loses nothing: what it knows is in the store. One that is refreshing, saving or signing
    in is never let go.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        store: TokenStore,
        leeway: float = 60.0,
        verifier: IdTokenVerifier | None = None,
        on_token: OnToken | None = None,
        clock: Clock | None = None,
        max_idle: float = 900.0,
    ) -> None:
        """As `TokenManager`, for all of them; and:

        Args:
            max_idle: seconds after which a manager that nobody asked for is let go.

        Raises:
            ConfigurationError: `max_idle` is not positive, or as `TokenManager`.
        """
        if not max_idle > 0:
            raise ConfigurationError("max_idle must be a positive number of seconds")
        self._grant = grant
        self._store = store
        self._leeway = leeway
        self._verifier = verifier
        self._on_token = on_token
        self._clock = clock or clock_of(grant)
        self._max_idle = max_idle
        self._managers: OrderedDict[str, TokenManager] = OrderedDict()  # the one asked for last stands last
        self._asked_at: dict[str, float] = {}

    def get(self, key: str) -> TokenManager:
        """The manager of `key`, always the same one while it is in use.

        Raises:
            ConfigurationError: an empty key.
        """
        now = self._clock.monotonic()
        self._let_go(now)
        manager = self._managers.get(key)
        if manager is None:
            manager = self._managers[key] = TokenManager(
                self._grant,
                store=self._store,
                key=key,
                leeway=self._leeway,
                verifier=self._verifier,
                on_token=self._on_token,
                clock=self._clock,
            )
        self._managers.move_to_end(key)
        self._asked_at[key] = now
        return manager

    def __len__(self) -> int:
        return len(self._managers)

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

    def _let_go(self, now: float) -> None:
        """Look at those asked for longest ago only: asking for one costs the same however many there are."""
        for _ in range(min(len(self._managers), 2)):
            key = next(iter(self._managers))
            if now - self._asked_at[key] <= self._max_idle:
                return
            if self._managers[key].is_busy:
                self._managers.move_to_end(key)
                self._asked_at[key] = now
            else:
                del self._managers[key], self._asked_at[key]
