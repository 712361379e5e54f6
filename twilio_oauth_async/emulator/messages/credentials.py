"""Secrets in requests: the ``Authorization`` header with Basic (RFC 7617) or Bearer (RFC 6750), and none in a URL."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse

BEARER_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
"""RFC 6750 2.1: b64token."""
BASIC_CHALLENGE = 'Basic realm="Twilio API"'
CLIENT_CHALLENGE = 'Basic realm="OAuth client"'
"""For endpoints where the app, not the account, authenticates (RFC 6749 5.2)."""
_SECRET_PARAMETERS = frozenset({"clientsecret", "code", "codeverifier", "devicecode", "refreshtoken", "token"})


def check_url_parameters(names: Iterable[str]) -> None:
    """Check that the URL of a request has no parameter that is a secret, because URLs are written to logs.

    Raises:
        ErrorResponse: ``invalid_request``: one of `names` is the name of a secret (RFC 6749 2.3.1).
    """
    for name in names:
        if name.lower().replace("_", "") in _SECRET_PARAMETERS:
            raise ErrorResponse("invalid_request", "Send secrets in the body, not in the URL.")


def same_secret(given: str, expected: str) -> bool:
    """Return whether the two are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


def read_basic(authorization: str | None) -> tuple[str, str] | None:
    """Return user name and password, or None if the header has no Basic credentials.

    Raises:
        ErrorResponse: the Basic credentials are malformed.
    """
    scheme, _, rest = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        username, colon, password = base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        colon, username, password = "", "", ""
    if not colon:
        raise ErrorResponse(
            "invalid_client", "The Basic credentials are malformed.", status=401, challenge=BASIC_CHALLENGE
        )
    return username, password


def client_credentials(username: str, password: str) -> tuple[str, str | None]:
    """Return ``client_id`` and ``client_secret`` of a client that sends them with Basic, form-encoded.

    RFC 6749 2.3.1: an empty secret is the same as none.

    Raises:
        ErrorResponse: the Basic credentials are malformed.
    """
    try:
        return unquote_plus(username, errors="strict"), unquote_plus(password, errors="strict") or None
    except ValueError:
        raise ErrorResponse(
            "invalid_client", "The Basic credentials are malformed.", status=401, challenge=CLIENT_CHALLENGE
        ) from None


def read_bearer(authorization: str | None) -> str | None:
    """Return the access token, or None if the scheme is not Bearer.

    Raises:
        ErrorResponse: the token is malformed (RFC 6750 3.1).
    """
    scheme, _, rest = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    token = rest.strip()
    if not BEARER_TOKEN.fullmatch(token):
        raise ErrorResponse(
            "invalid_request", "The Bearer token is malformed.", challenge='Bearer error="invalid_request"'
        )
    return token


class Accounts:
    """Basic credentials that the API accepts: those of the account (SID and auth token) and of its API keys."""

    def __init__(self, credentials: dict[str, str]) -> None:
        self._credentials = credentials

    def matches(self, username: str, password: str) -> bool:
        """Whether `password` is the one of `username`; the time does not depend on which of the two is wrong."""
        expected = self._credentials.get(username)
        # For an unknown user name something is compared too, so that it takes as long as a wrong password.
        equal = same_secret(password, expected if expected is not None else "\0")
        return equal and expected is not None

    def add(self, username: str, password: str) -> None:
        """Add an API key and its secret."""
        self._credentials[username] = password

    def exists(self, username: str) -> bool:
        """Whether there is such an account or API key."""
        return username in self._credentials

    def authenticate(self, authorization: str | None) -> None:
        """Check the ``Authorization`` header of a request.

        Raises:
            ErrorResponse: 401, the Basic credentials are missing or wrong.
        """
        basic = read_basic(authorization)
        if basic is None or not self.matches(*basic):
            raise ErrorResponse("invalid_client", "Authenticate", status=401, challenge=BASIC_CHALLENGE)
