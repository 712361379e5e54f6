"""One public key of a key set (RFC 7517): validated here, then passed to the JOSE library.

Outside the emulator, only this module imports that library, and only to verify signatures. The library is imported on
first use, because importing it and `cryptography` is slow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

import attrs

from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.oidc import base64url
from twilio_oauth_async.oidc.jwa import Algorithm, jwa_name
from twilio_oauth_async.protocol.strict_json import Malformed

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

MIN_RSA_BITS = 2048
"""RFC 7518 3.3."""

MAX_RSA_BITS = 8192
"""With longer keys, one verification takes too long."""

MIN_RSA_EXPONENT = 65_537
"""FIPS 186-5 A.1.1. With exponent 1 every signature can be forged; there were forgeries with other small ones."""

MAX_RSA_EXPONENT = 2**32 - 1
"""A larger exponent makes verification slower and is never needed."""

_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
"""The primes up to 167 for which the powers of 65537 are not all remainders other than 0."""

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518 6.2.2, 6.3.2, 6.4.1


@attrs.frozen(eq=False)
class PublicKey:
    """A public key for one signature algorithm."""

    algorithm: Algorithm
    _verify: Callable[[bytes, bytes, ECKey | RSAKey], bool] = attrs.field(repr=False)
    _key: ECKey | RSAKey = attrs.field(repr=False)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is a signature of `message` by this key."""
        return self._verify(message, signature, self._key)


def require_jose() -> None:
    """Import the JOSE library, so that a missing extra is reported early.

    Raises:
        MissingExtraError: the extra ``jwt`` is not installed.
    """
    with from_extra("jwt", "joserfc", "cryptography"):
        import joserfc.jws  # noqa: F401  # pyright: ignore[reportUnusedImport]


def import_public_key(jwk: Mapping[str, object], algorithm: Algorithm) -> PublicKey:
    """Validate a JWK and import it for signatures of `algorithm`. Its certificate members (``x5c`` ...) are ignored.

    Raises:
        Malformed: the key is for another algorithm, not for signatures, too weak, or not valid.
    """
    from joserfc.jwk import ECKey, RSAKey
    from joserfc.jws import JWSRegistry

    if jwk.get("kty") != algorithm.kty:
        raise Malformed("kty: not a key for this algorithm")
    _check_purpose(jwk, algorithm)
    numbers = _decode_ec_members(jwk, algorithm) if algorithm.kty == "EC" else _decode_rsa_members(jwk)
    key: ECKey | RSAKey | None = None
    try:
        key = (ECKey if algorithm.kty == "EC" else RSAKey).import_key(numbers)
    except ValueError:
        key = None
    if key is None:
        # RFC 8725 3.4: a point that is not on the curve makes the calculation use another, weaker curve.
        raise Malformed("x, y: not a point on the curve")
    scheme = JWSRegistry(algorithms=[algorithm.name]).get_alg(algorithm.name)
    return PublicKey(algorithm, scheme.verify, key)


def _check_purpose(jwk: Mapping[str, object], algorithm: Algorithm) -> None:
    use = jwk.get("use")
    if use is not None and use != "sig":  # RFC 7517 4.2
        raise Malformed("use: not for signatures")
    key_ops = jwk.get("key_ops")
    # RFC 7517 4.3. Twilio publishes an empty list, which is treated as absent.
    if key_ops not in (None, []) and not (isinstance(key_ops, list) and "verify" in cast("list[object]", key_ops)):
        raise Malformed("key_ops: not for verification")
    alg = jwk.get("alg")
    if alg is not None and not (isinstance(alg, str) and jwa_name(alg) == algorithm.name):  # RFC 7517 4.4
        raise Malformed("alg: for another algorithm")
    if _PRIVATE_MEMBERS & jwk.keys():
        # A published private key is compromised.
        raise Malformed("a private key")


def _decode_ec_members(jwk: Mapping[str, object], algorithm: Algorithm) -> dict[str, str | list[str]]:
    if jwk.get("crv") != algorithm.crv:
        raise Malformed("crv: not the curve of this algorithm")
    x, y = (_decode_number(jwk, name) for name in ("x", "y"))
    if {len(x), len(y)} != {algorithm.coordinate_size}:
        raise Malformed("x, y: wrong size for the curve")  # RFC 7518 6.2.1.2
    return {"kty": "EC", "crv": algorithm.crv or "", "x": base64url.encode(x), "y": base64url.encode(y)}


def _decode_rsa_members(jwk: Mapping[str, object]) -> dict[str, str | list[str]]:
    n, e = (_decode_number(jwk, name) for name in ("n", "e"))
    # Check the numbers, not the octets: RFC 7518 6.3.1.1 mentions libraries that add a leading zero octet.
    modulus, exponent = (int.from_bytes(number, "big") for number in (n, e))
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        raise Malformed("n: too short or too long")
    if modulus % 2 == 0:
        raise Malformed("n: even")
    if _has_roca_fingerprint(modulus):
        raise Malformed("n: the private key can be calculated (CVE-2017-15361, ROCA)")
    if not MIN_RSA_EXPONENT <= exponent <= MAX_RSA_EXPONENT or exponent % 2 == 0:
        raise Malformed("e: too small, too large or even")
    return {"kty": "RSA", "n": base64url.encode(n), "e": base64url.encode(e)}


def _has_roca_fingerprint(modulus: int) -> bool:
    """Return whether the key was generated by a faulty chip library (CVE-2017-15361).

    Its primes, and so the modulus, are powers of 65537 modulo each small prime. About one in 200 million other keys has
    this property by chance, and is rejected as well.
    """
    return all(modulus % prime in powers for prime, powers in _powers_of_65537())


@functools.cache
def _powers_of_65537() -> tuple[tuple[int, frozenset[int]], ...]:
    return tuple((prime, frozenset(pow(65_537, i, prime) for i in range(prime - 1))) for prime in _ROCA_PRIMES)


def _decode_number(jwk: Mapping[str, object], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str):
        raise Malformed(f"{name}: missing or not a string")
    return base64url.decode(text.encode("ascii", "replace"))
