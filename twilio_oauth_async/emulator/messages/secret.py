"""Comparing secrets."""

from __future__ import annotations

import hmac


def same_secret(given: str, expected: str) -> bool:
    """Whether the two are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))
