"""Authorization request of the code flow with PKCE, and parsing of its callback. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from twilio_oauth_async.errors import AuthorizationError
from twilio_oauth_async.protocol import pkce
from twilio_oauth_async.protocol.sanitization import clean
from twilio_oauth_async.protocol.serializable import Storable

Api: TypeAlias = Literal["v1", "v2"]

MAX_CALLBACK_LENGTH = 16 * 1024
"""Characters. A longer callback URL is rejected; no browser sends one."""


@attrs.frozen(kw_only=True)
class PendingAuthorization(Storable):
    """State of a pending authorization request: needed when the browser returns with the callback.

    Store it in a web session with ``to_json()`` and ``from_json()``. The JSON contains the code verifier, so keep it as
    secret as a token. Bind it to the browser that started the sign-in, and delete it after use.
    """

    url: str
    """The URL to which the browser is sent."""
    client_sid: str
    redirect_uri: str
    issuer: str
    """The required value of the callback's ``iss``, if the callback has one (RFC 9207)."""
    state: str = attrs.field(repr=False)
    code_verifier: str = attrs.field(repr=False)
    nonce: str = attrs.field(repr=False)
    """For `IdTokenVerifier.verify`."""


def begin(
    endpoint: str, *, client_sid: str, redirect_uri: str, scopes: Sequence[str], issuer: str
) -> PendingAuthorization:
    """Return a new request to the authorization `endpoint` (RFC 6749 4.1.1) with new state, verifier and nonce."""
    state, verifier, nonce = pkce.new_state(), pkce.new_verifier(), pkce.new_nonce()
    query = {
        "response_type": "code",
        "client_id": client_sid,
        "redirect_uri": redirect_uri,
        **({"scope": " ".join(scopes)} if scopes else {}),
        "state": state,
        "nonce": nonce,
        "code_challenge": pkce.challenge(verifier),
        "code_challenge_method": "S256",  # RFC 9700 2.1.1: never plain
    }
    # RFC 6749 3.1: the endpoint may have its own query, which must be kept.
    separator = "&" if urlsplit(endpoint).query else "?"
    return PendingAuthorization(
        url=endpoint + separator + urlencode(query),
        client_sid=client_sid,
        redirect_uri=redirect_uri,
        issuer=issuer,
        state=state,
        code_verifier=verifier,
        nonce=nonce,
    )


def state_matches(pending: PendingAuthorization, callback_url: str) -> bool:
    """Return whether the callback has the ``state`` of `pending`. The comparison takes constant time."""
    return _has_state(_parameters(callback_url) or {}, pending)


def parse_callback(pending: PendingAuthorization, callback_url: str) -> str:
    """Return the authorization code of the callback (RFC 6749 4.1.2).

    Raises:
        AuthorizationError: ``state`` is missing or wrong, ``iss`` is wrong, the callback contains an error, it has no
            code, it repeats a parameter, or it is too long.
    """
    parameters = _parameters(callback_url)
    if parameters is None:
        # RFC 6749 3.1: no parameter may be repeated; with two states it would be unclear which one counts.
        raise AuthorizationError("the callback repeats a parameter or is too long")
    if not _has_state(parameters, pending):
        raise AuthorizationError("the callback's state does not match: it belongs to another authorization request")
    if "iss" in parameters and parameters["iss"] != pending.issuer:
        # RFC 9207 2.4: simple string comparison, before any other parameter is used.
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
    """Return the query of the callback; None if a name is repeated or the query is too long."""
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
