"""From a decision of the state to the tokens that are sent: claims, signatures, dates."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from attrs import field, frozen

from twilio_oauth_async.emulator.endpoints.keys import Algorithm, KeyRing
from twilio_oauth_async.emulator.messages import base64url
from twilio_oauth_async.emulator.rules.model import Now
from twilio_oauth_async.emulator.rules.state import Issue, State


@frozen(kw_only=True)
class TokenAnswer:
    """The content of a token endpoint's answer, before a dialect gives it names."""

    access_token: str = field(repr=False)
    access_token_expires_at: datetime
    expires_in: int
    refresh_token: str | None = field(repr=False)
    refresh_token_expires_at: datetime | None
    id_token: str | None = field(repr=False)
    scope: str | None
    """Only where it differs from what was asked for (RFC 6749 5.1)."""


class TokenIssuer:
    """Signs what `state` decided to give."""

    def __init__(self, state: State, keys: KeyRing, issuer: str, algorithm: Algorithm) -> None:
        self._state = state
        self._keys = keys
        self._issuer = issuer
        self.algorithm: Algorithm = algorithm

    def issue(self, issue: Issue, now: Now, *, with_refresh: bool = True) -> TokenAnswer:
        """Sign and remember the tokens of `issue`."""
        grant, policy = issue.grant, self._state.policy
        # An id token is about a person, and with client credentials there is none.
        identifies = "openid" in issue.scopes and grant.user is not None
        access_token = self._access_token(issue, now)
        self._state.grants.remember_access(access_token, grant, issue.scopes, now)
        refresh_token = None
        if with_refresh and (not issue.refreshed or policy.rotate_refresh_tokens):
            refresh_token = self._state.grants.issue_refresh(grant, now)
        return TokenAnswer(
            access_token=access_token,
            access_token_expires_at=_whole(now.wall + timedelta(seconds=policy.access_token_lifetime)),
            expires_in=int(policy.access_token_lifetime),
            refresh_token=refresh_token,
            refresh_token_expires_at=None
            if refresh_token is None
            else _whole(now.wall + timedelta(seconds=policy.refresh_token_lifetime)),
            id_token=self._id_token(issue, access_token, now) if identifies else None,
            scope=None if set(issue.scopes) == set(grant.requested_scopes) else " ".join(issue.scopes),
        )

    def _subject(self, issue: Issue) -> str:
        # Client credentials have no person: the app stands for itself (RFC 9068 2.2).
        return issue.grant.user.sid if issue.grant.user is not None else issue.grant.app.sid

    def _access_token(self, issue: Issue, now: Now) -> str:
        grant = issue.grant
        audiences = list(grant.audiences) or [self._issuer]
        claims: dict[str, Any] = {  # RFC 9068 2.2
            "iss": self._issuer,
            "sub": self._subject(issue),
            "aud": audiences[0] if len(audiences) == 1 else audiences,
            "client_id": grant.app.sid,
            "scope": " ".join(issue.scopes),
            "iat": _stamp(now.wall),
            "nbf": _stamp(now.wall),
            "exp": _stamp(now.wall) + int(self._state.policy.access_token_lifetime),
            "jti": self._state.ids.text(22),
        }
        return self._keys.sign(claims, self.algorithm, typ="at+jwt")

    def _id_token(self, issue: Issue, access_token: str, now: Now) -> str:
        grant = issue.grant
        claims: dict[str, Any] = {  # OpenID Connect Core 2
            "iss": self._issuer,
            "sub": self._subject(issue),
            "aud": grant.app.sid,
            "azp": grant.app.sid,
            "iat": _stamp(now.wall),
            "nbf": _stamp(now.wall),
            "exp": _stamp(now.wall) + int(self._state.policy.access_token_lifetime),
            "auth_time": _stamp(grant.auth_time),
            "at_hash": _at_hash(access_token),
        }
        if grant.nonce is not None and not issue.refreshed:
            claims["nonce"] = grant.nonce
        return self._keys.sign(claims, self.algorithm)


def _at_hash(access_token: str) -> str:
    """OpenID Connect Core 3.1.3.6: the left half of the hash that ES256 and RS256 both sign with."""
    return base64url.encode(hashlib.sha256(access_token.encode("ascii")).digest()[:16])


def _stamp(moment: datetime) -> int:
    return int(moment.timestamp())


def _whole(moment: datetime) -> datetime:
    """Without the fraction of a second, which neither of the two date formats of the API carries."""
    return moment.replace(microsecond=0)
