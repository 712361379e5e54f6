"""What a way to a token has to offer to `TokenManager`, and the one refresh that all of them share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from twilio_oauth_async.errors import LoginRequired
from twilio_oauth_async.protocol.models import Token


class Grant(Protocol):
    """`DeviceFlow`, `AuthorizationCodeFlow` and `ClientCredentials` are grants."""

    @property
    def interactive(self) -> bool:
        """Whether `obtain` needs a person."""
        ...

    async def obtain(self) -> Token:
        """Get a first token."""
        ...

    async def refresh(self, token: Token) -> Token:
        """Get the next one without a person (RFC 6749 6).

        Sent exactly once. What comes back is complete: a refresh token that the answer left out is the old one.

        Raises:
            LoginRequired: `token` has no refresh token.
            AnswerLostError: the refresh token may have been used up.
            InvalidGrantError: it has been used up, revoked, or is too old.
        """
        ...

    async def revoke(self, token: Token) -> None:
        """Tell the server that the token is not needed any more (RFC 7009)."""
        ...


async def refresh_with(send: Callable[[str], Awaitable[Token]], token: Token) -> Token:
    """Refresh `token` with `send`, which takes the refresh token to the server and gives what came back.

    Raises:
        LoginRequired: there is no refresh token; nothing was sent.
    """
    if token.refresh_token is None:
        raise LoginRequired("the token cannot be refreshed: the server gave no refresh token with it")
    new = await send(token.refresh_token)
    if new.refresh_token is None:
        # RFC 6749 6: without a new one the old one stays in force, and so does what was known of its end.
        new = attrs.evolve(
            new, refresh_token=token.refresh_token, refresh_token_expires_at=token.refresh_token_expires_at
        )
    if new.id_token is None:
        # OIDC Core 12.2: a refresh need not bring one; who signed in has not changed.
        new = attrs.evolve(new, id_token=token.id_token)
    if new.scope is None:
        # RFC 6749 6: an omitted scope is the one granted before.
        new = attrs.evolve(new, scope=token.scope)
    return new


def revocable(token: Token) -> str:
    """What to send to the revocation endpoint: with the refresh token its access tokens go too (RFC 7009 2.1)."""
    return token.refresh_token or token.access_token
