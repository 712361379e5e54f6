"""Random values that protect an authorization request: PKCE, ``state``, ``nonce`` (RFC 7636, RFC 9700 2.1)."""

from __future__ import annotations

import base64
import hashlib
import secrets

_ENTROPY = 32
"""Bytes; 256 bits, as RFC 7636 7.1 recommends for a verifier."""


def new_verifier() -> str:
    """Return a new code verifier: 43 characters of base64url (RFC 7636 4.1). It is a secret."""
    return secrets.token_urlsafe(_ENTROPY)


def challenge(verifier: str) -> str:
    """Return the S256 challenge of `verifier` (RFC 7636 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def new_state() -> str:
    """Return a new ``state``, which binds the callback to the browser that sent the request (RFC 6749 10.12)."""
    return secrets.token_urlsafe(_ENTROPY)


def new_nonce() -> str:
    """Return a new ``nonce``, which binds the ID token to the authorization request (OIDC Core 3.1.2.1)."""
    return secrets.token_urlsafe(_ENTROPY)
