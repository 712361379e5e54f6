"""Validation of ID tokens (OpenID Connect Core 3.1.3.7, RFC 8725). Pure: keys and time are arguments.

The JOSE library only verifies signatures. Everything else is checked here and in the other modules of this folder,
because libraries differ in what they accept.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime

from twilio_oauth_async.errors import IdTokenError
from twilio_oauth_async.oidc import base64url
from twilio_oauth_async.oidc.claims import IdTokenClaims, read_claims
from twilio_oauth_async.oidc.jwa import ALGORITHMS, Algorithm
from twilio_oauth_async.oidc.jwk import PublicKey
from twilio_oauth_async.oidc.jwks import MAX_TRIED
from twilio_oauth_async.oidc.jws import SignedMessage, read_compact

MAX_LEEWAY = 60.0
"""Seconds of allowed clock skew. RFC 7519 4.1.4 says "usually no more than a few minutes"; the limit is our choice."""


def check_claims(
    message: SignedMessage,
    *,
    issuer: str,
    client_sid: str,
    now: datetime,
    leeway: float,
    nonce: str | None,
    access_token: str | None,
) -> IdTokenClaims:
    """Check everything but the type and the signature; return the claims.

    Args:
        message: the parsed token.
        issuer: the required ``iss``, compared exactly.
        client_sid: the client for which the token must be issued.
        now: aware, UTC.
        leeway: seconds by which the issuer's clock may differ.
        nonce: the nonce of the authorization request; None: the request had none.
        access_token: the access token of the same response; compared with ``at_hash`` if the token has this claim.

    Raises:
        IdTokenError: the claims cannot be parsed, or one of them is wrong.
    """
    claims = read_claims(message.payload)
    check_issuer_and_client(claims, issuer=issuer, client_sid=client_sid)
    check_dates(claims, now=now, leeway=leeway)
    if nonce is not None:
        check_nonce(claims, nonce)
    if access_token is not None and claims.at_hash is not None:
        check_at_hash(claims, access_token, message.algorithm)
    return claims


def check_type(message: SignedMessage) -> None:
    """Check that `message` is an ID token and no other token of the same issuer for the same client (RFC 8725 3.11).

    Raises:
        IdTokenError: `message` has a ``typ`` other than JWT, for example ``at+jwt``, the type of access tokens.
    """
    if message.typ is not None and message.typ.lower().removeprefix("application/") != "jwt":
        raise IdTokenError("the token is not an ID token: its typ is not JWT", claim="typ")


def is_signed(message: SignedMessage, keys: Sequence[PublicKey]) -> bool:
    """Return whether one of the first `MAX_TRIED` of `keys` signed `message`."""
    return any(
        # RFC 8725 3.1: use a key only with its own algorithm, however the key was selected.
        key.algorithm is message.algorithm and key.verify(message.signing_input, message.signature)
        for key in keys[:MAX_TRIED]
    )


def signature_error(keys: Sequence[PublicKey]) -> IdTokenError:
    """Return the error for a token that none of `keys` signed. It says if there are too many keys to try them all."""
    if len(keys) > MAX_TRIED:
        return IdTokenError(
            f"the ID token's signature does not match the first {MAX_TRIED} keys of the issuer that fit its header; "
            "the other ones are not tried",
        )
    return IdTokenError("the ID token's signature does not match any key of the issuer")


def check_issuer_and_client(claims: IdTokenClaims, *, issuer: str, client_sid: str) -> None:
    """Check ``iss``, ``aud`` and ``azp`` (OpenID Connect Core 3.1.3.7, numbers 2 to 5).

    Raises:
        IdTokenError: the token has another issuer, was issued for another client, or has several audiences and no
            ``azp``.
    """
    if claims.iss != issuer:
        raise IdTokenError("the ID token has another issuer", claim="iss")
    if client_sid not in claims.aud:
        raise IdTokenError("the ID token was issued for another client", claim="aud")
    if claims.azp is None and len(claims.aud) > 1:
        raise IdTokenError("the ID token has several audiences but no azp", claim="azp")
    if claims.azp is not None and claims.azp != client_sid:
        raise IdTokenError("the ID token's authorized party is another client", claim="azp")


def check_dates(claims: IdTokenClaims, *, now: datetime, leeway: float) -> None:
    """Check that the token is valid at `now`, with a clock skew of up to `leeway` seconds.

    Raises:
        IdTokenError: the token has expired, is not valid yet, or was issued in the future.
    """
    # RFC 7519 4.1.4: the token is not valid "on or after" this time.
    if now >= claims.exp and (now - claims.exp).total_seconds() >= leeway:
        raise IdTokenError("the ID token has expired", claim="exp")
    # RFC 7519 4.1.5
    if claims.nbf is not None and now < claims.nbf and (claims.nbf - now).total_seconds() > leeway:
        raise IdTokenError("the ID token is not valid yet", claim="nbf")
    # OpenID Connect Core 3.1.3.7, number 10, lets the client choose the range of iat. Only the future is rejected.
    if now < claims.iat and (claims.iat - now).total_seconds() > leeway:
        raise IdTokenError("the ID token was issued in the future; check the clock of this machine", claim="iat")


def check_nonce(claims: IdTokenClaims, nonce: str) -> None:
    """Check that the token has the nonce of the authorization request (OpenID Connect Core 3.1.3.7, number 11).

    Raises:
        IdTokenError: ``nonce`` is missing or different.
    """
    if claims.nonce is None or not _equal(claims.nonce, nonce):
        raise IdTokenError("the ID token belongs to another sign-in: its nonce does not match", claim="nonce")


def check_at_hash(claims: IdTokenClaims, access_token: str, algorithm: Algorithm) -> None:
    """Check that the token was issued together with `access_token` (OpenID Connect Core 3.1.3.8).

    Raises:
        IdTokenError: ``at_hash`` is missing, or is the hash of another access token.
    """
    digest = algorithm.hash(access_token.encode("utf-8", "surrogatepass")).digest()
    # OpenID Connect Core 3.1.3.6: the left half of the hash.
    if not _equal(claims.at_hash or "", base64url.encode(digest[: len(digest) // 2])):
        raise IdTokenError("the ID token belongs to another access token: its at_hash does not match", claim="at_hash")


def check_refreshed(claims: IdTokenClaims, previous: IdTokenClaims) -> None:
    """Check that an ID token from a refresh has the same user and client as before (OpenID Connect Core 12.2).

    Args:
        claims: claims of the new token, already validated.
        previous: claims of the token from the sign-in, or from any earlier refresh.

    Raises:
        IdTokenError: ``iss``, ``sub`` or ``azp`` differs, ``aud`` does not include the previous audiences,
            ``auth_time`` or ``nonce`` differs, or there is a ``nonce`` or ``azp`` that the previous token did not have.
    """
    for name, same in (
        ("iss", claims.iss == previous.iss),
        ("sub", claims.sub == previous.sub),
        ("aud", set(claims.aud) >= set(previous.aud)),
        # If there was no azp before, none may be present now.
        ("azp", claims.azp == previous.azp),
        ("auth_time", None in {claims.auth_time, previous.auth_time} or claims.auth_time == previous.auth_time),
        # The new token should have no nonce. A nonce that the previous token did not have is that of another sign-in.
        ("nonce", claims.nonce is None or claims.nonce == previous.nonce),
    ):
        if not same:
            raise IdTokenError(f"the ID token from the refresh has another {name} than the previous one", claim=name)


def read_stored(id_token: str) -> IdTokenClaims:
    """Return the claims of an ID token that was validated when it was received, and stored safely since then.

    Its signature and dates are not checked: it may have expired, and the issuer may have removed its key.

    Raises:
        IdTokenError: the token cannot be parsed.
    """
    message = read_compact(id_token, ALGORITHMS)
    check_type(message)
    return read_claims(message.payload)


def _equal(one: str, other: str) -> bool:
    """Return whether two strings are equal. The comparison takes constant time."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
