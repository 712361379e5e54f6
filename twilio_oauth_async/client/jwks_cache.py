"""The cached key set of the issuer, fetched when it is needed (OpenID Connect Core 10.1.1).

Concurrent calls share one request. The request runs in a task of its own, so that a cancelled call does not cancel it
for the others. The last call that waits for the task cancels it and waits for its end. So no task outlives the calls
that it was started for, and nothing has to be closed.
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
from twilio_oauth_async.protocol import discovery
from twilio_oauth_async.protocol.models import Certs

FRESH_FOR = 300.0
"""Seconds after which the keys are fetched again; a withdrawn key is accepted for no longer than this."""

SEARCH_GAP = 60.0
"""Seconds between two fetches because of an unknown key ID; an attacker can invent any number of key IDs."""

RETRY_GAP = 60.0
"""Seconds after a failed fetch in which the cached keys are used without another attempt."""

USABLE_FOR = 3600.0
"""Seconds that cached keys are used while newer ones cannot be fetched.

An outage of one hour, about the lifetime of an ID token, locks no user out. An attacker who blocks the endpoint cannot
keep a withdrawn key in use for longer.
"""

REFRESH_TIMEOUT = 5.0
"""Seconds that a call waits for newer keys while the cached ones are still usable."""

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Fetch:
    """A request in progress."""

    task: asyncio.Task[None]
    waiting: int = 0
    """The number of calls that wait for it."""


class KeySet:
    """The key set of the server of one session. Any number of tasks of one event loop can use it at once.

    All times are those of the monotonic clock of the session.
    """

    def __init__(self, session: OAuthSession) -> None:
        """Create an empty cache; nothing is fetched."""
        self._session = session
        self._keys = PublicKeys(())
        self._refresh_at = self._usable_until = self._search_at = -math.inf
        self._failure: TwilioOAuthError | None = None
        self._under_way: _Fetch | None = None

    def at_hand(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """Return the keys that `find` would return without a request; empty if the cache has to be refreshed."""
        if self._session.clock.monotonic() >= self._refresh_at:
            return ()
        return self._keys.candidates(algorithm, kid)

    async def find(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """Return the keys that may have signed a token; at least one.

        Args:
            algorithm: the signature algorithm of the token.
            kid: the key ID of the token; None: it has none.

        Raises:
            IdTokenError: the key set has no such key.
            TransportError: the key set could not be fetched; `ProtocolError` and `ApiError` likewise.
        """
        now = self._session.clock.monotonic()
        fetched = True
        if now >= self._usable_until:
            # There are no usable keys: every call tries, also after a failure.
            await self._fetch(None)
        elif now >= self._refresh_at and self._pending is None:
            # One call fetches newer keys. Other calls use the cached keys meanwhile.
            await self._fetch(REFRESH_TIMEOUT)
        else:
            fetched = False
        keys = self._usable(algorithm, kid)
        if not keys and not fetched and self._may_search(now):
            await self._fetch(None)
            keys = self._usable(algorithm, kid)
        if keys:
            return keys
        if self._failure is not None:
            # A copy for each caller: an exception collects the frames that it passes through.
            raise copy.copy(self._failure)
        raise IdTokenError("the key set has no key for this ID token", claim="kid")

    def _usable(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        if self._session.clock.monotonic() >= self._usable_until:
            return ()
        return self._keys.candidates(algorithm, kid)

    def _may_search(self, now: float) -> bool:
        """Whether a fetch is allowed for an unknown key ID: it may be a new key, or an invention of an attacker."""
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
        """Wait for the request in progress, or start one; the attributes then hold its result."""
        fetch = self._pending
        if fetch is None:
            fetch = self._under_way = _Fetch(asyncio.create_task(self._load(timeout), name="fetch certs"))
        fetch.waiting += 1
        try:
            # Unlike `await task`, this does not cancel the task when the caller is cancelled.
            await asyncio.wait({fetch.task})
        finally:
            fetch.waiting -= 1
            if not fetch.waiting and not fetch.task.done():
                # Removed before it is cancelled, so that no other call joins a cancelled task.
                self._under_way = None
                fetch.task.cancel()
                await asyncio.wait({fetch.task})
        fetch.task.result()

    async def _load(self, timeout: float | None) -> None:
        outcome: Certs | TwilioOAuthError
        try:
            outcome = await self._session.exchange(discovery.build_certs(), discovery.parse_certs, timeout=timeout)
        except TwilioOAuthError as error:
            outcome = error.with_traceback(None)
        if isinstance(outcome, Certs) and outcome.keys is None:
            # An empty list is a valid response. A response without a list must not delete the cached keys.
            outcome = ProtocolError("the key set has no keys")
        now = self._session.clock.monotonic()
        if isinstance(outcome, TwilioOAuthError):
            self._failure = outcome
            self._refresh_at = now + RETRY_GAP
            if now < self._usable_until:
                _log.warning("could not fetch the key set; still using the cached keys: %s", outcome)
            return
        self._keys = PublicKeys(outcome.keys or ())
        self._failure = None
        self._refresh_at = now + FRESH_FOR
        self._usable_until = now + USABLE_FOR

    def __repr__(self) -> str:
        return f"<KeySet {self._session.base_url}, {len(self._keys)} keys>"
