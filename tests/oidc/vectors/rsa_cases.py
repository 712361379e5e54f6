"""RSA signatures (RFC 8017 8.1 and 8.2) for `generate`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tests.oidc.vectors.arithmetic import RsaKey, mask, xor
from tests.oidc.vectors.groups import MESSAGE, Case, der

OIDS = {
    "sha1": bytes.fromhex("2b0e03021a"),
    "md5": bytes.fromhex("2a864886f70d0205"),
    "sha256": bytes.fromhex("608648016503040201"),
    "sha384": bytes.fromhex("608648016503040202"),
    "sha512": bytes.fromhex("608648016503040203"),
}


def pkcs1_cases(key: RsaKey, digest: str) -> Iterator[Case]:
    """RFC 8017 9.2: 00 01, bytes FF, 00, and the hash with its algorithm in DER."""
    hashed, oid = hashlib.new(digest, MESSAGE).digest(), der(6, OIDS[digest])
    null, octets = b"\5\0", der(4, hashed)

    def block(
        info: bytes, start: bytes = b"\0\1", fill: bytes = b"\xff", end: bytes = b"\0", after: bytes = b""
    ) -> bytes:
        return start + fill * (key.size - len(start) - len(end) - len(info) - len(after)) + end + info + after

    info = der(0x30, der(0x30, oid + null) + octets)
    valid = key.sign(block(info))
    yield "valid", valid, True
    infos = {
        "NULL missing": der(0x30, der(0x30, oid) + octets),
        "NULL replaced": der(0x30, der(0x30, oid + b"\4\0") + octets),
        "NULL with content": der(0x30, der(0x30, oid + b"\5\1\0") + octets),
        "NULL twice": der(0x30, der(0x30, oid + null + null) + octets),
        "long form of the outer length": b"\x30\x81" + info[1:],
        "longer form of the outer length": b"\x30\x82\0" + info[1:],
        "indefinite outer length": b"\x30\x80" + info[2:] + b"\0\0",
        "outer length one too large": bytes([0x30, info[1] + 1]) + info[2:],
        "outer length one too small": bytes([0x30, info[1] - 1]) + info[2:],
        "long form of the length of the hash": der(0x30, der(0x30, oid + null) + b"\4\x81" + octets[1:]),
        "long form of the length of the OID": der(0x30, der(0x30, b"\6\x81" + oid[1:] + null) + octets),
        "hash as constructed string": der(0x30, der(0x30, oid + null) + der(0x24, octets)),
        "hash as bit string": der(0x30, der(0x30, oid + null) + der(3, hashed)),
        "hash without its last byte": der(0x30, der(0x30, oid + null) + der(4, hashed[:-1])),
        "hash with a zero appended": der(0x30, der(0x30, oid + null) + der(4, hashed + b"\0")),
        "element after the hash": der(0x30, der(0x30, oid + null) + octets + null),
        "element before the hash": der(0x30, der(0x30, oid + null) + null + octets),
        "only the hash": hashed,
        "only the octet string": octets,
        "OID missing": der(0x30, der(0x30, null) + octets),
        "OID changed": der(0x30, der(0x30, oid[:-1] + bytes([oid[-1] ^ 8]) + null) + octets),
        "empty": b"",
        "hash of zeros": der(0x30, der(0x30, oid + null) + der(4, bytes(len(hashed)))),
    }
    for other in OIDS.keys() - {digest}:
        foreign = der(4, hashlib.new(other, MESSAGE).digest())
        infos[f"hash {other}"] = der(0x30, der(0x30, der(6, OIDS[other]) + null) + foreign)
        infos[f"OID of {other}"] = der(0x30, der(0x30, der(6, OIDS[other]) + null) + octets)
    for comment in sorted(infos):
        yield comment, key.sign(block(infos[comment])), False
    short = b"\0\1" + b"\xff" * 8 + b"\0" + info
    # Bleichenbacher 2006: a verifier that does not check where the block ends can be deceived.
    yield "padding of eight bytes and garbage", key.sign(short.ljust(key.size, b"\1")), False
    yield "padding of eight bytes and zeros", key.sign(short.ljust(key.size, b"\0")), False
    yield "zeros before the block", key.sign(short.rjust(key.size, b"\0")), False
    yield "no padding", key.sign((b"\0\1\0" + info).ljust(key.size, b"\xff")), False
    yield "zero after the hash", key.sign(block(info, after=b"\0")), False
    yield "padding of zeros", key.sign(block(info, fill=b"\0")), False
    yield "block type 0", key.sign(block(info, start=b"\0\0")), False
    yield "block type 2", key.sign(block(info, start=b"\0\2")), False
    yield "no byte 00 after the padding", key.sign(block(info, end=b"\xff")), False
    yield "byte of the padding changed", key.sign(block(info, start=b"\0\1\xff\xfe")), False
    yield from altered(key, valid)
    yield "PSS", key.sign(pss_block(key, digest)), False


def pss_block(
    key: RsaKey,
    digest: str,
    salt: bytes | None = None,
    mgf: str | None = None,
    trailer: bytes = b"\xbc",
    **changes: bytes,
) -> bytes:
    """RFC 8017 9.1.1. `changes`: the values of ``separator``, ``padding`` (first byte) or ``hashed``."""
    size = hashlib.new(digest).digest_size
    salt = bytes(range(size)) if salt is None else salt
    hashed = changes.get("hashed", hashlib.new(digest, MESSAGE).digest())
    h = hashlib.new(digest, bytes(8) + hashed + salt).digest()
    length = key.size - size - 1
    padding = changes.get("padding", b"\0") + bytes(length - len(salt) - 2)
    db = padding + changes.get("separator", b"\1") + salt
    masked = bytearray(xor(db, mask(h, length, mgf or digest)))
    masked[0] &= 0x7F
    return bytes(masked) + h + trailer


def pss_cases(key: RsaKey, digest: str) -> Iterator[Case]:
    size = hashlib.new(digest).digest_size
    valid = key.sign(pss_block(key, digest))
    yield "valid", valid, True
    yield "valid, salt of zeros", key.sign(pss_block(key, digest, bytes(size))), True
    yield "valid, salt of ones", key.sign(pss_block(key, digest, b"\xff" * size)), True
    for length in sorted({0, 1, 20, size - 1, size + 1, key.size - size - 3}):
        yield f"salt of {length} bytes", key.sign(pss_block(key, digest, bytes(length))), False
    for other in sorted({"sha1", "sha256", "sha384", "sha512"} - {digest}):
        yield f"mask with {other}", key.sign(pss_block(key, digest, mgf=other)), False
        yield f"hash {other}", key.sign(pss_block(key, other)), False
    yield "trailer cc", key.sign(pss_block(key, digest, trailer=b"\xcc")), False
    yield "trailer 00", key.sign(pss_block(key, digest, trailer=b"\0")), False
    yield "separator 00", key.sign(pss_block(key, digest, separator=b"\0")), False
    yield "separator 02", key.sign(pss_block(key, digest, separator=b"\2")), False
    yield "padding not zero", key.sign(pss_block(key, digest, padding=b"\1")), False
    yield "another hash", key.sign(pss_block(key, digest, hashed=bytes(size))), False
    for comment, position in (("first byte", 1), ("first byte of H", key.size - size - 1), ("last byte of H", -2)):
        changed = bytearray(pss_block(key, digest))
        changed[position] ^= 1
        yield f"{comment} changed", key.sign(bytes(changed)), False
    top = bytearray(pss_block(key, digest))
    top[0] |= 0x80
    if int.from_bytes(top, "big") < key.n:
        yield "first bit set", key.sign(bytes(top)), False
    yield from altered(key, valid)
    info = der(0x30, der(0x30, der(6, OIDS[digest]) + b"\5\0") + der(4, hashlib.new(digest, MESSAGE).digest()))
    yield "PKCS #1 v1.5", key.sign(b"\0\1" + b"\xff" * (key.size - len(info) - 3) + b"\0" + info), False


def altered(key: RsaKey, valid: bytes) -> Iterator[Case]:
    """Yield changes of a valid RSA signature."""
    value = int.from_bytes(valid, "big")
    for comment, other in (("0", 0), ("1", 1), ("2", 2), ("n - 1", key.n - 1), ("n", key.n), ("n - s", key.n - value)):
        yield f"signature {comment}", other.to_bytes(key.size, "big"), False
    yield "s + n", (value + key.n).to_bytes(key.size + 1, "big"), False
    if value + key.n < 256**key.size:
        yield "s + n, of the right length", (value + key.n).to_bytes(key.size, "big"), False
    yield "all bits set", b"\xff" * key.size, False
    yield "empty", b"", False
    yield "last byte missing", valid[:-1], False
    yield "first byte missing", valid[1:], False
    yield "zero appended", valid + b"\0", False
    yield "zero prepended", b"\0" + valid, False
    for position in (0, key.size // 2, key.size - 1):
        changed = bytearray(valid)
        changed[position] ^= 1
        yield f"bit changed in byte {position}", bytes(changed), False
