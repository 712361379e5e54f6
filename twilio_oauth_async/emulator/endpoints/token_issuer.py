"""`TokenIssuer`: access and ID tokens of a successful token request, with their claims, signatures and dates."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from attrs import field, frozen

from twilio_oauth_async.emulator.endpoints.signing_keys import Algorithm, SigningKeys, base64url_encode
from twilio_oauth_async.emulator.rules.authorization_server import AuthorizationServer, Issuance
from twilio_oauth_async.emulator.rules.model import Now


@frozen(kw_only=True)
class TokenResponse:
    """Content of a token response. The endpoints of v1 and v2 return it with different member names."""

    access_token: str = field(repr=False)
    access_token_expires_at: datetime
    expires_in: int
    refresh_token: str | None = field(repr=False)
    refresh_token_expires_at: datetime | None
    id_token: str | None = field(repr=False)
    scope: str | None
    """None if it is the requested scope (RFC 6749 5.1)."""


class TokenIssuer:
    """Signs and stores the tokens that the rules granted."""

    def __init__(self, server: AuthorizationServer, keys: SigningKeys, issuer: str, algorithm: Algorithm) -> None:
        self._server = server
        self._keys = keys
        self._issuer = issuer
        self.algorithm: Algorithm = algorithm

    def issue(self, issuance: Issuance, now: Now, *, with_refresh: bool = True) -> TokenResponse:
        """Sign and store the tokens of `issuance`."""
        grant, policy = issuance.grant, self._server.policy
        # An ID token identifies a user; the client credentials grant has none.
        with_id_token = "openid" in issuance.scopes and grant.user is not None
        access_token = self._access_token(issuance, now)
        self._server.tokens.add_access_token(access_token, grant, issuance.scopes, now)
        refresh_token = None
        if with_refresh and (not issuance.refreshed or policy.rotate_refresh_tokens):
            refresh_token = self._server.tokens.issue_refresh_token(grant, now)
        return TokenResponse(
            access_token=access_token,
            access_token_expires_at=_whole_seconds(now.wall + timedelta(seconds=policy.access_token_lifetime)),
            expires_in=int(policy.access_token_lifetime),
            refresh_token=refresh_token,
            refresh_token_expires_at=None
            if refresh_token is None
            else _whole_seconds(now.wall + timedelta(seconds=policy.refresh_token_lifetime)),
            id_token=self._id_token(issuance, access_token, now) if with_id_token else None,
            scope=None if set(issuance.scopes) == set(grant.requested_scopes) else " ".join(issuance.scopes),
        )

    def _subject(self, issuance: Issuance) -> str:
        # The client credentials grant has no user: the subject is the app (RFC 9068 2.2).
        return issuance.grant.user.sid if issuance.grant.user is not None else issuance.grant.app.sid

    def _access_token(self, issuance: Issuance, now: Now) -> str:
        grant = issuance.grant
        audiences = list(grant.audiences) or [self._issuer]
        claims: dict[str, Any] = {  # RFC 9068 2.2
            "iss": self._issuer,
            "sub": self._subject(issuance),
            "aud": audiences[0] if len(audiences) == 1 else audiences,
            "client_id": grant.app.sid,
            "scope": " ".join(issuance.scopes),
            "iat": _timestamp(now.wall),
            "nbf": _timestamp(now.wall),
            "exp": _timestamp(now.wall) + int(self._server.policy.access_token_lifetime),
            "jti": self._server.ids.text(22),
        }
        return self._keys.sign(claims, self.algorithm, typ="at+jwt")

    def _id_token(self, issuance: Issuance, access_token: str, now: Now) -> str:
        grant = issuance.grant
        claims: dict[str, Any] = {  # OpenID Connect Core 2
            "iss": self._issuer,
            "sub": self._subject(issuance),
            "aud": grant.app.sid,
            "azp": grant.app.sid,
            "iat": _timestamp(now.wall),
            "nbf": _timestamp(now.wall),
            "exp": _timestamp(now.wall) + int(self._server.policy.access_token_lifetime),
            "auth_time": _timestamp(grant.auth_time),
            "at_hash": _at_hash(access_token),
        }
        if grant.nonce is not None and not issuance.refreshed:
            claims["nonce"] = grant.nonce
        return self._keys.sign(claims, self.algorithm)


def _at_hash(access_token: str) -> str:
    """Return the left half of the SHA-256 digest, the hash of both ES256 and RS256 (OpenID Connect Core 3.1.3.6)."""
    return base64url_encode(hashlib.sha256(access_token.encode("ascii")).digest()[:16])


def _timestamp(moment: datetime) -> int:
    return int(moment.timestamp())


def _whole_seconds(moment: datetime) -> datetime:
    """Return `moment` without fractions of a second: neither of the API's two date formats has them."""
    return moment.replace(microsecond=0)
