"""Client authentication with the Basic scheme (RFC 6749 2.3.1), translated to the contract.

In the contract, Basic has the credentials of the account, and the client sends its secret as a parameter of the form.
So the credentials of the client move from the header to the form.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from urllib.parse import unquote_plus

from tests.helpers.contract_names import Pairs


class ClientAuthenticationError(Exception):
    """An ``Authorization`` header that does not authenticate a client: an error response of RFC 6749 5.2."""

    def __init__(self, error: str, description: str, status: int) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}
        # RFC 6749 5.2: after a failed authentication with the header, the response names the scheme.
        self.headers = {"WWW-Authenticate": 'Basic realm="OAuth client"'} if status == 401 else {}


def read_client(authorization: str) -> tuple[str, str]:
    """Return the client's identifier and secret.

    Raises:
        ClientAuthenticationError: ``invalid_client``: the scheme is not Basic, or the credentials are malformed.
    """
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise ClientAuthenticationError("invalid_client", "The only supported scheme is Basic.", 401)
    try:
        identifier, secret = base64.b64decode(encoded.strip(), validate=True).decode("ascii").split(":", 1)
        # RFC 6749 2.3.1, appendix B: both are form-encoded, because the identifier may contain a colon.
        return unquote_plus(identifier, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, ValueError):
        raise ClientAuthenticationError("invalid_client", "The Basic credentials are malformed.", 401) from None


def client_in_form(authorization: str | None, form: Iterable[tuple[str, str]]) -> Pairs:
    """Return `form` with the client of the header as ``client_id`` and ``client_secret``; without a header, unchanged.

    Raises:
        ClientAuthenticationError: the header is malformed, or the form authenticates the client too.
    """
    pairs = list(form)
    if authorization is None:
        return pairs
    identifier, secret = read_client(authorization)
    if any(name == "client_secret" and value for name, value in pairs):
        # RFC 6749 2.3: a client must not use more than one method in a request.
        raise ClientAuthenticationError("invalid_request", "The client used two authentication methods.", 400)
    if any(name == "client_id" and value != identifier for name, value in pairs):
        raise ClientAuthenticationError("invalid_request", "The header and the form name different clients.", 400)
    others = [(name, value) for name, value in pairs if name != "client_id"]
    return [*others, ("client_id", identifier), ("client_secret", secret)]
