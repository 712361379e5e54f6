"""Grants and their tokens: refresh token rotation, reuse detection, revocation (RFC 6749 6, RFC 7009, RFC 9700)."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from datetime import datetime
from typing import Literal

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Grant, IssuedToken, Now, Policy, User

TokenKind = Literal["access", "refresh"]
TokenState = Literal["valid", "replaced", "expired", "revoked"]
"""``replaced``: a refresh token that rotation has replaced."""


class Tokens:
    """All issued tokens. Each is stored under its digest, so that the time of a look-up discloses nothing about it."""

    def __init__(self, policy: Policy, ids: Ids) -> None:
        self._policy = policy
        self._ids = ids
        self._access: dict[bytes, IssuedToken] = {}
        self._refresh: dict[bytes, IssuedToken] = {}
        self._deletions: list[tuple[float, bytes]] = []
        """Heap: the time to delete, and the digest of the token."""

    def new_grant(
        self,
        app: App,
        user: User | None,
        scopes: tuple[str, ...],
        *,
        requested_scopes: tuple[str, ...],
        audiences: tuple[str, ...] = (),
        auth_time: datetime,
        device_id: str | None = None,
        nonce: str | None = None,
        authenticated: bool = False,
    ) -> Grant:
        """Return a new grant without tokens."""
        return Grant(
            id=self._ids.text(16),
            app=app,
            user=user,
            scopes=scopes,
            requested_scopes=requested_scopes,
            audiences=audiences,
            auth_time=auth_time,
            device_id=device_id,
            nonce=nonce,
            authenticated=authenticated,
        )

    def add_access_token(self, token: str, grant: Grant, scopes: tuple[str, ...], now: Now) -> None:
        """Store `token`; it is valid for the lifetime that the policy sets."""
        expires_at = now.seconds + self._policy.access_token_lifetime
        issued = IssuedToken(grant=grant, scopes=scopes, issued_on=now.wall, expires_at=expires_at)
        self._add(self._access, token, issued)

    def issue_refresh_token(self, grant: Grant, now: Now) -> str:
        """Return a new refresh token of `grant`."""
        token = self._ids.text(48)
        expires_at = now.seconds + self._policy.refresh_token_lifetime
        issued = IssuedToken(grant=grant, scopes=grant.scopes, issued_on=now.wall, expires_at=expires_at)
        self._add(self._refresh, token, issued)
        return token

    def requires_secret(self, refresh_token: str) -> bool:
        """Whether the client authenticated with its secret when the grant of `refresh_token` started."""
        issued = self._refresh.get(_digest(refresh_token))
        return issued is not None and issued.grant.authenticated

    def redeem_refresh_token(
        self,
        token: str,
        app: App,
        now: Now,
        *,
        device_id: str | None = None,
        scopes: tuple[str, ...] | None = None,
    ) -> IssuedToken:
        """Check the refresh token `token` of `app` and return its data. If the policy rotates, it is marked as used.

        Raises:
            ErrorResponse: ``invalid_scope``: `scopes` contains a scope that the token does not have.
                ``invalid_grant``: the token is not valid. If it was used before, its whole grant is revoked, because
                either the client or an attacker has a copy and the server cannot know which (RFC 9700 4.14.2).
        """
        self.delete_expired(now)
        issued = self._refresh.get(_digest(token))
        if issued is None or issued.grant.app is not app:
            raise ErrorResponse("invalid_grant", "The refresh token is unknown or was issued to another client.")
        if issued.used:
            issued.grant.revoked = True
            raise ErrorResponse("invalid_grant", "The refresh token was already used; the whole grant is revoked.")
        if issued.revoked or issued.grant.revoked:
            raise ErrorResponse("invalid_grant", "The refresh token is revoked.")
        if issued.expires_at <= now.seconds:
            raise ErrorResponse("invalid_grant", "The refresh token has expired.")
        if device_id is not None and issued.grant.device_id is not None and device_id != issued.grant.device_id:
            raise ErrorResponse("invalid_grant", "The refresh token belongs to another device.")
        if scopes is not None and not set(scopes) <= set(issued.scopes):
            raise ErrorResponse("invalid_scope", "A refresh cannot add scopes.")  # RFC 6749 6
        issued.used = self._policy.rotate_refresh_tokens
        return issued

    def find_access_token(self, token: str, now: Now) -> IssuedToken | None:
        """Return the data of an access token, or None if it is unknown, expired or revoked."""
        self.delete_expired(now)
        issued = self._access.get(_digest(token))
        return issued if issued is not None and _state(issued, now) == "valid" else None

    def find_refresh_token(self, token: str, now: Now) -> IssuedToken | None:
        """Return the data of a refresh token, or None if it cannot be used: unknown, replaced, expired or revoked."""
        self.delete_expired(now)
        issued = self._refresh.get(_digest(token))
        return issued if issued is not None and _state(issued, now) == "valid" else None

    def count(self, now: Now) -> dict[TokenKind, dict[TokenState, int]]:
        """Return the number of tokens by kind and state. Reads every stored token; expired ones are soon deleted."""
        return {
            "access": dict(Counter(_state(issued, now) for issued in self._access.values())),
            "refresh": dict(Counter(_state(issued, now) for issued in self._refresh.values())),
        }

    def expire_access_tokens(self, now: Now) -> int:
        """Make all access tokens expire now, and return the number of those that were valid."""
        valid = [issued for issued in self._access.values() if _state(issued, now) == "valid"]
        for issued in valid:
            issued.expires_at = now.seconds
        return len(valid)

    def revoke_user(self, user: User) -> int:
        """Revoke all grants of `user`, and return the number of those that were not revoked."""
        grants = {issued.grant for tokens in (self._access, self._refresh) for issued in tokens.values()}
        revoked = [grant for grant in grants if grant.user is user and not grant.revoked]
        for grant in revoked:
            grant.revoked = True
        return len(revoked)

    def grant_of(self, token: str) -> Grant | None:
        """Return the grant of an access or refresh token, even if the token or grant is revoked; None if unknown."""
        digest = _digest(token)
        issued = self._refresh.get(digest) or self._access.get(digest)
        return None if issued is None else issued.grant

    def revoke(self, token: str, app: App, now: Now) -> None:
        """Revoke a token of `app`; a refresh token with its whole grant (RFC 7009 2.1).

        An unknown token is not an error (RFC 7009 2.2).

        Raises:
            ErrorResponse: ``invalid_grant``: the token was issued to another client.
        """
        self.delete_expired(now)
        digest = _digest(token)
        issued = self._refresh.get(digest) or self._access.get(digest)
        if issued is None:
            return
        if issued.grant.app is not app:
            raise ErrorResponse("invalid_grant", "The token was issued to another client.")
        if digest in self._refresh:
            issued.grant.revoked = True
        issued.revoked = True

    def delete_expired(self, now: Now) -> None:
        """Delete expired tokens."""
        while self._deletions and self._deletions[0][0] <= now.seconds:
            digest = heapq.heappop(self._deletions)[1]
            self._access.pop(digest, None)
            self._refresh.pop(digest, None)

    def _add(self, tokens: dict[bytes, IssuedToken], token: str, issued: IssuedToken) -> None:
        digest = _digest(token)
        tokens[digest] = issued
        heapq.heappush(self._deletions, (issued.expires_at, digest))


def _state(issued: IssuedToken, now: Now) -> TokenState:
    if issued.revoked or issued.grant.revoked:
        return "revoked"
    if issued.expires_at <= now.seconds:
        return "expired"
    return "replaced" if issued.used else "valid"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
