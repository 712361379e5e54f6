"""An authorization request under way as a value, and what its redirect brings back. Pure."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs

from twilio_oauth_async.errors import AuthorizationError
from twilio_oauth_async.protocol import pkce
from twilio_oauth_async.protocol.redaction import clean
from twilio_oauth_async.protocol.serializable import Storable

Api: TypeAlias = Literal["v1", "v2"]

MAX_CALLBACK_LENGTH = 16 * 1024
"""Characters of a callback URL that are looked at; a browser sends no more."""


@attrs.frozen(kw_only=True)
class PendingAuthorization(Storable):
    """What must be remembered between sending a person's browser away and its coming back.

    ``to_json()`` and ``from_json()`` carry it through a web session; the text holds the verifier and is as secret as
    the token that it will become. Keep it with the browser that began, and forget it once it was used.
    """

    url: str
    """Where to send the browser."""
    client_sid: str
    redirect_uri: str
    issuer: str
    """Who will have answered, where the answer tells (RFC 9207)."""
    state: str = attrs.field(repr=False)
    code_verifier: str = attrs.field(repr=False)
    nonce: str = attrs.field(repr=False)
    """For `IdTokenVerifier.verify`."""


def begin(
    endpoint: str, *, client_sid: str, redirect_uri: str, scopes: Sequence[str], issuer: str
) -> PendingAuthorization:
    """A new request to the authorization `endpoint` (RFC 6749 4.1.1), with fresh state, verifier and nonce."""
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
    # RFC 6749 3.1: the endpoint may have a query of its own, which is kept.
    joint = "&" if urlsplit(endpoint).query else "?"
    return PendingAuthorization(
        url=endpoint + joint + urlencode(query),
        client_sid=client_sid,
        redirect_uri=redirect_uri,
        issuer=issuer,
        state=state,
        code_verifier=verifier,
        nonce=nonce,
    )


def is_answer_to(pending: PendingAuthorization, callback_url: str) -> bool:
    """Whether the callback carries the state of `pending`, compared in constant time."""
    return _same_state(pending, _parameters(callback_url) or {})


def code_of(pending: PendingAuthorization, callback_url: str) -> str:
    """The authorization code that the callback brings (RFC 6749 4.1.2).

    Raises:
        AuthorizationError: a wrong or missing ``state`` or a wrong ``iss``; an error of the server's; no code.
    """
    parameters = _parameters(callback_url)
    if parameters is None:
        # RFC 6749 3.1: no parameter more than once; which of two states would be the right one?
        raise AuthorizationError("the callback repeats a parameter or is too long")
    if not _same_state(pending, parameters):
        raise AuthorizationError(
            "the callback's state is not the one that was sent: it answers somebody else's request"
        )
    if "iss" in parameters and parameters["iss"] != pending.issuer:
        # RFC 9207 2.4: simple string comparison, before anything else is believed.
        raise AuthorizationError("the callback's iss is not the session's issuer")
    if "error" in parameters:
        raise _refusal(pending, parameters)
    if not parameters.get("code"):
        raise AuthorizationError("the callback carries neither a code nor an error")
    return parameters["code"]


def _refusal(pending: PendingAuthorization, parameters: dict[str, str]) -> AuthorizationError:
    sent = (pending.state, pending.code_verifier, pending.nonce)
    error = clean(parameters["error"], sent, max_length=80)
    description = clean(parameters.get("error_description", ""), sent)
    return AuthorizationError(f"{error}: {description}" if description else error, error=error)


def _parameters(callback_url: str) -> dict[str, str] | None:
    """The query of the callback; None where a name comes twice or there is more than any browser sends."""
    if len(callback_url) > MAX_CALLBACK_LENGTH:
        return None
    try:
        pairs = parse_qsl(urlsplit(callback_url).query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return None
    found = dict(pairs)
    return found if len(found) == len(pairs) else None


def _same_state(pending: PendingAuthorization, parameters: dict[str, str]) -> bool:
    given = parameters.get("state", "").encode("utf-8", "surrogatepass")
    return hmac.compare_digest(given, pending.state.encode())
