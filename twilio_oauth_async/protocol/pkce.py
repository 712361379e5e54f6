"""What an authorization request brings along so that nobody else can use its answer (RFC 7636, RFC 9700 2.1)."""

from __future__ import annotations

import base64
import hashlib
import secrets

_ENTROPY = 32
"""Bytes; 256 bits, as RFC 7636 7.1 recommends for a verifier."""


def new_verifier() -> str:
    """A code verifier: 43 characters of base64url (RFC 7636 4.1). A secret."""
    return secrets.token_urlsafe(_ENTROPY)


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def new_state() -> str:
    """A ``state`` that binds the answer to who asked (RFC 6749 10.12)."""
    return secrets.token_urlsafe(_ENTROPY)


def new_nonce() -> str:
    """A ``nonce`` that binds the id token to the request (OIDC Core 3.1.2.1)."""
    return secrets.token_urlsafe(_ENTROPY)
