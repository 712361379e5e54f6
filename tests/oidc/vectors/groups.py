"""The form of the vectors: groups of signatures of one message by one key."""

from __future__ import annotations

from collections.abc import Iterator

MESSAGE = b"eyJhbGciOiJ0ZXN0In0.eyJzdWIiOiJVUzEifQ"

Case = tuple[str, bytes, bool]
"""Comment, signature, and whether it is valid."""


def group(algorithm: str, comment: str, jwk: dict[str, str], cases: Iterator[Case]) -> dict[str, object]:
    vectors = [{"comment": text, "signature": sig.hex(), "valid": valid} for text, sig, valid in cases]
    return {"algorithm": algorithm, "comment": comment, "jwk": jwk, "message": MESSAGE.decode(), "vectors": vectors}


def der(tag: int, content: bytes) -> bytes:
    length = len(content)
    return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x81, length])) + content
