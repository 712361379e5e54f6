"""A key set (RFC 7517 5): selects the keys that may have signed a token."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping

from twilio_oauth_async.oidc.jwa import Algorithm
from twilio_oauth_async.oidc.jwk import PublicKey, import_public_key
from twilio_oauth_async.protocol.strict_json import Malformed

MAX_KEYS = 1_000
"""Keys of one set; further keys are ignored."""

MAX_TRIED = 64
"""Maximum number of keys that are tried for one token.

Several keys may have the key ID of the token. If the token has no key ID, every key may have signed it. A forged token
costs one verification for each of these keys, together about 5 ms.
"""

_log = logging.getLogger(__name__)


class PublicKeys:
    """A key set as received; it never changes.

    A key is imported when it is first needed, because importing a thousand keys at once would block the event loop for
    about 80 ms. Unusable keys are ignored (RFC 7517 5).
    """

    def __init__(self, jwks: Iterable[Mapping[str, object]]) -> None:
        self.jwks: tuple[Mapping[str, object], ...] = tuple(itertools.islice(jwks, MAX_KEYS))
        """The keys as received."""
        self._by_kid: dict[str, list[Mapping[str, object]]] = {}
        for jwk in self.jwks:
            kid = jwk.get("kid")
            if isinstance(kid, str):
                self._by_kid.setdefault(kid, []).append(jwk)
        self._candidates: dict[tuple[str, str | None], tuple[PublicKey, ...]] = {}

    def candidates(self, algorithm: Algorithm, kid: str | None) -> tuple[PublicKey, ...]:
        """Return the keys that may have signed a token, in the order of the set.

        Several keys may have the same key ID (RFC 7517 4.5 does not forbid it), so all of them must be tried. At most
        one key more than `MAX_TRIED` is returned, which shows that not all of them are tried.

        Args:
            algorithm: algorithm of the token.
            kid: key ID of the token; None: the token has none, and every key for the algorithm is a candidate.
        """
        found = self._candidates.get((algorithm.name, kid))
        if found is None:
            jwks = self.jwks if kid is None else self._by_kid.get(kid, ())
            found = tuple(itertools.islice(_usable(jwks, algorithm), MAX_TRIED + 1))
            if kid is None or kid in self._by_kid:
                # Unknown key IDs from forged tokens are not cached, so that memory use stays limited.
                self._candidates[algorithm.name, kid] = found
        return found

    def __len__(self) -> int:
        return len(self.jwks)

    def __repr__(self) -> str:
        return f"<PublicKeys, {len(self)} keys>"


def _usable(jwks: Iterable[Mapping[str, object]], algorithm: Algorithm) -> Iterable[PublicKey]:
    for jwk in jwks:
        try:
            yield import_public_key(jwk, algorithm)
        except Malformed as error:
            _log.debug("ignoring a key of the key set for %s: %s", algorithm.name, error)
