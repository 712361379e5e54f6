"""The issuer's keys, fetched when they are needed and kept while they are good (OpenID Connect Core 10.1.1).

Fetches are shared: whoever needs the keys while they are on their way waits for the same request. It runs in a task of
its own, so that a waiter who is cancelled does not take it away from the others, and it belongs to those who wait for
it: the last one to leave cancels it and sees it end. So no task outlives the calls that it was started for, and
nothing has to be closed.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math

import attrs

from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import IdTokenError, ProtocolError, TwilioOAuthError
from twilio_oauth_async.oidc.jwa import Algorithm
from twilio_oauth_async.oidc.jwk import PublicKey
from twilio_oauth_async.oidc.jwks import PublicKeys
from twilio_oauth_async.protocol import v1
from twilio_oauth_async.protocol.models import Certs

FRESH_FOR = 300.0
"""Seconds after which the keys are fetched anew; a key that was withdrawn is believed for no longer than this."""

SEARCH_GAP = 60.0
"""Seconds between two fetches for the sake of unknown key ids, which anybody can make up."""

RETRY_GAP = 60.0
"""Seconds after a failed fetch in which the keys at hand are used without another try."""

USABLE_FOR = 3600.0
"""Seconds that keys are used while no newer ones can be had.

An outage of an hour, about the lifetime of an id token, locks nobody out; and whoever can keep the endpoint from us
cannot make a withdrawn key live on for longer.
"""

REFRESH_TIMEOUT = 5.0
"""Seconds that a call waits for newer keys when it could do with those at hand."""

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Fetch:
    """A request under way."""

    task: asyncio.Task[None]
    waiting: int = 0


class KeySet:
    """The key set of one session's server. Any number of tasks of one event loop may use it at once.

    Time is the monotonic side of the session's clock.
    """

    def __init__(self, session: OAuthSession) -> None:
        """Nothing is fetched here."""
        self._session = session
        self._keys = PublicKeys(())
        self._refresh_at = self._usable_until = self._search_at = -math.inf
        self._failure: TwilioOAuthError | None = None
        self._under_way: _Fetch | None = None

    def at_hand(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """What `find` would give where the keys are fresh and it need not wait; else nothing."""
        if self._session.clock.monotonic() >= self._refresh_at:
            return ()
        return self._keys.fitting(algorithm, kid)

    async def find(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """The keys that a token may be signed with; at least one.

        Args:
            algorithm: of the token.
            kid: its key id; None: it names none.

        Raises:
            IdTokenError: the server has no such key, as far as may be asked.
            TransportError: the server could not be asked, so nobody knows; `ProtocolError` and `ApiError` likewise.
        """
        now = self._session.clock.monotonic()
        asked = True
        if now >= self._usable_until:
            # Nothing to fall back on: every call tries, however the last one went.
            await self._fetch(None)
        elif now >= self._refresh_at and self._pending is None:
            # One call looks for newer keys. Those that come meanwhile need not wait for it.
            await self._fetch(REFRESH_TIMEOUT)
        else:
            asked = False
        keys = self._usable(algorithm, kid)
        if not keys and not asked and self._may_search(now):
            await self._fetch(None)
            keys = self._usable(algorithm, kid)
        if keys:
            return keys
        if self._failure is not None:
            # A copy for each: what is raised collects the frames that it went through.
            raise copy.copy(self._failure)
        raise IdTokenError("the server has no usable key that the id token may be signed with", claim="kid")

    def _usable(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        if self._session.clock.monotonic() >= self._usable_until:
            return ()
        return self._keys.fitting(algorithm, kid)

    def _may_search(self, now: float) -> bool:
        """Whether an unknown key is worth a request: it may be new, and it may be made up."""
        if self._pending is None:
            if now < self._search_at:
                return False
            self._search_at = now + SEARCH_GAP
        return True

    @property
    def _pending(self) -> _Fetch | None:
        fetch = self._under_way
        return fetch if fetch is not None and not fetch.task.done() else None

    async def _fetch(self, timeout: float | None) -> None:
        """Wait for the request under way, or start one; how it went stands in the attributes."""
        fetch = self._pending
        if fetch is None:
            fetch = self._under_way = _Fetch(asyncio.create_task(self._load(timeout), name="fetch certs"))
        fetch.waiting += 1
        try:
            # Unlike `await task`, this leaves the task alone where the waiter is cancelled.
            await asyncio.wait({fetch.task})
        finally:
            fetch.waiting -= 1
            if not fetch.waiting and not fetch.task.done():
                # Out of sight before it is cancelled, so that nobody joins what is about to die.
                self._under_way = None
                fetch.task.cancel()
                await asyncio.wait({fetch.task})
        fetch.task.result()

    async def _load(self, timeout: float | None) -> None:
        outcome: Certs | TwilioOAuthError
        try:
            outcome = await self._session.exchange(v1.build_certs(), v1.parse_certs, timeout=timeout)
        except TwilioOAuthError as error:
            outcome = error.with_traceback(None)
        if isinstance(outcome, Certs) and outcome.keys is None:
            # An empty set is an answer; an answer without one must not take the keys at hand away.
            outcome = ProtocolError("the key set has no keys")
        now = self._session.clock.monotonic()
        if isinstance(outcome, TwilioOAuthError):
            self._failure = outcome
            self._refresh_at = now + RETRY_GAP
            if now < self._usable_until:
                _log.warning("newer keys cannot be had, those at hand stay in use: %s", outcome)
            return
        self._keys = PublicKeys(outcome.keys or ())
        self._failure = None
        self._refresh_at = now + FRESH_FOR
        self._usable_until = now + USABLE_FOR

    def __repr__(self) -> str:
        return f"<KeySet {self._session.base_url}, {len(self._keys)} keys>"
