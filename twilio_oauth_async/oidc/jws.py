"""A signed message in compact form (RFC 7515 3.1), taken apart. Who signed it, and what it says, is for others.

Everything in the header that leads to a key by itself (``jku``, ``jwk``, ``x5u``, ``x5c``) is passed over: whoever
forges a token would sign it with the key that they name (RFC 8725 3.10).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import cast

import attrs

from twilio_oauth_async.errors import IdTokenError
from twilio_oauth_async.oidc import base64url
from twilio_oauth_async.oidc.jwa import Algorithm
from twilio_oauth_async.protocol.codec import Malformed, decode_json
from twilio_oauth_async.protocol.serializable import Secretive

MAX_LENGTH = 64 * 1024
"""Characters of an id token; a usual one has about a thousand."""

_HEADERS_KEPT = 16


@attrs.frozen
class Header:
    """What counts of the header, checked in form only."""

    alg: str
    kid: str | None


@attrs.frozen(slots=False)
class SignedMessage(Secretive):
    """A message and a signature that nobody has verified yet."""

    algorithm: Algorithm
    kid: str | None
    signed: bytes = attrs.field(repr=False)
    """What the signature is of: header and payload as they stand in the token (RFC 7515 5.2)."""
    payload: bytes = attrs.field(repr=False)
    signature: bytes = attrs.field(repr=False)


def read_compact(token: str, allowed: Mapping[str, Algorithm]) -> SignedMessage:
    """Take a compact JWS apart.

    Args:
        token: as received.
        allowed: the algorithms that are accepted, by name.

    Raises:
        IdTokenError: it is not in this form, asks for an extension, or was signed with another algorithm.
    """
    if len(token) > MAX_LENGTH:
        raise IdTokenError(f"the id token is longer than {MAX_LENGTH} characters")
    raw = token.encode("ascii", "replace")
    # Five parts would be an encrypted token (RFC 7516 3.1), a brace the JSON form (RFC 7515 7.2).
    if raw.count(b".") != 2:
        raise IdTokenError("the id token is not a signed token in compact form")
    signed, _, signature = raw.rpartition(b".")
    protected, _, payload = signed.partition(b".")
    header = _read_header(protected)
    algorithm = allowed.get(header.alg)
    if algorithm is None:
        raise IdTokenError("the id token's algorithm is not allowed", claim="alg")  # RFC 8725 3.1
    try:
        return SignedMessage(algorithm, header.kid, signed, base64url.decode(payload), base64url.decode(signature))
    except Malformed:
        pass
    raise IdTokenError("a part of the id token is not base64url")


# All tokens that are signed with one key have the same header. It is not secret, and nothing of it is believed.
@functools.lru_cache(maxsize=_HEADERS_KEPT)
def _read_header(text: bytes) -> Header:
    reason: str | None = None
    header: object = None
    try:
        header = decode_json(base64url.decode(text))
    except Malformed as error:
        reason = str(error)
    if reason is not None or not isinstance(header, dict):
        raise IdTokenError(f"the id token's header cannot be read: {reason or 'not an object'}")
    members = cast("dict[str, object]", header)
    alg, kid, typ = members.get("alg"), members.get("kid"), members.get("typ")
    if not isinstance(alg, str):
        raise IdTokenError("the id token's header names no algorithm", claim="alg")
    if "crit" in members:
        # RFC 7515 4.1.11: extensions that must be understood, and this package understands none.
        raise IdTokenError("the id token asks for an extension that is not understood", claim="crit")
    if kid is not None and not isinstance(kid, str):
        raise IdTokenError("the id token's key id is not a string", claim="kid")
    if typ is not None and not (isinstance(typ, str) and typ.lower().removeprefix("application/") == "jwt"):
        # RFC 8725 3.11: an access token (at+jwt), a logout token or the like, by the same issuer for the same client.
        raise IdTokenError("the token is of another type than id tokens are", claim="typ")
    return Header(alg, kid)
