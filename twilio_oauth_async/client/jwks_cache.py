"""`JwksCache`: the key set of the issuer, fetched when it is needed (OpenID Connect Core 10.1.1).

Concurrent calls share one request. The request runs in a task of its own, so that a cancelled call does not cancel it
for the other calls. If all calls that wait for the task are cancelled, the last of them cancels the task and waits for
its end. No task outlives the calls that wait for it, so the cache does not need to be closed.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math

import attrs

from twilio_oauth_async.client.search_budget import SearchBudget
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import IdTokenError, ProtocolError, TwilioOAuthError
from twilio_oauth_async.oidc.jwa import Algorithm
from twilio_oauth_async.oidc.jwk import PublicKey
from twilio_oauth_async.oidc.jwks import PublicKeys
from twilio_oauth_async.protocol import discovery
from twilio_oauth_async.protocol.models import Certs
from twilio_oauth_async.tasks import create_task

FRESH_FOR = 300.0
"""Seconds after which the keys are fetched again. A withdrawn key is accepted for no longer than this, unless a fetch
fails (`USABLE_FOR`)."""

RETRY_GAP = 60.0
"""Seconds after a failed fetch during which the cached keys are used without another attempt."""

USABLE_FOR = 3600.0
"""Seconds for which cached keys are used while newer ones cannot be fetched.

One hour is about the lifetime of an ID token. Users can sign in during an outage of this length. An attacker who blocks
the endpoint cannot keep a withdrawn key in use for longer.
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


class JwksCache:
    """The cached key set of the server of one session. Any number of tasks of one event loop can use it at once.

    All times are those of the monotonic clock of the session.
    """

    def __init__(self, session: OAuthSession) -> None:
        """Create an empty cache; nothing is fetched."""
        self._session = session
        self._keys = PublicKeys(())
        self._keys_from = 0
        """The number of the request that returned the keys."""
        self._refresh_at = self._usable_until = -math.inf
        self._searches = SearchBudget()
        self._failure: TwilioOAuthError | None = None
        self._last_fetch: _Fetch | None = None
        self._fetches = 0

    @property
    def fetches(self) -> int:
        """The number of requests that were started. Read it before `find`, for `find_newer`."""
        return self._fetches

    def cached(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """Return the keys that may have signed a token, without a request; empty if `find` has to be called."""
        if self._session.clock.monotonic() >= self._refresh_at:
            return ()
        # A failed fetch moves `_refresh_at` on: keys that have become too old meanwhile are not used either.
        return self._usable(algorithm, kid)

    async def find(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """Return the keys that may have signed a token; at least one.

        Args:
            algorithm: the signature algorithm of the token.
            kid: the key ID of the token; None: it has none.

        Raises:
            IdTokenError: the key set has no such key.
            TransportError, ProtocolError, ApiError: the key set could not be fetched.
        """
        now = self._session.clock.monotonic()
        fetched = True
        if now >= self._usable_until:
            # Without usable keys every call fetches, even right after a failed fetch.
            await self._fetch(None)
        elif now >= self._refresh_at and self._pending is None:
            # One call fetches newer keys. Meanwhile other calls use the cached keys.
            await self._fetch(REFRESH_TIMEOUT)
        else:
            fetched = False
        keys = self._usable(algorithm, kid)
        if not keys and not fetched and self._may_search(now):
            await self._fetch(None)
            keys = self._usable(algorithm, kid)
        if keys:
            return keys
        self._raise_failure()
        raise IdTokenError("the key set has no key for this ID token", claim="kid")

    async def find_newer(
        self, algorithm: Algorithm, kid: str | None, *, tried: tuple[PublicKey, ...], since: int
    ) -> tuple[PublicKey, ...]:
        """Return the keys that may have signed a token which none of `tried` has signed; empty if nothing has changed.

        A server may have replaced a key and kept its key ID, or it uses no key IDs. Then the cached keys fit the token
        and do not verify it. Such a token causes a fetch, unless the keys were requested after the token had arrived.

        Args:
            algorithm: the signature algorithm of the token.
            kid: the key ID of the token; None: it has none.
            tried: what `cached` or `find` returned.
            since: the value of `fetches` when the verification of the token began.

        Raises:
            TransportError, ProtocolError, ApiError: the key set could not be fetched, and newer keys may exist.
        """
        if self._keys_from <= since and self._may_search(self._session.clock.monotonic()):
            await self._fetch(None)
        keys = self._usable(algorithm, kid)
        if keys is not tried:
            return keys
        # If the last fetch failed, the cached keys may be out of date: the signature is not known to be wrong.
        self._raise_failure()
        return ()

    def _raise_failure(self) -> None:
        """Raise the error of the last fetch if it failed."""
        if self._failure is not None:
            # Each caller gets a copy, because raising an exception adds frames to its traceback.
            raise copy.copy(self._failure)

    def _usable(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        if self._session.clock.monotonic() >= self._usable_until:
            return ()
        return self._keys.candidates(algorithm, kid)

    def _may_search(self, now: float) -> bool:
        """Return whether a token that the cached keys do not verify may cause a fetch.

        Its key may be new, or the token may be forged. A call can always join a fetch in progress.
        """
        if self._pending is not None:
            return True
        allowed, self._searches = self._searches.take(now)
        return allowed

    @property
    def _pending(self) -> _Fetch | None:
        fetch = self._last_fetch
        return fetch if fetch is not None and not fetch.task.done() else None

    async def _fetch(self, timeout: float | None) -> None:
        """Wait for the request in progress, or start one. `_load` stores its result in the attributes."""
        fetch = self._pending
        if fetch is None:
            self._fetches += 1
            task = create_task(self._load(timeout, self._fetches), name="fetch certs")
            fetch = self._last_fetch = _Fetch(task)
        fetch.waiting += 1
        try:
            # Unlike `await task`, this does not cancel the task when the caller is cancelled.
            await asyncio.wait({fetch.task})
        finally:
            fetch.waiting -= 1
            if not fetch.waiting and not fetch.task.done():
                # Removed before it is cancelled, so that no other call joins a cancelled task.
                self._last_fetch = None
                fetch.task.cancel()
                await asyncio.wait({fetch.task})
        fetch.task.result()

    async def _load(self, timeout: float | None, number: int) -> None:
        """Send request `number` and store its result: new keys, or the failure."""
        outcome: Certs | TwilioOAuthError
        try:
            outcome = await self._session.exchange(discovery.build_certs(), discovery.parse_certs, timeout=timeout)
        except TwilioOAuthError as error:
            outcome = error.with_traceback(None)
        if isinstance(outcome, Certs) and outcome.keys is None:
            # An empty list is valid and replaces the cached keys. A response without a list must not delete them.
            outcome = ProtocolError("the key set response has no list of keys")
        now = self._session.clock.monotonic()
        if isinstance(outcome, TwilioOAuthError):
            self._failure = outcome
            self._refresh_at = now + RETRY_GAP
            if now < self._usable_until:
                _log.warning("could not fetch the key set; still using the cached keys: %s", outcome)
            return
        # Unchanged keys stay imported, and `find_newer` can see that there is no newer key.
        if (keys := PublicKeys(outcome.keys or ())).jwks != self._keys.jwks:
            self._keys = keys
        self._keys_from = number
        self._failure = None
        self._refresh_at = now + FRESH_FOR
        self._usable_until = now + USABLE_FOR

    def __repr__(self) -> str:
        return f"<JwksCache {self._session.base_url}, {len(self._keys)} keys>"
