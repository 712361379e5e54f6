"""The ``Authorization`` header: Basic (RFC 7617) and Bearer (RFC 6750)."""

from __future__ import annotations

import base64
import binascii
import re

from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.messages.secret import same_secret

_BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
"""RFC 6750 2.1: b64token."""
BASIC_CHALLENGE = 'Basic realm="Twilio API"'
CLIENT_CHALLENGE = 'Basic realm="OAuth client"'
"""Where an app, not the account, has to prove itself (RFC 6749 5.2)."""


def read_basic(authorization: str | None) -> tuple[str, str] | None:
    """User name and password; None where there are no Basic credentials.

    Raises:
        RefusalError: they are malformed.
    """
    scheme, _, rest = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, colon, password = base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        colon, username, password = "", "", ""
    if not colon:
        raise RefusalError(
            "invalid_client", "The Basic credentials cannot be read.", status=401, challenge=BASIC_CHALLENGE
        )
    return username, password


def read_bearer(authorization: str | None) -> str | None:
    """Return the access token; None where there is no Bearer scheme.

    Raises:
        RefusalError: it is malformed (RFC 6750 3.1).
    """
    scheme, _, rest = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    token = rest.strip()
    if not _BEARER_TOKEN.fullmatch(token):
        raise RefusalError(
            "invalid_request", "The Bearer token is malformed.", challenge='Bearer error="invalid_request"'
        )
    return token


class Accounts:
    """Who may call the API: the account with its auth token, and its API keys."""

    def __init__(self, credentials: dict[str, str]) -> None:
        self._credentials = credentials

    def matches(self, username: str, password: str) -> bool:
        """Whether the two belong together; takes the same time whichever of them is wrong."""
        expected = self._credentials.get(username)
        # Compared with something in any case, so that an unknown name takes as long as a wrong password.
        right = same_secret(password, expected if expected is not None else "\0")
        return right and expected is not None

    def add(self, username: str, password: str) -> None:
        """Let one more in: an API key with its secret."""
        self._credentials[username] = password

    def knows(self, username: str) -> bool:
        """Whether there is such an account or API key."""
        return username in self._credentials

    def demand(self, authorization: str | None) -> None:
        """Let only the account in.

        Raises:
            RefusalError: 401, no or wrong Basic credentials.
        """
        basic = read_basic(authorization)
        if basic is None or not self.matches(*basic):
            raise RefusalError("invalid_client", "Authenticate", status=401, challenge=BASIC_CHALLENGE)
