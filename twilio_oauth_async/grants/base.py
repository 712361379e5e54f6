"""The `Grant` protocol that `TokenManager` needs, and the base class of this package's own grants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import LoginRequired
from twilio_oauth_async.grants import id_tokens
from twilio_oauth_async.protocol.argument_checks import check_methods
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.refresh_response import fill_omitted
from twilio_oauth_async.protocol.revocation import token_to_revoke

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier


@attrs.frozen(kw_only=True)
class GrantIdentity:
    """The client and server that tokens belong to, and the requested scopes and audiences. Holds no secret."""

    client_sid: str
    """The SID of the OAuth app; ``client_id`` in RFC 6749."""
    server: str
    """The base URL of the authorization server."""
    scopes: tuple[str, ...] = ()
    """The requested scopes; the server may grant fewer (RFC 6749 3.3)."""
    audiences: tuple[str, ...] = ()
    """The requested audiences."""


class Grant(Protocol):
    """A way to obtain tokens. `DeviceFlow`, `AuthorizationCodeFlow` and `ClientCredentials` are grants."""

    @property
    def interactive(self) -> bool:
        """Whether `obtain` needs a user."""
        ...

    @property
    def identity(self) -> GrantIdentity:
        """The client and server that the tokens belong to, and the requested scopes and audiences."""
        ...

    async def obtain(self) -> Token:
        """Obtain the first token."""
        ...

    async def refresh(self, token: Token) -> Token:
        """Obtain a new token without a user (RFC 6749 6).

        The request is sent exactly once. Members that the response omits are taken from `token`.

        Raises:
            LoginRequired: `token` has no refresh token (reason ``"expired"``); nothing was sent.
            AnswerLostError: the server may have processed the request; the refresh token may be used up.
            InvalidGrantError: the refresh token is used up, revoked or expired.
            IdTokenError: the grant has a verifier, and the response belongs to another user or client. Its tokens are
                revoked. A rotated refresh token of `token` is used up.
        """
        ...

    async def revoke(self, token: Token) -> None:
        """Revoke `token` at the server (RFC 7009).

        Raises:
            RevocationUnsupported: the server has no revocation endpoint; the token is still valid.
        """
        ...


class GrantBase:
    """The part that the grants of this package share: the client, refresh, revocation, verification of ID tokens."""

    def __init__(
        self,
        session: OAuthSession,
        *,
        client_sid: str,
        client_secret: str | None,
        scopes: Sequence[str] = (),
        audiences: Sequence[str] = (),
        verifier: IdTokenVerifier | None = None,
    ) -> None:
        """Store the arguments; the subclass has checked those that are sent."""
        check_methods("session", session, ("exchange",), "an OAuthSession")
        if verifier is not None:
            check_methods("verifier", verifier, ("verify",), "an IdTokenVerifier")
        self.session = session
        self.verifier = verifier
        self._client_secret = client_secret
        self._identity = GrantIdentity(
            client_sid=client_sid, server=session.base_url, scopes=tuple(scopes), audiences=tuple(audiences)
        )

    @property
    def identity(self) -> GrantIdentity:
        """The client and server that the tokens belong to, and the requested scopes and audiences."""
        return self._identity

    @property
    def client_sid(self) -> str:
        """The SID of the OAuth app."""
        return self._identity.client_sid

    @property
    def scopes(self) -> tuple[str, ...]:
        """The requested scopes."""
        return self._identity.scopes

    @property
    def audiences(self) -> tuple[str, ...]:
        """The requested audiences."""
        return self._identity.audiences

    @property
    def interactive(self) -> bool:
        """Whether `obtain` needs a user: True, unless a subclass overrides it."""
        return True

    async def refresh(self, token: Token) -> Token:
        """Obtain a new token with the refresh token; raises as `Grant.refresh`.

        With a verifier, the ID token of the response is verified. The response is used without it if that fails for a
        reason that may pass (the clock, an unknown key, keys that cannot be fetched): the new tokens are then returned
        with the ID token of `token`.
        """
        new = await self.refresh_unverified(token)
        return new if self.verifier is None else await id_tokens.accept_refreshed(self, self.verifier, new, token)

    async def refresh_unverified(self, token: Token) -> Token:
        """Do what `refresh` does, and leave the ID token of the response to the caller, who must verify it.

        `TokenManager` uses it: if it is cancelled while an ID token is verified, the rotated tokens must not be lost.
        """
        return await refresh_with(self._send_refresh, token)

    async def revoke(self, token: Token) -> None:
        """Revoke `token` at the server (RFC 7009); raises as `OAuthSession.revoke_token`."""
        await self.session.revoke_token(
            token_to_revoke(token), client_sid=self.client_sid, client_secret=self._client_secret
        )

    async def _accept_sign_in(self, token: Token, nonce: str | None = None) -> Token:
        """Verify the ID token of a sign-in if the grant has a verifier; return the token to use.

        Raises:
            IdTokenError: the ID token is invalid, or is missing although ``openid`` was requested. The tokens are
                revoked.
            ConfigurationError: the session of the verifier is not open.
        """
        if self.verifier is None:
            return token
        return await id_tokens.accept_sign_in(self, self.verifier, token, scopes=self.scopes, nonce=nonce)

    async def _send_refresh(self, refresh_token: str) -> Token:
        """Send the refresh token to the server; return the token of the response, which may omit members."""
        return await self.session.create_token(
            grant_type="refresh_token",
            client_sid=self.client_sid,
            client_secret=self._client_secret,
            refresh_token=refresh_token,
        )


async def refresh_with(send: Callable[[str], Awaitable[Token]], token: Token) -> Token:
    """Refresh `token` with `send`; members that the response omits are taken from `token`.

    Args:
        send: sends the refresh token to the server and returns the token of the response.
        token: the token to refresh.

    Raises:
        LoginRequired: `token` has no refresh token (reason ``"expired"``); nothing was sent.
    """
    if token.refresh_token is None:
        raise LoginRequired(
            "the token cannot be refreshed: the server issued no refresh token with it; sign in again", reason="expired"
        )
    return fill_omitted(await send(token.refresh_token), token)
