"""PKCE: checks the code challenge of an authorization request and the code verifier of a token request (RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import re

from twilio_oauth_async.emulator.messages.credentials import same_secret
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}", re.ASCII)
"""RFC 7636 4.1."""
_CHALLENGE = re.compile(r"[A-Za-z0-9\-_]{43}", re.ASCII)
"""RFC 7636 4.2: an unpadded base64url SHA-256."""


def check_challenge(challenge: str | None, method: str | None, *, required: bool) -> None:
    """Check ``code_challenge`` and ``code_challenge_method`` of an authorization request.

    Raises:
        ErrorResponse: ``invalid_request``: the challenge is `required` and missing, or its method is not S256.
    """
    if challenge is None and required:
        raise ErrorResponse("invalid_request", "The parameter code_challenge is missing.")  # RFC 7636 4.4.1
    if challenge is not None and (method != "S256" or not _CHALLENGE.fullmatch(challenge)):
        # RFC 9700 2.1.1: with the method "plain", the default, the challenge is the verifier and discloses it.
        raise ErrorResponse("invalid_request", "The code challenge must have the method S256.")


def check_verifier(verifier: str | None, challenge: str | None) -> None:
    """Check the ``code_verifier`` of a token request against the challenge of its authorization request.

    Raises:
        ErrorResponse: ``invalid_grant``: the two do not match.
    """
    if challenge is None:
        if verifier is not None:
            # RFC 9700 2.1.1: an attacker may have removed the challenge from the authorization request.
            raise ErrorResponse("invalid_grant", "The authorization request had no code challenge.")
        return
    if verifier is None:
        raise ErrorResponse("invalid_grant", "The code verifier is missing.")
    if not _VERIFIER.fullmatch(verifier):
        raise ErrorResponse("invalid_grant", "The code verifier is malformed.")
    # RFC 7636 4.6: S256 is the only method that `check_challenge` accepts.
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    if not same_secret(base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii"), challenge):
        raise ErrorResponse("invalid_grant", "The code verifier does not match the challenge.")
