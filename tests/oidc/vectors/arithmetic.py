"""Arithmetic for `generate`: curves, primes and encodings, in plain Python and without any cryptographic library."""

from __future__ import annotations

import hashlib
import random

import attrs

Point = tuple[int, int] | None
"""Affine coordinates; None: the point at infinity."""


@attrs.frozen
class Curve:
    """A curve y² = x³ - 3x + b over the integers modulo p, with the generator g of order n (FIPS 186-4 D.1.2)."""

    name: str
    p: int
    n: int
    b: int
    g: tuple[int, int]

    @property
    def size(self) -> int:
        """Bytes of a coordinate."""
        return (self.p.bit_length() + 7) // 8

    def add(self, one: Point, other: Point) -> Point:
        if one is None or other is None:
            return other if one is None else one
        (x1, y1), (x2, y2) = one, other
        if x1 == x2:
            if (y1 + y2) % self.p == 0:
                return None
            slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, self.p)
        else:
            slope = (y2 - y1) * pow(x2 - x1, -1, self.p)
        x = (slope * slope - x1 - x2) % self.p
        return x, (slope * (x1 - x) - y1) % self.p

    def multiply(self, factor: int, point: Point = None) -> Point:
        """Return `factor` times `point`; None: times the generator."""
        result, addend = None, point or self.g
        factor %= self.n
        while factor:
            if factor & 1:
                result = self.add(result, addend)
            addend = self.add(addend, addend)
            factor >>= 1
        return result

    def lift(self, x: int) -> Point:
        """Return a point with this x coordinate; None if there is none. For p = 3 modulo 4."""
        square = (x**3 - 3 * x + self.b) % self.p
        y = pow(square, (self.p + 1) // 4, self.p)
        return (x, y) if y * y % self.p == square else None


P256 = Curve(
    "P-256",
    0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF,
    0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    (
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
)
P384 = Curve(
    "P-384",
    2**384 - 2**128 - 2**96 + 2**32 - 1,
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    (
        0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
        0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F,
    ),
)
P521 = Curve(
    "P-521",
    2**521 - 1,
    2**521 - 2**260 + 0xA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    0x0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    (
        0x00C6858E06B70404E9CD9E3ECB662395B4429C648139053FB521F828AF606B4D3DBAA14B5E77EFE75928FE1DC127A2FFA8DE3348B3C1856A429BF97E7E31C2E5BD66,
        0x011839296A789A3BC0045C8A5FB42C7D1BD998F54449579B446817AFBD17273E662C97EE72995EF42640C550B9013FAD0761353C7086A272C24088BE94769FD16650,
    ),
)


def is_prime(number: int, rng: random.Random) -> bool:
    """Return whether `number` is prime (Miller and Rabin)."""
    if number % 2 == 0 or any(number % small == 0 and number != small for small in range(3, 1000, 2)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        x = pow(rng.randrange(2, number - 1), odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


def random_prime(bits: int, rng: random.Random) -> int:
    while True:
        number = rng.getrandbits(bits) | 3 << (bits - 2) | 1
        if number % 65_537 != 1 and is_prime(number, rng):
            return number


def roca_prime(bits: int, rng: random.Random) -> int:
    """Return a prime of the form in "The Return of Coppersmith's Attack" 2: k * M + (65537 ** a modulo M)."""
    product, count, small = 1, 0, 2
    while count < 126:  # for keys of 2048 bits
        if all(small % divisor for divisor in range(2, int(small**0.5) + 1)):
            product, count = product * small, count + 1
        small += 1
    while True:
        number = pow(65_537, rng.randrange(2**64), product)
        number += product * rng.randrange(3 * 2 ** (bits - 2) // product + 1, 2**bits // product)
        if is_prime(number, rng):
            return number


@attrs.frozen
class RsaKey:
    """A key that signs any block."""

    n: int
    e: int
    d: int

    @classmethod
    def generate(cls, rng: random.Random, bits: int = 2048, prime=random_prime) -> RsaKey:
        p, q = prime(bits // 2, rng), prime(bits // 2, rng)
        return cls(p * q, 65_537, pow(65_537, -1, (p - 1) * (q - 1)))

    @property
    def size(self) -> int:
        """Bytes of a signature."""
        return (self.n.bit_length() + 7) // 8

    def sign(self, block: bytes) -> bytes:
        return pow(int.from_bytes(block, "big"), self.d, self.n).to_bytes(self.size, "big")


def mask(seed: bytes, length: int, digest: str) -> bytes:
    """MGF1 (RFC 8017 B.2.1)."""
    blocks = (hashlib.new(digest, seed + i.to_bytes(4, "big")).digest() for i in range(length // 20 + 1))
    return b"".join(blocks)[:length]


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
