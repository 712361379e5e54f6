"""`TokenManager`: a token that stays valid, refreshed once for all who use it.

`lifetime` holds the rules, `worker` performs its steps, `rounds` owns the tasks; this module is what callers see.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Self

from twilio_oauth_async.clock import Clock, wall_seconds
from twilio_oauth_async.errors import ApiError, ConfigurationError, LoginRequired
from twilio_oauth_async.grants.base import Grant
from twilio_oauth_async.protocol.models import Token, UserInfo
from twilio_oauth_async.stores.base import StoredToken, TokenStore
from twilio_oauth_async.stores.keys import check_key
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.arguments import check_arguments
from twilio_oauth_async.tokens.failures import copy_of, login_required, no_token
from twilio_oauth_async.tokens.identity import clock_of, key_of
from twilio_oauth_async.tokens.login import SharedLogin
from twilio_oauth_async.tokens.reports import OnLoginRequired, OnToken, Reports
from twilio_oauth_async.tokens.rounds import Rounds
from twilio_oauth_async.tokens.state import (
    AskForLogin,
    Decision,
    Event,
    Rejected,
    Saving,
    SignedIn,
    TokenState,
    Unwanted,
    Work,
)
from twilio_oauth_async.tokens.validity import fresh
from twilio_oauth_async.tokens.worker import TokenWorker

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier
    from twilio_oauth_async.client.session import OAuthSession

_NO_TOKEN = Token(access_token="none")  # noqa: S106 - never returned: it is fresh until minus infinity


class TokenManager:
    """Keeps the token of one user valid. Any number of tasks may use it at once; ask it for the token every time.

    It can be used as it is. As an async context manager it also refreshes in the background, so that no caller waits.
    Managers in other processes and on other hosts that share the store share the token, and refresh it once.

    Call `close` (or leave the ``async with`` block) before the event loop ends: it waits for a refresh whose request
    was sent. Without that, a response that has arrived is still saved, but one that is on its way is lost.

    One manager can be used in several event loops one after the other, for example in several ``asyncio.run`` calls.
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
        on_login_required: OnLoginRequired | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Create a manager; nothing is read or sent.

        Args:
            grant: how a token is obtained and refreshed.
            store: where it is kept; None: in memory, for this manager alone.
            key: the user whose token it is.
            leeway: seconds before expiry at which a token is refreshed; at most a tenth of its lifetime.
            verifier: verifies ID tokens (OpenID Connect Core 3.1.3.7 and 12.2).
            on_token: a function or coroutine function, called with each token that this manager obtains, after it was
                saved. It may call any method of the manager. Its exceptions are passed to the handler of the event
                loop.
            on_login_required: likewise, called once with the reason when a sign-in has ended for good.
            clock: the source of time; None: the clock of the grant's session, or the machine's.

        Raises:
            ConfigurationError: there is a store and no key, `leeway` is negative, or an argument is of a wrong type.
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
        if store is not None and not key:
            raise ConfigurationError("key must not be empty: it is the name of the user in the store")
        if key:
            check_key(key)
        clock = clock or clock_of(grant)
        self._reports = Reports(clock, on_token, on_login_required)
        self._worker = TokenWorker(
            grant=grant,
            store=store if store is not None else MemoryTokenStore(clock=clock),
            key=key_of(grant, key or "default"),
            clock=clock,
            verifier=verifier,
            changed=self._changed,
        )
        self._leeway = leeway
        self._rounds = Rounds(self._worker, clock, leeway, ended=self._reports.round_ended)
        self._login = SharedLogin(grant.obtain, self._verify_and_keep)
        self._keeping: set[asyncio.Task[Token]] = set()
        # The fresh token, copied from the state: `token` is called for every request of a program.
        self._monotonic, self._wall = clock.monotonic, wall_seconds(clock)
        self._fresh_token, self._fresh_monotonic, self._fresh_wall = _NO_TOKEN, -math.inf, -math.inf

    def __repr__(self) -> str:
        return f"TokenManager(key={self._worker.user!r}, grant={self._worker.grant!r})"

    async def __aenter__(self) -> Self:
        self._rounds.keep_fresh()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def token(self, *, login: bool = False, min_valid_for: float = 0.0) -> Token:
        """Return a token that is valid now, by both clocks.

        A valid token is returned at once, whatever the store or the server is doing. Within its leeway it is refreshed
        behind that.

        Args:
            login: run the grant if only a new sign-in helps, or if the server refuses the client.
            min_valid_for: seconds that the token must still be valid. If the server issues shorter tokens, the caller
                gets one that was just issued.

        Raises:
            LoginRequired: a user has to sign in, and `login` is False.
            StoreError: there is no valid token and the store failed; or the token that the caller has waited for could
                not be saved: this is raised once, the token is in use, and it is saved in the background.
            TwilioOAuthError: there is no valid token, and the refresh failed.
        """
        if self._monotonic() < self._fresh_monotonic and self._wall() < self._fresh_wall and not min_valid_for:
            return self._fresh_token
        return await self._find_token(login, min_valid_for)

    async def refresh(self, access_token: str) -> Token:
        """Replace a token that is still valid, for example because its refresh token is about to expire.

        Args:
            access_token: of the token to replace. If another one is in use by now, that is returned, so callers that
                ask at the same time cause one refresh.

        Raises:
            LoginRequired: there is no refresh token that is still valid.
            StoreError: the store failed.
            TwilioOAuthError: the refresh failed. The token stays in use.
        """
        self._rounds.attach()
        self._worker.tell(Unwanted(access_token))
        return await self._find_token(login=False, need=0.0, unwanted=access_token)

    async def access_token(self) -> str:
        """Return the access token of `token`; raises as it does."""
        return (await self.token()).access_token

    async def login(self) -> Token:
        """Run the grant and save its token. Callers that come while it runs share its result.

        Raises:
            LoginRequired: the user signed out while the token was saved.
            StoreError: the token could not be saved. It is in use, and it is saved in the background.
            TwilioOAuthError: the grant failed.
        """
        self._rounds.attach()
        return await self._login.run()

    async def user_info(self) -> UserInfo:
        """Return the claims about the user. If the server rejects the access token, it is refreshed once.

        With a `verifier`, they must be about the user of the ID token (OpenID Connect Core 5.3.2).

        Raises:
            ConfigurationError: the grant has no session.
            IdTokenError: the claims are about another user.
            TwilioOAuthError: there is no token (as `token`), or the request failed.
        """
        session: OAuthSession | None = getattr(self._worker.grant, "session", None)
        if session is None:
            raise ConfigurationError("user_info() needs a grant with a session, for example DeviceFlow")
        token, subject_of = await self.token(), self._worker.verified_subject
        try:
            return await session.fetch_user_info(access_token=token.access_token, subject=subject_of(token))
        except ApiError as error:
            if error.status != 401:  # RFC 6750 3.1
                raise
        self.invalidate(token.access_token)
        token = await self.token()
        return await session.fetch_user_info(access_token=token.access_token, subject=subject_of(token))

    async def adopt(self, token: Token, *, epoch: str | None = None, signed_in_at: datetime | None = None) -> None:
        """Save and use a token that was obtained in another way.

        Args:
            token: the token of a new sign-in.
            epoch: names the sign-in (`stores.base.epoch_of` its code); None: a random value.
            signed_in_at: UTC, when the token was received; None: now. A caller that repeats this after a `StoreError`
                passes the same time again: the first call may have saved the token, and the user may have signed out.

        Raises:
            IdTokenError: its ID token is invalid; nothing is saved.
            LoginRequired: the user has signed out meanwhile.
            StoreError: it could not be saved. It is in use, and it is saved in the background.
        """
        self._rounds.attach()
        self._keeping.add(task := create_task(self._verify_and_keep(token, epoch, signed_in_at)))
        task.add_done_callback(self._keeping.discard)
        await asyncio.shield(task)

    def take_in(self, stored: StoredToken) -> None:
        """Use a token that another process has stored, if it is newer and of this sign-in (`TokenManagers.follow`)."""
        self._worker.take_in(stored)

    async def logout(self) -> None:
        """Revoke the token at the server and delete it. If the server has no revocation, it is only deleted.

        A refresh that is under way is completed first, and the new token is revoked. A token that could not be revoked
        is kept.

        Raises:
            ServerError: the server failed; with status 503 the token is still valid (RFC 7009 2.2.1).
            StoreError: the store failed.
            TwilioOAuthError: the token could not be revoked.
        """
        self._rounds.attach()
        self._worker.tell(Event.LOGOUT)
        await self._wait_while(lambda state: state.is_signing_out)
        error = self._worker.state.logout_error
        if error is not None:
            raise copy_of(error)

    async def is_deleted(self) -> bool:
        """Return whether a logout, also in another process, has deleted the stored token; raises `StoreError`."""
        return await self._worker.store.is_deleted(self._worker.key)

    def invalidate(self, access_token: str) -> None:
        """Say that a resource server has rejected `access_token` (RFC 6750 3.1): the next `token` refreshes, once.

        Nothing happens if the manager uses another one already.
        """
        self._worker.tell(Rejected(access_token))

    async def close(self) -> None:
        """Stop the background refresh, and wait for a refresh, a save and callbacks that are under way.

        A token that could not be saved is tried once more. The manager can be used again afterwards.
        """
        await self._login.close()
        loop = asyncio.get_running_loop()
        keeping = {task for task in self._keeping if task.get_loop() is loop and task is not asyncio.current_task()}
        if keeping:
            await asyncio.wait(keeping)
        await self._rounds.close()
        await self._reports.close()

    @property
    def is_busy(self) -> bool:
        """Whether a refresh, a save or a login is under way."""
        return self._rounds.is_busy or bool(self._keeping) or self._login.is_running

    async def _find_token(self, login: bool, need: float, unwanted: str | None = None) -> Token:
        self._rounds.attach()
        decision = self._rounds.decide(need)
        if (token := self._wanted_token(decision, unwanted)) is not None:
            if isinstance(decision.next, Work):
                self._rounds.start()
            return token
        while True:
            work = self._rounds.start()
            store_error = await self._rounds.change(need)
            decision = self._rounds.decide(need)
            if store_error is not None:
                raise copy_of(store_error)
            if (token := self._wanted_token(decision, unwanted)) is not None:
                return token
            if work.done() and not work.cancelled():
                work.result()  # raises what no step should raise
                if not isinstance(decision.next, Work):
                    break
        rest = decision.next
        if isinstance(rest, AskForLogin):
            if login:
                return await self._login.run()
            raise login_required(rest)
        if login and self._worker.state.is_client_refused and self._worker.state.interactive:
            return await self._login.run()
        raise no_token(rest, self._worker.state, self._worker.now())

    def _wanted_token(self, decision: Decision, unwanted: str | None) -> Token | None:
        """Return the token for a caller, unless it is still to be replaced."""
        is_unwanted = decision.use is None or unwanted in self._worker.state.unwanted
        return None if is_unwanted or decision.use is None else decision.use.token

    async def _verify_and_keep(
        self, token: Token, epoch: str | None = None, signed_in_at: datetime | None = None
    ) -> Token:
        """Verify and save the token of a new sign-in, and return what is in use then."""
        obtained_at = self._worker.now().wall
        token = await self._worker.accept_sign_in(token)
        await self._wait_while(lambda state: state.is_signing_out)  # a logout is about what was there before
        stored = self._worker.signed_in(token, epoch, signed_in_at, obtained_at)
        self._worker.tell(SignedIn(stored, is_exact=signed_in_at is not None))

        def is_ours(state: TokenState) -> bool:
            return state.held is not None and state.held.stored.epoch == stored.epoch

        await self._wait_while(lambda state: is_ours(state) and state.saving is Saving.NEW)
        state = self._worker.state
        if state.held is None:
            raise LoginRequired("the user has signed out meanwhile; sign in again", reason=state.reason)
        if is_ours(state) and state.saving is Saving.UNSAVED and state.store_error is not None:
            raise copy_of(state.store_error)
        return state.held.stored.token

    async def _wait_while(self, condition: Callable[[TokenState], bool]) -> None:
        while condition(self._worker.state):
            work = self._rounds.start()
            await self._rounds.change()
            if work.done() and not work.cancelled():
                work.result()

    def _changed(self, before: TokenState, after: TokenState) -> None:
        """React to a new state: publish the token, wake those who wait, and note which callbacks are due."""
        if (before.used, before.rejected, before.saving) != (after.used, after.rejected, after.saving):
            # While a token is not saved, each call looks at the event loop: a new one must go on with saving it.
            now = None if after.saving is Saving.UNSAVED else fresh(after, self._leeway)
            if now is None:
                self._fresh_token, self._fresh_monotonic, self._fresh_wall = _NO_TOKEN, -math.inf, -math.inf
            else:
                self._fresh_token, self._fresh_monotonic, self._fresh_wall = now.token, now.monotonic, now.wall
        self._reports.changed(before, after)
        self._rounds.changed(before, after)
