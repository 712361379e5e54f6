"""`TokenWorker`: performs the steps that `lifetime.decide` chooses, one after the other.

The only code of this folder that awaits the store or the grant.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from secrets import token_hex
from typing import TYPE_CHECKING

import attrs

from twilio_oauth_async import telemetry
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import IdTokenError, RevocationUnsupported, TwilioOAuthError
from twilio_oauth_async.grants.base import Grant, GrantBase
from twilio_oauth_async.grants.id_tokens import accept_sign_in, check_refreshed, revoke_quietly, scopes_to_check
from twilio_oauth_async.oidc.unverified_claims import read_unverified
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import Key, StoredToken, TokenStore
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.failures import late_store, request_failed, store_failed
from twilio_oauth_async.tokens.identity import identity_of, why_unusable
from twilio_oauth_async.tokens.lifetime import advance, decide
from twilio_oauth_async.tokens.server_time import in_local_time, in_server_time, skew_of
from twilio_oauth_async.tokens.state import (
    Event,
    Loaded,
    Now,
    Outcome,
    Refreshed,
    Rest,
    RevokeFailed,
    Saved,
    Saving,
    SignedIn,
    StoreFailed,
    TokenState,
    Work,
)

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier

STORE_TIMEOUT = 60.0
"""Seconds after which a call of the store, other than that of its lock, is cancelled and counts as failed."""

LAST_SAVE_TIMEOUT = 5.0
"""Seconds for the save of a token that was received before the task was cancelled."""

_log = logging.getLogger(__name__)

_servers_without_revocation: set[str] = set()
"""The servers of which this was logged."""


class TokenWorker:
    """The state of one token, and the only one that changes it."""

    def __init__(
        self,
        *,
        grant: Grant,
        store: TokenStore,
        key: Key,
        clock: Clock,
        verifier: IdTokenVerifier | None,
        changed: Callable[[TokenState, TokenState], None],
    ) -> None:
        """Create a worker; nothing is read or sent.

        Args:
            grant: obtains, refreshes and revokes tokens.
            store: keeps them.
            key: of the token in the store.
            clock: the source of time.
            verifier: verifies ID tokens; None: they are not verified.
            changed: called with the state before and after each change.
        """
        self.state: TokenState = TokenState(interactive=grant.interactive)
        self.grant = grant
        self.store = store
        self.key = key
        self.user: str = key if isinstance(key, str) else key.user
        self._clock = clock
        self._verifier = verifier
        self._changed = changed
        self._identity = identity_of(grant)
        self._locks = AsyncExitStack()

    def now(self) -> Now:
        """Return the present moment on both clocks."""
        return Now(self._clock.monotonic(), self._clock.now())

    def tell(self, outcome: Outcome) -> None:
        """Advance the state by `outcome`."""
        before = self.state
        self.state = advance(before, outcome, self.now())
        if self.state is not before:
            self._changed(before, self.state)

    async def work(self, wanted: Callable[[], tuple[float, float]]) -> Rest:
        """Perform steps until there is nothing to do now.

        If it is cancelled, a token that has arrived is saved first.

        Args:
            wanted: returns the leeway and the need of the present callers, see `lifetime.decide`.
        """
        locks = self._locks = AsyncExitStack()
        self.tell(Event.STARTED)
        try:
            while True:
                step = decide(self.state, self.now(), *wanted()).next
                if not isinstance(step, Work):
                    return step
                await self._perform(step)
        except GeneratorExit:
            # The event loop was closed before. The next one has its own round by now, and its own state.
            await self._unlock(locks)
            raise
        except BaseException:
            try:
                await self._save_what_arrived()
                await self._unlock(locks)
            finally:
                self.tell(Event.INTERRUPTED)
            raise

    def signed_in(
        self,
        token: Token,
        epoch: str | None = None,
        signed_in_at: datetime | None = None,
        obtained_at: datetime | None = None,
    ) -> StoredToken:
        """Return the first token of a new sign-in, for the outcome `SignedIn`; None means a new epoch, and now."""
        now = self._clock.now()
        asked = {} if self._identity is None else attrs.asdict(self._identity, recurse=False)
        return StoredToken(
            token=token,
            epoch=epoch or token_hex(16),
            signed_in_at=signed_in_at or now,
            obtained_at=obtained_at or now,
            **asked,
        )

    async def accept_sign_in(self, token: Token) -> Token:
        """Verify the ID token of a sign-in; raises `IdTokenError` if it is invalid."""
        if self._verifier is None:
            return token
        return await accept_sign_in(self.grant, self._verifier, token, scopes=scopes_to_check(self.grant))

    def verified_subject(self, token: Token) -> str | None:
        """Return the ``sub`` claim of the ID token in `token`; None if there is none, or no verifier."""
        if self._verifier is None or token.id_token is None:
            return None
        subject = read_unverified(token.id_token).get("sub")  # verified when it was received
        return subject if isinstance(subject, str) else None

    async def _perform(self, step: Work) -> None:
        match step:
            case Work.LOAD:
                await self._try("load", self._load)
            case Work.LOCK:
                await self._try("lock", self._lock)
            case Work.UNLOCK:
                await self._unlock(self._locks)
                self.tell(Event.UNLOCKED)
            case Work.MARK:
                await self._try("save", self._mark)
            case Work.SAVE:
                await self._try("save", self._save)
            case Work.REFRESH:
                await self._refresh()
            case Work.OBTAIN:
                await self._obtain()
            case Work.REVOKE:
                await self._revoke()
            case Work.DELETE:
                await self._try("delete", self._delete)

    async def _try(self, method: str, call: Callable[[], Awaitable[Outcome]]) -> None:
        """Call a method of the store; tell its outcome, or that the store failed."""
        failed: StoreFailed
        # A store limits the time of its calls, and that of a lock as it is configured. One of the caller's own may not.
        limit = asyncio.timeout(None if method == "lock" else STORE_TIMEOUT)
        try:
            async with limit:
                outcome = await call()
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            failed = store_failed(late_store(method, STORE_TIMEOUT) if limit.expired() else error, method)
        else:
            self.tell(outcome)
            return
        if not failed.is_conflict:
            is_lost = method == "save" and self.state.saving is not Saving.SAVED
            what = "the token of %r could not be saved: the store" if is_lost else "the token store of %r"
            level = logging.ERROR if self.state.store_failures == 0 else logging.DEBUG  # once for each outage
            _log.log(level, what + " failed in %s(): %s", self.user, method, failed.error)
        self.tell(failed)

    def take_in(self, stored: StoredToken) -> None:
        """Use `stored`, which another process has just stored, if it is a newer token of the sign-in that is in use."""
        held = self.state.held
        if held is None or held.stored.epoch != stored.epoch or held.stored.generation >= stored.generation:
            return
        stored = in_local_time(stored, skew_of(self.grant))
        self.tell(Loaded(stored, unusable=why_unusable(stored, self._identity)))
        self.tell(Event.STARTED)  # the store may have changed since: a round of work reads it itself

    async def _load(self) -> Outcome:
        stored = await self.store.load(self.key)
        if stored is not None:
            stored = in_local_time(stored, skew_of(self.grant))
        is_deleted = stored is None and await self.store.is_deleted(self.key)
        return Loaded(stored, is_deleted, why_unusable(stored, self._identity))

    async def _lock(self) -> Outcome:
        await self._locks.enter_async_context(self.store.lock(self.key))
        return Event.LOCKED

    async def _unlock(self, locks: AsyncExitStack) -> None:
        try:
            await locks.aclose()
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            # What was done under the lock is done. The store ends the lock by itself.
            _log.warning(
                "the lock of the token of %r could not be released: %s", self.user, store_failed(error, "lock").error
            )

    async def _mark(self) -> Outcome:
        stored = self._held()
        marked = attrs.evolve(stored, unanswered=stored.unanswered + 1)
        await self._save_in_store(marked)
        return Saved(marked, is_mark=True)

    async def _save(self) -> Outcome:
        stored = self._held()
        await self._save_in_store(stored)
        return Saved(stored)

    async def _save_in_store(self, stored: StoredToken) -> None:
        stored = in_server_time(stored, skew_of(self.grant))
        await self.store.save(self.key, stored, replaces=self.state.present)

    async def _refresh(self) -> None:
        of = self._held()
        token: Token
        grant, own = self.grant, self._verifier
        verifiers = [] if own is None else [own]
        send = grant.refresh
        if isinstance(grant, GrantBase) and grant.verifier is not None:
            # The response must not be lost if this is cancelled while its ID token is verified.
            verifiers.insert(0, grant.verifier)
            send = grant.refresh_unverified
        try:
            token = await self._sent_refresh(send, of.token)
            for verifier in verifiers:
                token = await self._accept_refreshed(verifier, of, token)
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            self.tell(request_failed(error, of))
        else:
            self.tell(Refreshed(of, token))

    async def _sent_refresh(self, send: Callable[[Token], Awaitable[Token]], token: Token) -> Token:
        with telemetry.observe("twilio_oauth.refresh", self._clock) as operation:
            new = await send(token)
            if token.access_token_expires_at is not None:
                late = (self._clock.now() - token.access_token_expires_at).total_seconds()
                operation.record("twilio_oauth.refresh.lag", max(late, 0.0), {})
        return new

    async def _accept_refreshed(self, verifier: IdTokenVerifier, of: StoredToken, new: Token) -> Token:
        rejection: IdTokenError
        try:
            return await check_refreshed(verifier, new, of.token)
        except asyncio.CancelledError:
            # The response has arrived, and it belongs to this user, which is checked first: it must not be lost. Its ID
            # token is not verified, so the previous one stays.
            self.tell(Refreshed(of, attrs.evolve(new, id_token=of.token.id_token)))
            raise
        except IdTokenError as error:
            rejection = error
        await revoke_quietly(self.grant, new, previous=of.token)
        raise rejection

    async def _obtain(self) -> None:
        try:
            token = await self.accept_sign_in(await self.grant.obtain())
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            self.tell(request_failed(error, None))
        else:
            self.tell(SignedIn(self.signed_in(token)))

    async def _revoke(self) -> None:
        failed: TwilioOAuthError
        try:
            await self.grant.revoke(self._held().token)
        except RevocationUnsupported:
            self._log_unsupported_revocation()
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            failed = request_failed(error, None).error
            self.tell(RevokeFailed(failed))
            return
        self.tell(Event.REVOKED)

    def _log_unsupported_revocation(self) -> None:
        server = "" if self._identity is None else self._identity.server
        if server not in _servers_without_revocation:
            _servers_without_revocation.add(server)
            _log.warning("%s has no revocation endpoint: tokens are deleted, not revoked", server or "the server")

    async def _delete(self) -> Outcome:
        await self.store.delete(self.key)
        return Event.DELETED

    async def _save_what_arrived(self) -> None:
        """Save a token that was received and whose save has not ended, although this task is cancelled.

        The task ends a little later. Without this, the token would be lost with the process, and the user would have to
        sign in again.
        """
        if self.state.saving is not Saving.NEW:
            return
        saving = create_task(self._save_new())
        done, _ = await asyncio.wait({saving}, timeout=LAST_SAVE_TIMEOUT)
        if not done:
            saving.cancel()
            await asyncio.wait({saving})

    async def _save_new(self) -> None:
        """Perform the steps that save a new token, and no others."""
        while self.state.saving is Saving.NEW:
            step = decide(self.state, self.now(), 0.0).next
            if step not in {Work.LOCK, Work.LOAD, Work.SAVE}:
                return
            assert isinstance(step, Work)
            await self._perform(step)

    def _held(self) -> StoredToken:
        held = self.state.held
        assert held is not None, "only chosen while a token is held"
        return held.stored
