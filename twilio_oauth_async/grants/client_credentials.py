"""`ClientCredentials`: the program obtains a token for itself (RFC 6749 4.4) from the v2 token endpoint."""

from __future__ import annotations

from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.grants.base import GrantBase
from twilio_oauth_async.protocol import parameters
from twilio_oauth_async.protocol.models import Token


class ClientCredentials(GrantBase):
    """A grant without a user. `TokenManager` obtains a new token with it shortly before the current one expires."""

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
        """Create a grant; nothing is sent.

        Args:
            session: sends the requests; the grant does not close it. Its region, edge, proxy and timeout apply to the
                token request. Its credentials are not sent, because the endpoint needs only those of the app.
            client_id: the client ID of the OAuth app.
            client_secret: the client secret of the OAuth app.
            scope: scopes, separated by spaces; None: the default scopes of the app.
            audience: the intended audience of the token.
            account_sid: the SID of an account of an organization; the token is for that account.

        Raises:
            ConfigurationError: a value is empty, ends with a line break or is not printable ASCII, or `account_sid` is
                not the SID of an account.
        """
        parameters.check_account(account_sid)
        if not client_id or not client_secret:
            raise ConfigurationError("client_id and client_secret must not be empty")
        parameters.check_parameters(
            {
                "client_id": client_id,
                "client_secret": client_secret,
                "scope": scope,
                "audience": audience,
                "account_sid": account_sid,
            }
        )
        super().__init__(
            session,
            client_sid=client_id,
            client_secret=client_secret,
            scopes=(scope or "").split(),
            audiences=() if audience is None else (audience,),
        )
        self._scope = scope
        self._audience = audience
        self._account_sid = account_sid

    def __repr__(self) -> str:
        return f"ClientCredentials(client_id={self.client_id!r}, scope={self._scope!r})"

    @property
    def client_id(self) -> str:
        """The client ID of the OAuth app."""
        return self.client_sid

    @property
    def interactive(self) -> bool:
        """False: no user takes part."""
        return False

    async def obtain(self) -> Token:
        """Obtain a new token.

        Raises:
            InvalidClientError: the client ID or the client secret is wrong.
            TransportError, ProtocolError, ApiError: the request failed.
        """
        return await self.session.create_token_v2(
            grant_type="client_credentials",
            client_id=self.client_id,
            client_secret=self._client_secret,
            scope=self._scope,
            audience=self._audience,
            account_sid=self._account_sid,
        )

    async def refresh(self, token: Token) -> Token:  # noqa: ARG002 - the signature of a grant
        """Obtain a new token as `obtain` does; this grant has no refresh tokens (RFC 6749 4.4.3)."""
        return await self.obtain()
