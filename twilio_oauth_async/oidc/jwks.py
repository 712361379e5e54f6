"""The keys of one key set (RFC 7517 5), and which of them may have signed a token."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping

from twilio_oauth_async.oidc.jwa import Algorithm
from twilio_oauth_async.oidc.jwk import PublicKey, import_public_key
from twilio_oauth_async.protocol.codec import Malformed

MAX_KEYS = 1_000
"""Of a larger set the rest is not looked at."""

MAX_CANDIDATES = 16
"""Keys that are tried for one token, where several have its key id or it has none."""

_log = logging.getLogger(__name__)


class PublicKeys:
    """A key set as it was received; it never changes.

    A key is imported when it is first asked for, and once: a thousand of them would hold up the event loop for about
    80 ms. One that cannot be used is passed over, as RFC 7517 5 asks.
    """

    def __init__(self, jwks: Iterable[Mapping[str, object]]) -> None:
        self._jwks = tuple(itertools.islice(jwks, MAX_KEYS))
        self._by_kid: dict[str, list[Mapping[str, object]]] = {}
        for jwk in self._jwks:
            kid = jwk.get("kid")
            if isinstance(kid, str):
                self._by_kid.setdefault(kid, []).append(jwk)
        self._fitting: dict[tuple[str, str | None], tuple[PublicKey, ...]] = {}

    def fitting(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """The keys that a token by `algorithm` with this key id may be signed with, in the set's order.

        Several may have one key id: nothing forbids it (RFC 7517 4.5), so all of them have to be tried.

        Args:
            algorithm: of the token.
            kid: of the token; None: it names none, and every key of the algorithm may be the one.
        """
        found = self._fitting.get((algorithm.name, kid))
        if found is None:
            jwks = self._jwks if kid is None else self._by_kid.get(kid, ())
            found = tuple(itertools.islice(_usable(jwks, algorithm), MAX_CANDIDATES))
            if kid is None or kid in self._by_kid:
                # Key ids that somebody made up must not pile up here.
                self._fitting[algorithm.name, kid] = found
        return found

    def __len__(self) -> int:
        return len(self._jwks)

    def __repr__(self) -> str:
        return f"<PublicKeys, {len(self)} keys>"


def _usable(jwks: Iterable[Mapping[str, object]], algorithm: Algorithm) -> Iterable[PublicKey]:
    for jwk in jwks:
        try:
            yield import_public_key(jwk, algorithm)
        except Malformed as error:
            _log.debug("a key of the key set is not used for %s: %s", algorithm.name, error)
