"""Compare claims of ID tokens whose signature is not verified, or cannot be verified now.

The comparison can only reject a token. A claim that differs shows that the token belongs to another user or client.
Equal claims show nothing, because they can be forged; `id_token_validation` accepts tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from twilio_oauth_async.errors import IdTokenError
from twilio_oauth_async.oidc import base64url
from twilio_oauth_async.protocol.strict_json import Malformed, decode_json


def read_unverified(id_token: str) -> Mapping[str, object]:
    """Return the claims of an ID token with any header and signature; empty if they cannot be parsed.

    Claims with the value null are omitted. No claim is required, and no type is checked.
    """
    parts = id_token.encode("ascii", "replace").split(b".")
    try:
        claims = decode_json(base64url.decode(parts[1])) if len(parts) == 3 else None
    except Malformed:
        return {}
    if not isinstance(claims, dict):
        return {}
    return {name: value for name, value in cast("dict[str, object]", claims).items() if value is not None}


def check_unchanged(claims: Mapping[str, object], previous: Mapping[str, object], *, client_sid: str) -> None:
    """Check that no claim says that the token belongs to another user or client than the previous one.

    Args:
        claims: unverified claims of the new token. A claim that is absent here or in `previous` is not compared.
        previous: claims of the token before it.
        client_sid: the client that ``azp`` must name if the previous token had none.

    Raises:
        IdTokenError: ``iss``, ``sub`` or ``azp`` differs, or ``aud`` does not include the previous audiences (OpenID
            Connect Core 12.2).
    """
    old = {"azp": client_sid, **previous}
    for name in ("iss", "sub", "aud", "azp"):
        if name not in claims or name not in old:
            continue
        now, before = _texts(claims[name]), _texts(old[name])
        # More audiences are allowed. Then `azp` says which of them is the client.
        if not (before <= now if name == "aud" else before == now):
            raise IdTokenError(f"the ID token from the refresh has another {name} than the previous one", claim=name)


def check_not_foreign(claims: Mapping[str, object], *, issuer: str, client_sid: str) -> None:
    """Check that no claim says that the token has another issuer, or was issued for another client.

    Args:
        claims: unverified claims. A claim that is absent is not compared.
        issuer: the required ``iss``.
        client_sid: the client that ``aud`` must contain, and that ``azp`` must name.

    Raises:
        IdTokenError: ``iss``, ``aud`` or ``azp`` is wrong.
    """
    if "iss" in claims and claims["iss"] != issuer:
        raise IdTokenError("the ID token has another issuer", claim="iss")
    if "aud" in claims and client_sid not in _texts(claims["aud"]):
        raise IdTokenError("the ID token was issued for another client", claim="aud")
    if "azp" in claims and claims["azp"] != client_sid:
        raise IdTokenError("the ID token's authorized party is another client", claim="azp")


def _texts(value: object) -> frozenset[str]:
    """Return the strings of a claim that is a string or a list of strings, as ``aud`` is (RFC 7519 4.1.3)."""
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return frozenset(item for item in items if isinstance(item, str))
