"""The callback of the authorization code flow: the authorization response (RFC 6749 4.1.2, RFC 9207). Pure."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qsl, urlsplit

from twilio_oauth_async.errors import AuthorizationError
from twilio_oauth_async.protocol.authorization_request import PendingAuthorization
from twilio_oauth_async.protocol.sanitization import clean

MAX_CALLBACK_LENGTH = 16 * 1024
"""Characters. A longer callback URL is rejected."""


def state_matches(pending: PendingAuthorization, callback_url: str) -> bool:
    """Return whether the callback has the ``state`` of `pending`. The comparison takes constant time."""
    return _has_state(_parameters(callback_url) or {}, pending)


def parse_callback(pending: PendingAuthorization, callback_url: str) -> str:
    """Return the authorization code of the callback (RFC 6749 4.1.2).

    Raises:
        AuthorizationError: ``state`` or ``iss`` is missing or wrong, the callback contains an error, it has no
            code, it repeats a parameter, it has more than 50 parameters, or it is too long or not a URL.
    """
    parameters = _parameters(callback_url)
    if parameters is None:
        # RFC 6749 3.1: no parameter may be repeated; with two states it would be unclear which one to compare.
        raise AuthorizationError("the callback is invalid: it repeats a parameter, is too long or is not a URL")
    if not _has_state(parameters, pending):
        raise AuthorizationError("the callback's state does not match: it belongs to another authorization request")
    if pending.has_issuer and "iss" not in parameters:
        # RFC 9207 2.4: without it, the callback may come from another server (a mix-up attack).
        raise AuthorizationError("the callback has no iss, although the server announces it")
    if "iss" in parameters and parameters["iss"] != pending.issuer:
        # RFC 9207 2.4: simple string comparison, before the code or the error is used.
        raise AuthorizationError("the callback's iss does not match the session's issuer")
    if "error" in parameters:
        raise _callback_error(pending, parameters)
    if not parameters.get("code"):
        raise AuthorizationError("the callback contains neither a code nor an error")
    return parameters["code"]


def _callback_error(pending: PendingAuthorization, parameters: dict[str, str]) -> AuthorizationError:
    sent = (pending.state, pending.code_verifier, pending.nonce)
    error = clean(parameters["error"], sent, max_length=80)
    description = clean(parameters.get("error_description", ""), sent)
    return AuthorizationError(f"{error}: {description}" if description else error, error=error)


def _parameters(callback_url: str) -> dict[str, str] | None:
    """Return the query parameters; None if a name is repeated, or the URL is too long or cannot be parsed."""
    if len(callback_url) > MAX_CALLBACK_LENGTH:
        return None
    try:
        pairs = parse_qsl(urlsplit(callback_url).query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return None
    found = dict(pairs)
    return found if len(found) == len(pairs) else None


def _has_state(parameters: dict[str, str], pending: PendingAuthorization) -> bool:
    state = parameters.get("state", "").encode("utf-8", "surrogatepass")
    return hmac.compare_digest(state, pending.state.encode())
