"""Parse a compact JWS (RFC 7515 3.1) into its parts. `id_token_validation` verifies the signature and the claims.

Header members that contain or locate a key (``jku``, ``jwk``, ``x5u``, ``x5c``) are ignored: an attacker could sign a
forged token with a key of their own and name it there (RFC 8725 3.10).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import cast

import attrs

from twilio_oauth_async.errors import IdTokenError
from twilio_oauth_async.oidc import base64url
from twilio_oauth_async.oidc.jwa import Algorithm
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.protocol.strict_json import Malformed, decode_json

MAX_LENGTH = 64 * 1024
"""Characters of an ID token. A typical one has about a thousand."""

_HEADER_CACHE_SIZE = 16


@attrs.frozen
class Header:
    """Members of the header that are used; only their types are checked."""

    alg: str
    kid: str | None
    typ: str | None


@attrs.frozen(slots=False)
class SignedMessage(HoldsSecrets):
    """A parsed JWS. Its signature is not verified yet."""

    algorithm: Algorithm
    kid: str | None
    typ: str | None
    """The declared type of the token, for example ``JWT``."""
    signing_input: bytes = attrs.field(repr=False)
    """The signed bytes: header and payload, still encoded (RFC 7515 5.2)."""
    payload: bytes = attrs.field(repr=False)
    signature: bytes = attrs.field(repr=False)


def read_compact(token: str, allowed: Mapping[str, Algorithm]) -> SignedMessage:
    """Parse a compact JWS.

    Args:
        token: the text as received.
        allowed: the allowed algorithms, by name.

    Raises:
        IdTokenError: `token` is not a compact JWS, is too long, has an invalid header, requires an extension
            (``crit``), or names an algorithm that is not allowed.
    """
    if len(token) > MAX_LENGTH:
        raise IdTokenError(f"the ID token is longer than {MAX_LENGTH} characters")
    raw = token.encode("ascii", "replace")
    # An encrypted token has five parts (RFC 7516 3.1); the JSON serialization starts with a brace (RFC 7515 7.2).
    if raw.count(b".") != 2:
        raise IdTokenError("the ID token is not a compact JWS of three parts")
    signing_input, _, signature = raw.rpartition(b".")
    protected, _, payload = signing_input.partition(b".")
    header = _read_header(protected)
    algorithm = allowed.get(header.alg)
    if algorithm is None:
        raise IdTokenError("the ID token's algorithm is not allowed", claim="alg")  # RFC 8725 3.1
    try:
        return SignedMessage(
            algorithm, header.kid, header.typ, signing_input, base64url.decode(payload), base64url.decode(signature)
        )
    except Malformed:
        pass
    raise IdTokenError("a part of the ID token is not base64url")


# Cached because all tokens that are signed with one key have the same header. A header contains no secret.
@functools.lru_cache(maxsize=_HEADER_CACHE_SIZE)
def _read_header(text: bytes) -> Header:
    reason: str | None = None
    header: object = None
    try:
        header = decode_json(base64url.decode(text))
    except Malformed as error:
        reason = str(error)
    if reason is not None or not isinstance(header, dict):
        raise IdTokenError(f"the ID token's header cannot be parsed: {reason or 'not an object'}")
    members = cast("dict[str, object]", header)
    alg, kid, typ = members.get("alg"), members.get("kid"), members.get("typ")
    if not isinstance(alg, str):
        raise IdTokenError("the ID token's header has no algorithm", claim="alg")
    if "crit" in members:
        # RFC 7515 4.1.11: critical extensions must be supported, and this package supports none.
        raise IdTokenError("the ID token requires an extension that is not supported", claim="crit")
    if kid is not None and not isinstance(kid, str):
        raise IdTokenError("the ID token's key ID is not a string", claim="kid")
    if typ is not None and not isinstance(typ, str):
        raise IdTokenError("the ID token's typ is not a string", claim="typ")
    return Header(alg, kid, typ)
