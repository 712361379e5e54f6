"""`ClientCredentials`: the program signs in as itself (RFC 6749 4.4), by the second generation's endpoint."""

from __future__ import annotations

from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.grants.base import revocable
from twilio_oauth_async.protocol import form
from twilio_oauth_async.protocol.models import Token


class ClientCredentials:
    """A grant without a person: `TokenManager` runs it whenever a token is needed, and early where it can."""

    def __init__(
        self,
        session: OAuthSession,
        *,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        audience: str | None = None,
        account_sid: str | None = None,
    ) -> None:
        """Nothing is sent here.

        Args:
            session: lent; its region, edge, proxy and timeout hold for the token call too. Its credentials are not
                sent: the app's own are all that the endpoint asks for.
            client_id: of the OAuth app.
            client_secret: of the OAuth app.
            scope: scopes, parted by spaces; None: the app's own.
            audience: whom the token is meant for.
            account_sid: the account of an organization that the token is for.

        Raises:
            ConfigurationError: a value that is empty or cannot be sent.
        """
        if not client_id or not client_secret:
            raise ConfigurationError("client_id and client_secret must not be empty")
        form.given(
            {
                "client_id": client_id,
                "client_secret": client_secret,
                "scope": scope,
                "audience": audience,
                "account_sid": account_sid,
            }
        )
        self.session = session
        self.client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._audience = audience
        self._account_sid = account_sid

    def __repr__(self) -> str:
        return f"ClientCredentials(client_id={self.client_id!r}, scope={self._scope!r})"

    @property
    def interactive(self) -> bool:
        """False: nobody needs to be asked."""
        return False

    async def obtain(self) -> Token:
        """A new token.

        Raises:
            InvalidClientError: the id or the secret is wrong.
            TransportError, ProtocolError, ApiError: it could not be had.
        """
        return await self.session.create_token_v2(
            grant_type="client_credentials",
            client_id=self.client_id,
            client_secret=self._client_secret,
            scope=self._scope,
            audience=self._audience,
            account_sid=self._account_sid,
        )

    async def refresh(self, token: Token) -> Token:  # noqa: ARG002 - a grant's signature
        """`obtain`: RFC 6749 4.4.3 gives no refresh token, and asking again takes nobody's time."""
        return await self.obtain()

    async def revoke(self, token: Token) -> None:
        """Make `token` worthless (RFC 7009); raises as `OAuthSession.revoke_token`."""
        await self.session.revoke_token(revocable(token), client_sid=self.client_id, client_secret=self._client_secret)
