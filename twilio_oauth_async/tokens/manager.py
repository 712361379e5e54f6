"""`TokenManager`: a token that stays alive, one refresh at a time.

What to do with a token is `token_life`'s affair, doing it `token_renewal`'s; this module shares one renewal among all
who wait, hands out what is fresh at once, and owns the tasks.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import random
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import (
    ApiError,
    ConfigurationError,
    LoginRequired,
    RevocationUnsupported,
    TwilioOAuthError,
)
from twilio_oauth_async.grants.base import Grant, GrantIdentity
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import Key, TokenKey, TokenStore
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens import lifetime
from twilio_oauth_async.tokens.background import BackgroundRefresh
from twilio_oauth_async.tokens.refresh import Renewed, TokenRenewal

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier

OnToken: TypeAlias = Callable[[Token], Awaitable[None] | None]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class TokenManager:
    """Keeps the token under one key alive. Any number of tasks may use it at once; cheap enough to ask every time.

    Usable as it is; as an async context manager it also refreshes in the background, so that nobody has to wait.
    Managers in other processes and on other hosts that share the store share the token, and refresh it once.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        store: TokenStore | None = None,
        key: str | None = None,
        leeway: float = 60.0,
        verifier: IdTokenVerifier | None = None,
        on_token: OnToken | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is read or sent here.

        Args:
            grant: how a token is had and refreshed.
            store: where it is kept; None: in memory, for this manager alone.
            key: whose token it is, in a store that may hold many.
            leeway: seconds before its end at which a token is refreshed; never more than a tenth of its lifetime.
            verifier: checks the id tokens that come in (OIDC Core 3.1.3.7 and 12.2).
            on_token: called with each token that this manager obtains, after it was saved; may be a coroutine function.
            clock: where time comes from; None: the one of the grant's session, else the machine's.

        Raises:
            ConfigurationError: a store without a key, a negative leeway, or what is no grant.
        """
        if not all(callable(getattr(grant, name, None)) for name in ("obtain", "refresh", "revoke")):
            raise ConfigurationError("grant must be a DeviceFlow, an AuthorizationCodeFlow, or another Grant")
        if store is not None and not key:
            raise ConfigurationError("key must not be empty: it is the name of this token in the store")
        if not leeway >= 0:
            raise ConfigurationError("leeway must not be negative (seconds)")
        self._clock: Clock = clock or clock_of(grant)
        self._monotonic = self._clock.monotonic
        self._leeway = leeway
        self._on_token = on_token
        self._steps = TokenRenewal(
            grant=grant,
            store=store if store is not None else MemoryTokenStore(clock=self._clock),
            key=key_of(grant, key or "default"),
            clock=self._clock,
            verifier=verifier,
        )
        self._user = key or "default"
        self._token: Token | None = None
        self._held: Renewed | None = None
        self._fresh_until = -math.inf  # on the clock's monotonic side
        self._not_before = -math.inf  # no refresh until then, likewise
        self._failure: TwilioOAuthError | None = None
        self._refused: str | None = None
        self._renewal: asyncio.Task[Renewed | TwilioOAuthError] | None = None
        self._owned: set[asyncio.Task[Any]] = set()
        self._login = asyncio.Lock()
        self._share = random.random()  # noqa: S311 - no secret: spreads the refreshes of many processes
        self._background = BackgroundRefresh(
            self._clock, due=self._seconds_to_background_refresh, refresh=self._refresh_early, key=key or "default"
        )

    def __repr__(self) -> str:
        return f"TokenManager(key={self._user!r}, grant={self._steps.grant!r})"

    async def __aenter__(self) -> Self:
        self._background.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def token(self, *, login: bool = False) -> Token:
        """A token that works now.

        Args:
            login: run the grant where only a person can help.

        Raises:
            LoginRequired: only a person can help, and `login` was not asked for.
            StoreError: the store failed, and no valid token is at hand; or a new token could not be saved: this is
                told once, the token is in use and the next call returns it.
            TwilioOAuthError: the refresh failed, and no valid token is at hand.
        """
        token = self._token
        if token is not None and self._monotonic() < self._fresh_until:
            return token
        outcome = await self._renew_once()
        if isinstance(outcome, Renewed):
            return outcome.stored.token
        if not login or not isinstance(outcome, LoginRequired):
            raise outcome.with_traceback(None)
        async with self._login:
            if self._token is not None and self._monotonic() < self._fresh_until:
                return self._token  # somebody else has signed in meanwhile
            return await self._obtain()

    async def access_token(self) -> str:
        """The access token of `token`; raises as it does."""
        return (await self.token()).access_token

    async def login(self) -> Token:
        """Run the grant and save what it gives.

        Raises:
            TwilioOAuthError: the grant failed, or its token could not be saved (`StoreError`; it is in use).
        """
        async with self._login:
            return await self._obtain()

    async def adopt(self, token: Token, *, epoch: str | None = None, signed_in_at: datetime | None = None) -> None:
        """Save and use a token that came another way; raises `StoreError` as `token` does.

        Args:
            token: the token of a new sign-in.
            epoch: names the sign-in (`stores.base.epoch_of` its code); None: a random value.
            signed_in_at: UTC, when the token was received; None: now. Whoever calls this again after a `StoreError`
                gives the same time again: the first call may have saved the token, and the user may have signed out.

        Raises:
            LoginRequired: the user has signed out meanwhile.
        """
        await self._owned_to_its_end(self._keep(token, epoch, signed_in_at))

    async def logout(self) -> None:
        """Revoke the token at the server and forget it here and in the store.

        Raises:
            RevocationUnsupported: the server has no revocation endpoint; the token is forgotten all the same.
            ServerError: the token is still alive (RFC 7009 2.2.1); it is kept here too.
            TwilioOAuthError: it could not be revoked; it is kept.
        """
        await self._owned_to_its_end(self._forget())

    def invalidate(self, access_token: str) -> None:
        """Say that a resource server refused `access_token` (RFC 6750 3.1): the next `token` refreshes, once.

        Nothing happens where the manager already uses another one.
        """
        if self._token is None or self._token.access_token == access_token:
            self._refused = access_token
            self._fresh_until = -math.inf

    async def close(self) -> None:
        """Stop refreshing in the background, and wait for a refresh or save under way."""
        await self._background.stop()
        under_way = {*self._owned, *({self._renewal} if self._renewal is not None else ())}
        if under_way:
            await asyncio.wait(under_way)

    @property
    def is_busy(self) -> bool:
        """Whether a renewal, a save or a login is under way."""
        renewing = self._renewal is not None and not self._renewal.done()
        return renewing or bool(self._owned) or self._login.locked()

    async def _renew_once(self, leeway: float | None = None) -> Renewed | TwilioOAuthError:
        """Wait for the renewal under way, or for a new one. A cancelled waiter leaves it to the others."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(self._leeway if leeway is None else leeway))
        return await asyncio.shield(self._renewal)

    async def _renew(self, leeway: float) -> Renewed | TwilioOAuthError:
        held, refused = self._held, self._refused
        if self._monotonic() < self._not_before:
            # Asked and answered a moment ago.
            if held is not None and (self._failure is None or self._is_usable(held)):
                return held
            if self._failure is not None:
                return self._failure
        try:
            renewed = await self._loaded() if held is None else None
            if renewed is None:
                renewed = await self._steps.renew(held=held, leeway=leeway, refused=refused)
        except TwilioOAuthError as error:
            return self._after_failure(error)
        if renewed.is_new:
            # Rule 21: whoever is refused again at once is not helped by another one.
            self._not_before = self._monotonic() + lifetime.MIN_REFRESH_GAP
        self._use(renewed)
        return await self._announced(renewed)

    async def _loaded(self) -> Renewed | None:
        """What the store has, where it can be used as it is: without a lock."""
        stored = await self._steps.store.load(self._steps.key)
        if stored is None:
            return None
        move = lifetime.judge(stored, now=self._clock.now(), leeway=self._leeway, refused=self._refused)
        return Renewed(stored=stored) if move is lifetime.Move.USE else None

    def _after_failure(self, error: TwilioOAuthError) -> Renewed | TwilioOAuthError:
        if isinstance(error, LoginRequired):
            return error
        retry_after = error.retry_after if isinstance(error, ApiError) else None
        self._not_before = self._monotonic() + max(lifetime.MIN_REFRESH_GAP, retry_after or 0.0)
        self._failure = error
        held = self._held
        if held is None or not self._is_usable(held):
            return error
        _log.warning("the token for %r could not be refreshed and is used on: %s", self._user, error)
        self._fresh_until = min(self._not_before, self._end_of(held))
        return held

    def _use(self, renewed: Renewed) -> None:
        """Hand it out from now on."""
        now, wall = self._monotonic(), self._clock.now()
        fresh = lifetime.seconds_fresh(renewed.stored, self._leeway, wall)
        self._held, self._token, self._failure = renewed, renewed.stored.token, None
        if self._refused != self._token.access_token:
            self._refused = None
        if renewed.is_new:
            self._share = random.random()  # noqa: S311
        if self._refused is not None:
            fresh = max(self._not_before - now, 0.0)
        elif fresh == 0:
            # It cannot be refreshed, or must not yet: used to its end (rows 17 and 25).
            fresh = max(self._end_of(renewed) - now, lifetime.MIN_REFRESH_GAP)
        if renewed.unsaved is not None:
            # Asked again soon: each renewal tries to save first.
            fresh = min(fresh, lifetime.MIN_REFRESH_GAP)
        self._fresh_until = now + fresh
        self._background.changed.set()

    async def _announced(self, renewed: Renewed) -> Renewed | TwilioOAuthError:
        if renewed.is_new and self._on_token is not None:
            told = self._on_token(renewed.stored.token)
            if inspect.isawaitable(told):
                await told
        return renewed if renewed.unsaved is None else renewed.unsaved

    async def _obtain(self) -> Token:
        return await self._owned_to_its_end(self._keep(await self._steps.grant.obtain()))

    async def _keep(self, token: Token, epoch: str | None = None, signed_in_at: datetime | None = None) -> Token:
        renewed = await self._steps.keep(token, epoch=epoch, signed_in_at=signed_in_at)
        self._use(renewed)
        outcome = await self._announced(renewed)
        if isinstance(outcome, TwilioOAuthError):
            raise outcome
        return outcome.stored.token

    async def _forget(self) -> None:
        if self._renewal is not None:
            await asyncio.wait({self._renewal})
        try:
            await self._steps.revoke(held=self._held)
        except RevocationUnsupported:
            self._drop()
            raise
        self._drop()

    def _drop(self) -> None:
        self._held = self._token = self._failure = self._refused = None
        self._fresh_until = self._not_before = -math.inf
        self._background.changed.set()

    async def _owned_to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in a task of ours: whoever asked for it may be cancelled, what is under way is finished."""
        task = asyncio.create_task(work)
        self._owned.add(task)
        task.add_done_callback(self._owned.discard)
        return await asyncio.shield(task)

    def _is_usable(self, held: Renewed) -> bool:
        return lifetime.is_usable(held.stored, now=self._clock.now(), refused=self._refused)

    def _end_of(self, held: Renewed) -> float:
        """When the access token ends, on the monotonic side."""
        expires_at = held.stored.token.access_token_expires_at
        if expires_at is None:
            return math.inf
        return self._monotonic() + (expires_at - self._clock.now()).total_seconds()

    def _seconds_to_background_refresh(self) -> float | None:
        if self._held is None:
            return 0.0  # find out what the store has
        stored, now = self._held.stored, self._monotonic()
        if self._held.unsaved is not None:
            return lifetime.MIN_REFRESH_GAP
        if self._steps.grant.interactive and (stored.token.refresh_token is None or stored.unanswered):
            return None  # nothing, or nothing before its end, can be done without a person
        seconds = lifetime.seconds_to_background_refresh(stored, self._leeway, self._clock.now(), self._share)
        return None if seconds is None else max(seconds, self._not_before - now)

    async def _refresh_early(self) -> TwilioOAuthError | None:
        # With all of the last tenth as leeway: it is due although nobody would have to wait yet.
        outcome = await self._renew_once(math.inf)
        return outcome if isinstance(outcome, TwilioOAuthError) else self._failure


def key_of(grant: Grant, user: str) -> Key:
    """The key of a user's token: apart for each client and server, where the grant says which they are."""
    identity: GrantIdentity | None = getattr(grant, "identity", None)
    return user if identity is None else TokenKey(user, identity.client_sid, identity.server)


def clock_of(grant: Grant) -> Clock:
    """The clock of the session that the grant goes through: one clock for all that belongs together."""
    clock: Clock | None = getattr(getattr(grant, "session", None), "clock", None)
    return clock if clock is not None else SystemClock()
