"""ECDSA signatures as in a JWS (RFC 7518 3.4) for `generate`."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from tests.helpers.jose import number
from tests.oidc.vectors.arithmetic import P256, P384, P521, Curve
from tests.oidc.vectors.groups import MESSAGE, Case, der, group

CURVES = {"ES256": (P256, "sha256"), "ES384": (P384, "sha384"), "ES512": (P521, "sha512")}


def hash_number(curve: Curve, digest: str) -> int:
    """Return the leftmost bits of the hash of the message, as many as n has (FIPS 186-5 6.4.1)."""
    value = hashlib.new(digest, MESSAGE).digest()
    return int.from_bytes(value, "big") >> max(0, 8 * len(value) - curve.n.bit_length())


def ec_jwk(curve: Curve, point) -> dict[str, str]:
    x, y = (number(value, curve.size) for value in point)
    return {"kty": "EC", "crv": curve.name, "x": x, "y": y}


def ecdsa_groups() -> Iterator[dict[str, object]]:
    for algorithm, (curve, digest) in CURVES.items():
        rng, n = random.Random(f"vectors of {algorithm}"), curve.n
        size = curve.size
        e = hash_number(curve, digest)

        def sign(d: int, e: int = e, n: int = n, curve: Curve = curve, rng: random.Random = rng) -> tuple[int, int]:
            k = rng.randrange(1, n)
            r = curve.multiply(k)[0] % n
            return r, pow(k, -1, n) * (e + r * d) % n

        def raw(r: int, s: int, size: int = size) -> bytes:
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")

        d = rng.randrange(1, n)
        yield group(
            algorithm, "one key", ec_jwk(curve, curve.multiply(d)), signature_cases(curve, digest, d, sign, raw)
        )
        for name, secret in (
            ("g", 1),
            ("2g", 2),
            ("3g", 3),
            ("-g", n - 1),
            ("-2g", n - 2),
            ("(n+1)/2 g", (n + 1) // 2),
        ):
            yield group(
                algorithm,
                f"the public key is {name}",
                ec_jwk(curve, curve.multiply(secret)),
                iter([("signature", raw(*sign(secret)), True), ("signature by another key", raw(*sign(d)), False)]),
            )
        for comment, point, r, s, valid in constructed(curve, e, rng):
            yield group(algorithm, comment, ec_jwk(curve, point), iter([(comment, raw(r, s), valid)]))


def constructed(curve: Curve, e: int, rng: random.Random) -> Iterator[tuple[str, tuple[int, int], int, int, bool]]:
    """Yield signatures with chosen r and s: the key is calculated from them, Q = (s R - e G) / r."""
    n = curve.n

    def key_for(point, r: int, s: int):
        inverse = pow(r, -1, n)
        return curve.add(curve.multiply(s * inverse, point), curve.multiply(-e * inverse))

    anywhere = curve.multiply(rng.randrange(1, n))
    r = anywhere[0] % n
    for comment, s in (("s = 1", 1), ("s = 2", 2), ("s = n - 1", n - 1), ("s = n / 2", n // 2), ("s = 2**32", 2**32)):
        yield comment, key_for(anywhere, r, s), r, s, True
    yield "s = e, so that u1 = 1", key_for(anywhere, r, e % n), r, e % n, True
    yield "s = r, so that u2 = 1", key_for(anywhere, r, r), r, r, True
    small = next(point for x in range(1, 100) if (point := curve.lift(x)))
    yield "smallest r", key_for(small, small[0], 5), small[0], 5, True
    yield "smallest r and s = 1", key_for(small, small[0], 1), small[0], 1, True
    if curve.p > n:
        large = next(point for x in range(n, min(curve.p, n + 1000)) if (point := curve.lift(x)))
        if large[0] > n:
            yield "x of R is n or more, r is reduced", key_for(large, large[0] - n, 7), large[0] - n, 7, True
            yield "x of R is n or more, r is not reduced", key_for(large, large[0] - n, 7), large[0], 7, False
    # u1 G + u2 Q is the point at infinity: no signature is valid.
    infinite = curve.multiply(-e * pow(r, -1, n))
    yield "the sum is the point at infinity", infinite, r, 11, False
    # u1 G = u2 Q: an implementation that adds them must double.
    t = rng.randrange(1, n)
    double = curve.multiply(2 * t)
    yield "point duplication", curve.multiply(e * pow(double[0], -1, n)), double[0] % n, e * pow(t, -1, n) % n, True


def signature_cases(curve: Curve, digest: str, d: int, sign, raw) -> Iterator[Case]:
    n, size = curve.n, curve.size
    r, s = sign(d)
    valid = raw(r, s)
    yield "valid", valid, True
    yield "valid, the other s", raw(r, n - s), True
    while True:
        short_r, short_s = sign(d)
        if raw(short_r, short_s)[1 if size == 66 else 0] == 0:
            break
    yield "valid, r with a leading zero", raw(short_r, short_s), True
    zeros = raw(short_r, short_s)
    yield "leading zero of r removed", zeros[1:], False
    yield "leading zeros of r and s moved to the end", zeros[1:] + b"\0", False
    for name, value in (("0", 0), ("1", 1), ("n", n), ("n - 1", n - 1), ("n + 1", n + 1), ("p", curve.p)):
        yield f"r = {name}", raw(value, s), False
        yield f"s = {name}", raw(r, value), False
        for other_name, other in (("0", 0), ("1", 1), ("n", n), ("n - 1", n - 1)):
            yield f"r = {name}, s = {other_name}", raw(value, other), False
    top = 256**size - 1
    yield "all bits set", raw(top, top), False
    if r + n <= top:
        yield "r + n", raw(r + n, s), False
    if s + n <= top:
        yield "s + n", raw(r, s + n), False
    yield "n - r", raw(n - r, s), False
    yield "r and s exchanged", raw(s, r), False
    yield "empty", b"", False
    yield "only r", valid[:size], False
    yield "r twice", valid[:size] * 2, False
    yield "last byte missing", valid[:-1], False
    yield "first byte missing", valid[1:], False
    yield "zero appended", valid + b"\0", False
    yield "zero prepended", b"\0" + valid, False
    yield "zero before r and before s", b"\0" + valid[:size] + b"\0" + valid[size:], False
    yield "twice", valid * 2, False
    yield "ASN.1", der_sequence(r, s), False
    yield "ASN.1, padded to the length", der_sequence(r, s)[: 2 * size].ljust(2 * size, b"\0"), False
    yield "as text", valid.hex().encode(), False
    for position in (0, size - 1, size, 2 * size - 1):
        changed = bytearray(valid)
        changed[position] ^= 1
        yield f"bit changed in byte {position}", bytes(changed), False
    for other in {"sha1", "sha256", "sha384", "sha512"} - {digest}:
        shift = max(0, 8 * hashlib.new(other).digest_size - n.bit_length())
        yield (
            f"hash {other}",
            raw(*sign(d, int.from_bytes(hashlib.new(other, MESSAGE).digest(), "big") >> shift)),
            False,
        )
    yield "another message", raw(*sign(d, 12345)), False
    yield "message that is its own hash", raw(*sign(d, int.from_bytes(MESSAGE[:size], "big") % n)), False


def der_sequence(r: int, s: int) -> bytes:
    return der(0x30, b"".join(der(2, value.to_bytes(value.bit_length() // 8 + 1, "big")) for value in (r, s)))
