"""Grants and the tokens that hang on them: rotation, reuse detection, revocation (RFC 6749 6, RFC 7009, RFC 9700)."""

from __future__ import annotations

import hashlib
import heapq
from datetime import datetime

from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Grant, IssuedToken, Now, Policy, User


class Grants:
    """All tokens that are remembered, found by a digest of theirs so that looking one up leaks nothing by its time."""

    def __init__(self, policy: Policy, ids: Ids) -> None:
        self._policy = policy
        self._ids = ids
        self._access: dict[bytes, IssuedToken] = {}
        self._refresh: dict[bytes, IssuedToken] = {}
        self._forget: list[tuple[float, bytes]] = []

    def open(
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

    def remember_access(self, token: str, grant: Grant, scopes: tuple[str, ...], now: Now) -> None:
        """Make `token` good for as long as the policy says."""
        issued = IssuedToken(grant=grant, scopes=scopes, expires_at=now.seconds + self._policy.access_token_lifetime)
        self._remember(self._access, token, issued)

    def issue_refresh(self, grant: Grant, now: Now) -> str:
        """Return a new refresh token of `grant`."""
        token = self._ids.text(48)
        expires_at = now.seconds + self._policy.refresh_token_lifetime
        self._remember(self._refresh, token, IssuedToken(grant=grant, scopes=grant.scopes, expires_at=expires_at))
        return token

    def demands_secret(self, refresh_token: str) -> bool:
        """Whether the grant of `refresh_token` was begun by a client that proved itself with its secret."""
        issued = self._refresh.get(_digest(refresh_token))
        return issued is not None and issued.grant.authenticated

    def redeem_refresh(
        self,
        token: str,
        app: App,
        now: Now,
        *,
        device_id: str | None = None,
        scopes: tuple[str, ...] | None = None,
    ) -> IssuedToken:
        """Return the good refresh token `token` of `app`, spent by this call where the policy rotates.

        Raises:
            RefusalError: ``invalid_scope`` where `scopes` holds more than the token is good for; ``invalid_grant``
                for everything else. Where the token was spent before, its whole grant is
                revoked, because either the client or a thief holds a copy and nobody can tell which (RFC 9700 4.14.2).
        """
        self.sweep(now)
        issued = self._refresh.get(_digest(token))
        if issued is None or issued.grant.app is not app:
            raise RefusalError("invalid_grant", "The refresh token is unknown or was issued to another client.")
        if issued.spent:
            issued.grant.revoked = True
            raise RefusalError("invalid_grant", "The refresh token was already used; the whole grant is revoked.")
        if issued.revoked or issued.grant.revoked:
            raise RefusalError("invalid_grant", "The refresh token is revoked.")
        if issued.expires_at <= now.seconds:
            raise RefusalError("invalid_grant", "The refresh token has expired.")
        if device_id is not None and issued.grant.device_id is not None and device_id != issued.grant.device_id:
            raise RefusalError("invalid_grant", "The refresh token belongs to another device.")
        if scopes is not None and not set(scopes) <= set(issued.scopes):
            raise RefusalError("invalid_scope", "A refresh cannot add scopes.")  # RFC 6749 6
        issued.spent = self._policy.rotate_refresh_tokens
        return issued

    def find_access(self, token: str, now: Now) -> IssuedToken | None:
        """Return what `token` allows, or None where it is unknown, expired or revoked."""
        self.sweep(now)
        issued = self._access.get(_digest(token))
        if issued is None or issued.revoked or issued.grant.revoked or issued.expires_at <= now.seconds:
            return None
        return issued

    def grant_of(self, token: str) -> Grant | None:
        """Return the grant that an access or refresh token belongs to, whatever state they are in."""
        digest = _digest(token)
        issued = self._refresh.get(digest) or self._access.get(digest)
        return None if issued is None else issued.grant

    def revoke(self, token: str, app: App, now: Now) -> None:
        """Revoke a token of `app`, and with a refresh token everything of its grant (RFC 7009 2.1).

        An unknown one is no error (RFC 7009 2.2).

        Raises:
            RefusalError: the token was issued to another client.
        """
        self.sweep(now)
        digest = _digest(token)
        issued = self._refresh.get(digest) or self._access.get(digest)
        if issued is None:
            return
        if issued.grant.app is not app:
            raise RefusalError("invalid_grant", "The token was issued to another client.")
        if digest in self._refresh:
            issued.grant.revoked = True
        issued.revoked = True

    def sweep(self, now: Now) -> None:
        """Forget expired tokens."""
        while self._forget and self._forget[0][0] <= now.seconds:
            digest = heapq.heappop(self._forget)[1]
            self._access.pop(digest, None)
            self._refresh.pop(digest, None)

    def _remember(self, tokens: dict[bytes, IssuedToken], token: str, issued: IssuedToken) -> None:
        digest = _digest(token)
        tokens[digest] = issued
        heapq.heappush(self._forget, (issued.expires_at, digest))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
