"""The signature algorithms that can be allowed for id tokens (RFC 7518 3.1), and the other names they go by.

Neither ``none`` nor an HMAC is among them, in any spelling: with the first everybody signs, and with the second the
public key becomes the secret (RFC 8725 2.1 and 3.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, cast

import attrs

from twilio_oauth_async.errors import ConfigurationError


class Hash(Protocol):
    """What `hashlib` makes of some bytes."""

    def digest(self) -> bytes:
        """Its value."""
        ...


@attrs.frozen
class Algorithm:
    """One of them."""

    name: str
    """As it stands in a token's header."""
    kty: str
    """The type of key that it takes (RFC 7518 6.1)."""
    hash: Callable[[bytes], Hash]
    """Its hash function; ``at_hash`` is made with the same (OpenID Connect Core 3.1.3.6)."""
    crv: str | None = None
    coordinate_size: int = 0
    """Bytes of one coordinate on its curve (RFC 7518 6.2.1.2)."""


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("ES256", "EC", hashlib.sha256, "P-256", 32),
        Algorithm("ES384", "EC", hashlib.sha384, "P-384", 48),
        Algorithm("ES512", "EC", hashlib.sha512, "P-521", 66),
        Algorithm("RS256", "RSA", hashlib.sha256),
        Algorithm("RS384", "RSA", hashlib.sha384),
        Algorithm("RS512", "RSA", hashlib.sha512),
        Algorithm("PS256", "RSA", hashlib.sha256),
        Algorithm("PS384", "RSA", hashlib.sha384),
        Algorithm("PS512", "RSA", hashlib.sha512),
    )
}

_JWA_NAMES: Final = {"ECDSA": "ES256", "RSA256": "RS256"}


def jwa_name(name: str) -> str:
    """The name of RFC 7518 for one of Twilio's discovery document (``ECDSA``, ``RSA256``); others stay as they are."""
    return _JWA_NAMES.get(name, name)


def allowed_algorithms(names: Iterable[str]) -> Mapping[str, Algorithm]:
    """The list of RFC 8725 3.1, by the names that a token's header may carry.

    Args:
        names: JWA names or those of the discovery document.

    Raises:
        ConfigurationError: none, or one that cannot be allowed.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("algorithms must be a list of names, for example ['ES256', 'RS256']")
    allowed: dict[str, Algorithm] = {}
    for name in cast("Iterable[object]", names):
        algorithm = ALGORITHMS.get(jwa_name(name)) if isinstance(name, str) else None
        if algorithm is None:
            raise ConfigurationError(f"algorithms: {name!r} cannot be allowed, only {', '.join(ALGORITHMS)}")
        allowed[algorithm.name] = algorithm
    if not allowed:
        raise ConfigurationError("algorithms must name at least one, for example ['ES256', 'RS256']")
    return allowed
