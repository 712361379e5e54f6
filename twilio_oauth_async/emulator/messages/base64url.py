"""Base64url without padding: how JOSE and PKCE write bytes (RFC 7515 2, RFC 7636 3)."""

from __future__ import annotations

import base64


def encode(data: bytes) -> str:
    """`data` as text."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """What `text` stands for."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
