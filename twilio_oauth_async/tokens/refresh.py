"""One renewal of a stored token, in the order that survives a crash at any point.

Lock, read the store again (somebody else may be done), raise ``unanswered`` there, send the request, save, and only
then use. Whoever dies after the request leaves a mark by which the next one knows that the refresh token may be used
up, and whoever cannot save says so before anybody relies on it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from twilio_oauth_async import telemetry
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import (
    AnswerLostError,
    ApiError,
    ConfigurationError,
    IdTokenError,
    InvalidGrantError,
    LoginRequired,
    RateLimitedError,
    ServerError,
    StoreConflict,
    StoreError,
    TransportError,
    TwilioOAuthError,
)
from twilio_oauth_async.grants.base import Grant
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import StoredToken, TokenStore
from twilio_oauth_async.tokens.lifetime import Move, is_usable, judge

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier

T = TypeVar("T")

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Renewed:
    """What a renewal came to."""

    stored: StoredToken
    is_new: bool = False
    """It was obtained here, not found in the store."""
    unsaved: StoreError | None = None
    """Why it could not be saved: it is good, and lost if the process ends."""


@attrs.frozen(kw_only=True)
class TokenRenewal:
    """The steps of `TokenManager` that touch the store or the server; each call is one critical section."""

    grant: Grant
    store: TokenStore
    key: str
    clock: Clock
    verifier: IdTokenVerifier | None = None

    async def renew(self, *, held: Renewed | None, leeway: float, refused: str | None) -> Renewed:
        """Give a token that works, from the store or the server.

        Args:
            held: what the manager uses; where it is not saved yet, that is done first.
            leeway: seconds, see `token_life.judge`.
            refused: an access token that a resource server did not accept.

        Raises:
            LoginRequired: only a person can help.
            StoreError: the store or its lock could not be had; nothing was sent.
            TwilioOAuthError: what the refresh came to.
        """

        async def step() -> Renewed:
            stored = await self.store.load(self.key)
            if held is not None and held.unsaved is not None and _is_newer(held.stored, stored):
                await self.store.save(self.key, held.stored)
                stored = held.stored
            if stored is None:
                return await self._obtain(None)
            move = judge(stored, now=self.clock.now(), leeway=leeway, refused=refused)
            if move is Move.USE:
                return Renewed(stored=stored)
            if not self.grant.interactive:
                return await self._obtain(stored)
            if move is Move.LOGIN:
                raise LoginRequired(_why_login(stored))
            return await self._refresh(stored, refused)

        return await self._locked(step)

    async def keep(self, token: Token, *, held: Renewed | None) -> Renewed:
        """Save a token that came from a login or from elsewhere.

        Raises:
            IdTokenError: its id token must not be believed; nothing is saved.
        """
        token = await self._verified(token, None)

        async def step() -> Renewed:
            return await self._save(token, await self.store.load(self.key))

        problem: StoreError
        try:
            return await self._locked(step)
        except StoreError as error:
            problem = error
        # A person has just signed in: that must not be in vain because the store is down.
        _log.error("the token for %r could not be saved: %s", self.key, problem)
        generation = 1 + (held.stored.generation if held is not None else 0)
        stored = StoredToken(token=token, generation=generation, obtained_at=self.clock.now())
        return Renewed(stored=stored, is_new=True, unsaved=problem)

    async def revoke(self, *, held: Renewed | None) -> None:
        """Revoke at the server, then forget. Where the server could not do it the local copy stays.

        Raises:
            ConfigurationError: the server has no revocation endpoint; the local copy is gone all the same.
            TwilioOAuthError: it could not be revoked.
        """

        async def step() -> None:
            stored = await self.store.load(self.key) or (held.stored if held is not None else None)
            problem: ConfigurationError | None = None
            if stored is not None:
                try:
                    await self.grant.revoke(stored.token)
                except ConfigurationError as error:
                    problem = error
            await self.store.delete(self.key)
            if problem is not None:
                raise problem

        await self._locked(step)

    async def _locked(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run `step` under the store's lock. A lock that cannot be given back does not cost what was done under it."""
        done: list[T] = []
        try:
            async with self.store.lock(self.key):
                done.append(await step())
        except StoreError as error:
            if not done:
                raise
            _log.warning("the lock for %r could not be released: %s", self.key, error)
        return done[0]

    async def _obtain(self, stored: StoredToken | None) -> Renewed:
        if self.grant.interactive:
            raise LoginRequired("nobody has signed in yet: token(login=True) or login() runs the grant")
        return await self._save(await self._verified(await self.grant.obtain(), None), stored)

    async def _refresh(self, stored: StoredToken, refused: str | None) -> Renewed:
        await self.store.save(self.key, attrs.evolve(stored, unanswered=stored.unanswered + 1))
        token: Token | None = None
        try:
            token = await self._observed_refresh(stored.token)
        except InvalidGrantError:
            pass
        except TwilioOAuthError as error:
            if _was_not_processed(error):
                await self._unmark(stored, stored.unanswered)
            elif _is_definite(error):
                await self._unmark(stored, 0)
            raise
        if token is None:
            return await self._refresh_token_is_dead(stored, refused)
        return await self._save(await self._verified(token, stored.token), stored)

    async def _observed_refresh(self, token: Token) -> Token:
        with telemetry.observe("twilio_oauth.refresh", self.clock) as operation:
            new = await self.grant.refresh(token)
            if token.access_token_expires_at is not None:
                late = (self.clock.now() - token.access_token_expires_at).total_seconds()
                operation.record("twilio_oauth.refresh.lag", max(late, 0.0), {})
        return new

    async def _unmark(self, stored: StoredToken, unanswered: int) -> None:
        """The answer is known after all. Where this cannot be saved the mark stays, which is the safe side."""
        try:
            await self.store.save(self.key, attrs.evolve(stored, unanswered=unanswered))
        except StoreError as error:
            _log.warning("the refresh mark for %r could not be taken back: %s", self.key, error)

    async def _refresh_token_is_dead(self, stored: StoredToken, refused: str | None) -> Renewed:
        newer = await self.store.load(self.key)
        if newer is not None and newer.generation > stored.generation:
            # Row 23: somebody who does not share our lock was faster; theirs is the token that lives.
            return Renewed(stored=newer)
        # Written down, so that no restart tries it again: a reused refresh token may revoke what still works.
        token = attrs.evolve(stored.token, refresh_token=None, refresh_token_expires_at=None)
        dead = attrs.evolve(stored, token=token, generation=stored.generation + 1, unanswered=0)
        await self.store.save(self.key, dead)
        if not is_usable(dead, now=self.clock.now(), refused=refused):
            raise LoginRequired("the server does not accept the refresh token any more")
        return Renewed(stored=dead)

    async def _save(self, token: Token, before: StoredToken | None) -> Renewed:
        generation = 1 + (before.generation if before is not None else 0)
        new = StoredToken(token=token, generation=generation, obtained_at=self.clock.now())
        problem: StoreError
        try:
            await self.store.save(self.key, new)
            return Renewed(stored=new, is_new=True)
        except StoreConflict as conflict:
            newer = await self.store.load(self.key)
            if newer is None:
                raise
            # Somebody got past the lock and saved a greater generation: the newest rotation wins.
            _log.warning("a newer token for %r was saved meanwhile and is used instead: %s", self.key, conflict)
            return Renewed(stored=newer)
        except StoreError as error:
            problem = error
        _log.error("the new token for %r could not be saved: %s", self.key, problem)
        return Renewed(stored=new, is_new=True, unsaved=problem)

    async def _verified(self, token: Token, before: Token | None) -> Token:
        """Check the id token that came with `token`, where somebody asked for that."""
        previous = before.id_token if before is not None else None
        if self.verifier is None or token.id_token is None or token.id_token == previous:
            return token
        try:
            if previous is None:
                await self.verifier.verify(token.id_token, access_token=token.access_token)
            else:
                # OIDC Core 12.2: of the same person, for the same client.
                await self.verifier.verify_refreshed(token.id_token, previous=previous, access_token=token.access_token)
        except IdTokenError:
            raise
        except TwilioOAuthError as error:
            # The keys cannot be had now. The tokens are good and a rotated one must not be lost; the unverified
            # identity is left out.
            _log.warning("the id token for %r cannot be verified now and is left out: %s", self.key, error)
            return attrs.evolve(token, id_token=None)
        return token


def _is_newer(one: StoredToken, other: StoredToken | None) -> bool:
    return other is None or one.generation > other.generation


def _was_not_processed(error: TwilioOAuthError) -> bool:
    """Nothing reached the server, or it said that it did nothing (429)."""
    if isinstance(error, TransportError):
        return not isinstance(error, AnswerLostError)
    return isinstance(error, (RateLimitedError, ConfigurationError))


def _is_definite(error: TwilioOAuthError) -> bool:
    """A readable refusal: no token was made. A 5xx or a time-out may come after the rotation (row 12)."""
    return isinstance(error, ApiError) and not isinstance(error, ServerError) and error.status != 408


def _why_login(stored: StoredToken) -> str:
    if stored.token.refresh_token is None:
        return "the access token has ended and there is no refresh token"
    if stored.unanswered:
        return "the access token has ended and refreshing it was never answered; the refresh token may be used up"
    return "the refresh token has ended"
