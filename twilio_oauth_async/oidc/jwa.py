"""Signature algorithms that can be allowed for ID tokens (RFC 7518 3.1), and Twilio's other names for them.

``none`` and HMAC are not supported, in any spelling: ``none`` accepts unsigned tokens, and HMAC would let the public
key be used as the secret (RFC 8725 2.1 and 3.1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, cast

import attrs

from twilio_oauth_async.errors import ConfigurationError


class Hash(Protocol):
    """A hash object of `hashlib`."""

    def digest(self) -> bytes:
        """Return the hash value."""
        ...


@attrs.frozen
class Algorithm:
    """A signature algorithm."""

    name: str
    """The ``alg`` value in a token's header."""
    kty: str
    """Required key type (RFC 7518 6.1)."""
    hash: Callable[[bytes], Hash]
    """Hash function; ``at_hash`` uses the same one (OpenID Connect Core 3.1.3.6)."""
    crv: str | None = None
    """Required curve (RFC 7518 6.2.1.1); None: not an elliptic curve algorithm."""
    coordinate_size: int = 0
    """Bytes of one coordinate on the curve (RFC 7518 6.2.1.2)."""


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
    """Return the RFC 7518 name for Twilio's own names ``ECDSA`` and ``RSA256``; any other name is not changed."""
    return _JWA_NAMES.get(name, name)


def allowed_algorithms(names: Iterable[str]) -> Mapping[str, Algorithm]:
    """Return the allowed algorithms (RFC 8725 3.1), by their ``alg`` value in a token's header.

    Args:
        names: JWA names, or the names in the discovery document.

    Raises:
        ConfigurationError: `names` is empty, is a string, or contains an algorithm that is not supported.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("algorithms must be a list of names, for example ['ES256', 'RS256']")
    allowed: dict[str, Algorithm] = {}
    for name in cast("Iterable[object]", names):
        algorithm = ALGORITHMS.get(jwa_name(name)) if isinstance(name, str) else None
        if algorithm is None:
            raise ConfigurationError(f"algorithms: {name!r} is not supported; supported are {', '.join(ALGORITHMS)}")
        allowed[algorithm.name] = algorithm
    if not allowed:
        raise ConfigurationError("algorithms must not be empty; use for example ['ES256', 'RS256']")
    return allowed
