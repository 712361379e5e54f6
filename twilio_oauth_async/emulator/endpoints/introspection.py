"""Token introspection (RFC 7662): what the server knows about a token. Only the control API offers it."""

from __future__ import annotations

from typing import Any

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.rules.model import IssuedToken, Now


def introspect(backend: Backend, token: str) -> dict[str, Any]:
    """Return the introspection response for an access or refresh token.

    A token that cannot be used, for whatever reason, is only said to be inactive (RFC 7662 2.2).
    """
    now, tokens = backend.now(), backend.server.tokens
    access = tokens.find_access_token(token, now)
    if access is not None:
        return {**_members(backend, access, now), "token_type": "Bearer"}
    refresh = tokens.find_refresh_token(token, now)
    return {"active": False} if refresh is None else _members(backend, refresh, now)


def _members(backend: Backend, issued: IssuedToken, now: Now) -> dict[str, Any]:
    grant = issued.grant
    audiences = list(grant.audiences) or [backend.issuer]
    members: dict[str, Any] = {
        "active": True,
        "scope": " ".join(issued.scopes),
        "client_id": grant.app.sid,
        "sub": grant.app.sid if grant.user is None else grant.user.sid,
        "aud": audiences[0] if len(audiences) == 1 else audiences,
        "iss": backend.issuer,
        "iat": int(issued.issued_on.timestamp()),
        "exp": int(now.wall.timestamp() + issued.expires_at - now.seconds),
    }
    if grant.user is not None:
        members["username"] = grant.user.email
    return members
