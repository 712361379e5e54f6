"""One renewal of a stored token, in the order that survives a crash at any point.

Lock, read the store again (somebody else may be done), raise ``unanswered`` there, send the request, save, and only
then use. Whoever dies after the request leaves a mark by which the next one knows that the refresh token may be used
up, and whoever cannot save says so before anybody relies on it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
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
    RevocationUnsupported,
    ServerError,
    StoreConflict,
    StoreError,
    TransportError,
    TwilioOAuthError,
)
from twilio_oauth_async.grants.base import Grant, GrantIdentity
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import Key, StoredToken, TokenStore
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
    key: Key
    clock: Clock
    verifier: IdTokenVerifier | None = None

    @property
    def user(self) -> str:
        """Whose token it is, for the log."""
        return self.key if isinstance(self.key, str) else self.key.user

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
                stored = await self._stored(held.stored, _epoch(stored))
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

    async def keep(self, token: Token, *, epoch: str | None = None, signed_in_at: datetime | None = None) -> Renewed:
        """Save a token that came from a login or from elsewhere.

        Args:
            token: the token of a new sign-in.
            epoch: names the sign-in; None: a random value.
            signed_in_at: UTC, when the token was received; None: now.

        Raises:
            IdTokenError: its id token must not be believed; nothing is saved.
            LoginRequired: a later sign-in was saved and deleted meanwhile: the user has signed out.
        """
        new = self._signed_in(await self._verified(token, None), epoch, signed_in_at)

        async def step() -> Renewed:
            return await self._save(new, _epoch(await self.store.load(self.key)))

        problem: StoreError
        try:
            return await self._locked(step)
        except StoreError as error:
            problem = error
        # A person has just signed in: that must not be in vain because the store is down.
        _log.error("the token for %r could not be saved: %s", self.user, problem)
        return Renewed(stored=new, is_new=True, unsaved=problem)

    async def revoke(self, *, held: Renewed | None) -> None:
        """Revoke at the server, then forget. Where the server could not do it the local copy stays.

        Raises:
            RevocationUnsupported: the server has no revocation endpoint; the local copy is gone all the same.
            TwilioOAuthError: it could not be revoked.
        """

        async def step() -> None:
            stored = await self.store.load(self.key) or (held.stored if held is not None else None)
            problem: RevocationUnsupported | None = None
            if stored is not None:
                try:
                    await self.grant.revoke(stored.token)
                except RevocationUnsupported as error:
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
            _log.warning("the lock for %r could not be released: %s", self.user, error)
        return done[0]

    async def _obtain(self, stored: StoredToken | None) -> Renewed:
        if self.grant.interactive:
            raise LoginRequired("nobody has signed in yet: token(login=True) or login() runs the grant")
        new = self._signed_in(await self._verified(await self.grant.obtain(), None))
        if stored is not None and stored.signed_in_at > new.signed_in_at:
            # Obtained after `stored` was loaded, so it is later: the host that saved `stored` has another clock.
            new = attrs.evolve(new, signed_in_at=stored.signed_in_at)
        return await self._save(new, _epoch(stored))

    async def _refresh(self, stored: StoredToken, refused: str | None) -> Renewed:
        marked = attrs.evolve(stored, unanswered=stored.unanswered + 1)
        present = await self._stored(marked, stored.epoch)
        if present is not marked:
            return Renewed(stored=present)
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
        new = attrs.evolve(
            stored,
            token=await self._verified(token, stored.token),
            generation=stored.generation + 1,
            obtained_at=self.clock.now(),
            unanswered=0,
        )
        return await self._save(new, stored.epoch)

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
            await self.store.save(self.key, attrs.evolve(stored, unanswered=unanswered), replaces=stored.epoch)
        except StoreError as error:
            _log.warning("the refresh mark for %r could not be taken back: %s", self.user, error)

    async def _refresh_token_is_dead(self, stored: StoredToken, refused: str | None) -> Renewed:
        newer = await self.store.load(self.key)
        if newer is not None and (newer.epoch != stored.epoch or newer.generation > stored.generation):
            # Row 23: somebody who does not share our lock was faster; theirs is the token that lives.
            return Renewed(stored=newer)
        # Written down, so that no restart tries it again: a reused refresh token may revoke what still works.
        token = attrs.evolve(stored.token, refresh_token=None, refresh_token_expires_at=None)
        dead = attrs.evolve(stored, token=token, generation=stored.generation + 1, unanswered=0)
        dead = await self._stored(dead, stored.epoch)
        if not is_usable(dead, now=self.clock.now(), refused=refused):
            raise LoginRequired("the server does not accept the refresh token any more")
        return Renewed(stored=dead)

    def _signed_in(self, token: Token, epoch: str | None = None, signed_in_at: datetime | None = None) -> StoredToken:
        """The first token of a new sign-in."""
        now = self.clock.now()
        identity: GrantIdentity | None = getattr(self.grant, "identity", None)
        asked = {} if identity is None else attrs.asdict(identity, recurse=False)  # recursion makes lists
        return StoredToken(
            token=token,
            epoch=epoch or secrets.token_hex(16),
            signed_in_at=signed_in_at or now,
            obtained_at=now,
            **asked,
        )

    async def _save(self, new: StoredToken, replaces: str | None) -> Renewed:
        problem: StoreError
        try:
            stored = await self._stored(new, replaces)
            return Renewed(stored=stored, is_new=stored is new)
        except StoreConflict:
            raise
        except StoreError as error:
            problem = error
        _log.error("the new token for %r could not be saved: %s", self.user, problem)
        return Renewed(stored=new, is_new=True, unsaved=problem)

    async def _stored(self, new: StoredToken, replaces: str | None) -> StoredToken:
        """Save `new`; return what is stored then: `new`, or the token that another process saved meanwhile.

        Raises:
            LoginRequired: the user signed out meanwhile.
            StoreError: the store failed.
        """
        conflict: StoreConflict
        try:
            await self.store.save(self.key, new, replaces=replaces)
        except StoreConflict as error:
            conflict = error
        else:
            return new
        newer = await self.store.load(self.key)
        if newer is None:
            if await self.store.is_deleted(self.key):
                raise LoginRequired("the user has signed out meanwhile; sign in again")
            raise conflict
        is_sign_in = replaces != new.epoch
        if is_sign_in and newer.epoch not in {new.epoch, replaces} and newer.signed_in_at < new.signed_in_at:
            # Another sign-in was saved since we looked: the later one wins.
            return await self._stored(new, newer.epoch)
        # A process that did not share our lock saved a greater generation, or a later sign-in: that one is used.
        _log.warning("a newer token for %r was saved meanwhile and is used instead: %s", self.user, conflict)
        return newer

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
            _log.warning("the id token for %r cannot be verified now and is left out: %s", self.user, error)
            return attrs.evolve(token, id_token=None)
        return token


def _is_newer(one: StoredToken, other: StoredToken | None) -> bool:
    if other is None:
        return True
    if one.epoch == other.epoch:
        return one.generation > other.generation
    return one.signed_in_at > other.signed_in_at


def _epoch(stored: StoredToken | None) -> str | None:
    return None if stored is None else stored.epoch


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
