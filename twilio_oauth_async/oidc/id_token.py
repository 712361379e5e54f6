"""Whether an id token may be believed (OpenID Connect Core 3.1.3.7, RFC 8725). Pure: keys and time come in.

The JOSE library tells whether a signature is by a key. Everything else is decided here and in the modules below, since
libraries differ in what they let through.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from datetime import datetime

from twilio_oauth_async.errors import IdTokenError
from twilio_oauth_async.oidc import base64url
from twilio_oauth_async.oidc.claims import IdTokenClaims, read_claims
from twilio_oauth_async.oidc.jwa import ALGORITHMS, Algorithm
from twilio_oauth_async.oidc.jwk import PublicKey
from twilio_oauth_async.oidc.jws import SignedMessage, read_compact

MAX_LEEWAY = 60.0
"""Seconds that two clocks may differ (RFC 7519 4.1.4: "usually no more than a few minutes"); a rule of this package."""


def verify(
    message: SignedMessage,
    keys: Iterable[PublicKey],
    *,
    issuer: str,
    client_sid: str,
    now: datetime,
    leeway: float = MAX_LEEWAY,
    nonce: str | None = None,
    access_token: str | None = None,
) -> IdTokenClaims:
    """The claims of an id token, once everything about it was found right.

    Args:
        message: the token, taken apart.
        keys: those of the issuer that may have signed it; all are tried.
        issuer: who must have issued it, to the letter.
        client_sid: whom it must be meant for.
        now: aware, UTC.
        leeway: seconds that the issuer's clock may differ.
        nonce: the one that was sent with the authorization request; None: none was sent.
        access_token: the one that came with it, to be compared with ``at_hash`` where the token has that.

    Raises:
        IdTokenError: it must not be believed.
    """
    check_signature(message, keys)
    claims = read_claims(message.payload)
    check_recipient(claims, issuer=issuer, client_sid=client_sid)
    check_dates(claims, now=now, leeway=leeway)
    if nonce is not None:
        check_nonce(claims, nonce)
    if access_token is not None and claims.at_hash is not None:
        check_access_token(claims, access_token, message.algorithm)
    return claims


def check_signature(message: SignedMessage, keys: Iterable[PublicKey]) -> None:
    """Find the key that signed `message`.

    Raises:
        IdTokenError: it is none of `keys`.
    """
    for key in keys:
        # RFC 8725 3.1: the key is for this algorithm, whatever it was found by.
        if key.algorithm is message.algorithm and key.signed(message.signed, message.signature):
            return
    raise IdTokenError("the id token's signature is not by a key of its issuer")


def check_recipient(claims: IdTokenClaims, *, issuer: str, client_sid: str) -> None:
    """By whom and for whom it is (OpenID Connect Core 3.1.3.7, numbers 2 to 5).

    Raises:
        IdTokenError: by somebody else, or for somebody else.
    """
    if claims.iss != issuer:
        raise IdTokenError("the id token is of another issuer", claim="iss")
    if client_sid not in claims.aud:
        raise IdTokenError("the id token is for another client", claim="aud")
    if claims.azp is None and len(claims.aud) > 1:
        raise IdTokenError("the id token is for several clients and does not say which of them asked", claim="azp")
    if claims.azp is not None and claims.azp != client_sid:
        raise IdTokenError("the id token was issued to another client", claim="azp")


def check_dates(claims: IdTokenClaims, *, now: datetime, leeway: float) -> None:
    """Whether it is in force at `now`, give or take `leeway` seconds.

    Raises:
        IdTokenError: too late or too early.
    """
    # RFC 7519 4.1.4: "on or after" is too late.
    if now >= claims.exp and (now - claims.exp).total_seconds() >= leeway:
        raise IdTokenError("the id token has expired", claim="exp")
    # RFC 7519 4.1.5
    if claims.nbf is not None and now < claims.nbf and (claims.nbf - now).total_seconds() > leeway:
        raise IdTokenError("the id token is not in force yet", claim="nbf")
    # OpenID Connect Core 3.1.3.7, number 10, leaves the limit to the client. From the future it is no good.
    if now < claims.iat and (claims.iat - now).total_seconds() > leeway:
        raise IdTokenError("the id token was issued in the future; is this machine's clock right?", claim="iat")


def check_nonce(claims: IdTokenClaims, nonce: str) -> None:
    """Whether it answers the request that `nonce` was sent with (OpenID Connect Core 3.1.3.7, number 11).

    Raises:
        IdTokenError: it answers another one, or says nothing of it.
    """
    if claims.nonce is None or not _equal(claims.nonce, nonce):
        raise IdTokenError("the id token does not belong to this sign-in", claim="nonce")


def check_access_token(claims: IdTokenClaims, access_token: str, algorithm: Algorithm) -> None:
    """Whether it was issued together with `access_token` (OpenID Connect Core 3.1.3.8).

    Raises:
        IdTokenError: with another one.
    """
    digest = algorithm.hash(access_token.encode("utf-8", "surrogatepass")).digest()
    # OpenID Connect Core 3.1.3.6: the left half.
    if not _equal(claims.at_hash or "", base64url.encode(digest[: len(digest) // 2])):
        raise IdTokenError("the id token does not belong to the access token", claim="at_hash")


def check_refreshed(claims: IdTokenClaims, first: IdTokenClaims) -> None:
    """Whether a token that came with a refresh is of the same person and client (OpenID Connect Core 12.2).

    Args:
        claims: of the new one, verified.
        first: of the one that was got at sign-in, or at any refresh since.

    Raises:
        IdTokenError: it is about something else.
    """
    for name, same in (
        ("iss", claims.iss == first.iss),
        ("sub", claims.sub == first.sub),
        ("aud", set(claims.aud) == set(first.aud)),
        ("auth_time", None in {claims.auth_time, first.auth_time} or claims.auth_time == first.auth_time),
        # A refreshed one should have no nonce, and must not have another one.
        ("nonce", None in {claims.nonce, first.nonce} or claims.nonce == first.nonce),
    ):
        if not same:
            raise IdTokenError(f"the refreshed id token has another {name} than the one before", claim=name)


def read_stored(id_token: str) -> IdTokenClaims:
    """The claims of an id token that was verified when it was received and has been kept safe since.

    Its signature and dates are not looked at: it has expired by now, and its key may be gone.

    Raises:
        IdTokenError: it cannot be read.
    """
    return read_claims(read_compact(id_token, ALGORITHMS).payload)


def _equal(one: str, other: str) -> bool:
    """In a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))
