"""Authorization request of the authorization code flow, with PKCE (RFC 6749 4.1.1, RFC 7636)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias
from urllib.parse import urlencode, urlsplit

import attrs

from twilio_oauth_async.protocol import pkce
from twilio_oauth_async.protocol.serializable import Storable

Api: TypeAlias = Literal["v1", "v2"]
"""Version of the authorization and token endpoints."""


@attrs.frozen(kw_only=True)
class PendingAuthorization(Storable):
    """A pending authorization request: the values that are needed to process its callback.

    Store it in a web session with ``to_json()`` and ``from_json()``. The JSON contains the code verifier, so keep it as
    secret as a token. Bind it to the browser that started the sign-in, and delete it after use.
    """

    url: str
    """The URL to which the browser is sent."""
    client_sid: str
    redirect_uri: str
    issuer: str
    """The required value of the callback's ``iss``, if the callback has one (RFC 9207)."""
    has_issuer: bool = False
    """The callback must have an ``iss``, because the server announces it in its metadata (RFC 9207 2.4)."""
    state: str = attrs.field(repr=False)
    code_verifier: str = attrs.field(repr=False)
    nonce: str = attrs.field(repr=False)
    """The `nonce` argument of `IdTokenVerifier.verify`."""


def begin(
    endpoint: str, *, client_sid: str, redirect_uri: str, scopes: Sequence[str], issuer: str, has_issuer: bool = False
) -> PendingAuthorization:
    """Return a new request to the authorization `endpoint` (RFC 6749 4.1.1).

    Its ``state``, code verifier and ``nonce`` are new random values.
    """
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
        has_issuer=has_issuer,
        state=state,
        code_verifier=verifier,
        nonce=nonce,
    )
