"""`OAuthSession`: one method per endpoint."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from twilio_oauth_async.client.credentials import basic_authorization, from_environment
from twilio_oauth_async.client.exchange import Exchange
from twilio_oauth_async.client.retry import RetryPolicy
from twilio_oauth_async.client.transport import Transport
from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import (
    ApiError,
    ConfigurationError,
    IdTokenError,
    ProtocolError,
    TwilioOAuthError,
)
from twilio_oauth_async.protocol import v1, v2
from twilio_oauth_async.protocol.discovery import DiscoveredEndpoint, trusted_endpoint
from twilio_oauth_async.protocol.endpoints import choose_base_url, is_secure
from twilio_oauth_async.protocol.messages import Context, Request, Response
from twilio_oauth_async.protocol.models import Certs, DeviceCode, OpenidDiscovery, Token, UserInfo

T = TypeVar("T")


class OAuthSession:
    """A connection to Twilio's OAuth API. Any number of tasks of one event loop may use it at once.

    Use it as an async context manager, or call `open` and `close`. Every method raises, besides what it names,
    `TransportError` where no answer came, `ProtocolError` where the answer breaks the contract, `ApiError` where the
    server refused, and `ConfigurationError` where the call or the session cannot be right.
    """

    def __init__(
        self,
        username: str | None = None,
        password: str | None = None,
        *,
        base_url: str | None = None,
        region: str | None = None,
        edge: str | None = None,
        issuer: str = "https://iam.twilio.com",
        timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        http: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        max_response_bytes: int = 1 << 20,
        clock: Clock = SystemClock(),  # noqa: B008 - stateless
    ) -> None:
        """Nothing is sent or opened here.

        Args:
            username: Account SID, or the SID of an API key. None, with `password`: no credentials are sent.
            password: auth token, or the secret of the API key.
            base_url: where the API is; None: ``https://oauth[.edge][.region].twilio.com``.
            region: Twilio region, for example ``ie1``.
            edge: Twilio edge, for example ``dublin``; implies region ``us1`` where none is given.
            issuer: who must have issued id tokens and discovery.
            timeout: seconds for a whole call, its retries and their waits included.
            retry: how the requests that may be repeated are.
            http: a session whose connector is shared. Its headers, cookies and credentials are neither used nor
                touched, and it is not closed.
            proxy: URL of an HTTP proxy; the environment is not asked for one.
            ssl_context: for example with a company's own certificates; it must verify.
            trace_configs: handed on to aiohttp.
            max_response_bytes: largest answer that is read, decoded, in bytes.
            clock: where time comes from.

        Raises:
            ConfigurationError: any of these cannot be used.
        """
        authorization = basic_authorization(username, password)
        if not timeout > 0 or timeout == float("inf"):
            raise ConfigurationError("timeout must be a positive number of seconds")
        self.base_url = choose_base_url(base_url, region, edge)
        if not is_secure(issuer):
            raise ConfigurationError("issuer must be an https URL")
        self.issuer = issuer
        self.timeout = float(timeout)
        self.clock = clock
        self._discovery: OpenidDiscovery | None = None
        self._transport = Transport(
            http=http,
            proxy=proxy,
            ssl_context=ssl_context,
            trace_configs=trace_configs,
            max_response_bytes=max_response_bytes,
        )
        self._exchange = Exchange(
            transport=self._transport,
            base_url=self.base_url,
            authorization=authorization,
            secrets=tuple(secret for secret in (password, (authorization or "").removeprefix("Basic ")) if secret),
            retry=retry,
            clock=clock,
        )

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        base_url: str | None = None,
        region: str | None = None,
        edge: str | None = None,
        issuer: str = "https://iam.twilio.com",
        timeout: float = 30.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        http: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        trace_configs: Sequence[aiohttp.TraceConfig] = (),
        max_response_bytes: int = 1 << 20,
        clock: Clock = SystemClock(),  # noqa: B008 - stateless
    ) -> Self:
        """A session by the variables that Twilio's own SDKs read, and one of ours for the server.

        ``TWILIO_API_KEY`` with ``TWILIO_API_SECRET`` goes before ``TWILIO_ACCOUNT_SID`` with ``TWILIO_AUTH_TOKEN``.
        Where no argument says which server it is, ``TWILIO_OAUTH_URL`` does, as ``twilio-oauth emulator`` prints it;
        without that ``TWILIO_REGION`` and ``TWILIO_EDGE`` stand in for the arguments that are missing.

        Raises:
            ConfigurationError: no complete pair of credentials is set, or as the constructor.
        """
        username, password = from_environment(environ)
        if base_url is None and region is None and edge is None:
            base_url = environ.get("TWILIO_OAUTH_URL") or None
        if base_url is None:
            region = region or environ.get("TWILIO_REGION") or None
            edge = edge or environ.get("TWILIO_EDGE") or None
        return cls(
            username,
            password,
            base_url=base_url,
            region=region,
            edge=edge,
            issuer=issuer,
            timeout=timeout,
            retry=retry,
            http=http,
            proxy=proxy,
            ssl_context=ssl_context,
            trace_configs=trace_configs,
            max_response_bytes=max_response_bytes,
            clock=clock,
        )

    async def open(self) -> None:
        """Get ready to send; does nothing where it is already done.

        Raises:
            ConfigurationError: the lent session is closed.
        """
        await self._transport.open()

    async def close(self) -> None:
        """Close the connections of our own; does nothing where it is already done."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "open" if self._transport.is_open else "closed"
        return f"OAuthSession(base_url={self.base_url!r}, {state})"

    def __reduce__(self) -> Any:
        raise TypeError("OAuthSession holds credentials and connections and refuses to be pickled")

    async def fetch_openid_discovery(self) -> OpenidDiscovery:
        """``GET /v1/.well-known/openid-configuration``; retried on a passing fault."""
        return _raised(await self.exchange(v1.build_openid_discovery(), v1.parse_openid_discovery))

    async def fetch_certs(self) -> Certs:
        """``GET /v1/certs``; retried on a passing fault."""
        return _raised(await self.exchange(v1.build_certs(), v1.parse_certs))

    async def create_device_code(
        self, *, client_sid: str, scopes: Sequence[str], audiences: Sequence[str] = ()
    ) -> DeviceCode:
        """``POST /v1/device/code`` (RFC 8628 3.1); retried on a passing fault.

        Args:
            client_sid: the SID of the OAuth app.
            scopes: at least one.
            audiences: whom the token is meant for.
        """
        request = v1.build_device_code(client_sid=client_sid, scopes=scopes, audiences=audiences)
        return _raised(await self.exchange(request, v1.parse_device_code))

    async def create_token(
        self,
        *,
        grant_type: str,
        client_sid: str,
        client_secret: str | None = None,
        code: str | None = None,
        code_verifier: str | None = None,
        device_code: str | None = None,
        device_id: str | None = None,
        refresh_token: str | None = None,
    ) -> Token:
        """``POST /v1/token``; sent exactly once.

        The arguments are the form parameters of the contract, ``GrantType`` to ``RefreshToken``. With a code or a
        refresh token the request goes over a fresh connection.

        Raises:
            AnswerLostError: the server may have acted, and what the request carried may be used up.
            AuthorizationPendingError: a device code that nobody has decided on; `SlowDownError`,
                `AccessDeniedError` and `DeviceCodeExpiredError` likewise (RFC 8628 3.5).
        """
        request = v1.build_token(
            grant_type=grant_type,
            client_sid=client_sid,
            client_secret=client_secret,
            code=code,
            code_verifier=code_verifier,
            device_code=device_code,
            device_id=device_id,
            refresh_token=refresh_token,
        )
        return _raised(await self.exchange(request, v1.parse_token))

    async def create_token_v2(
        self,
        *,
        grant_type: str,
        client_id: str,
        client_secret: str | None = None,
        code: str | None = None,
        code_verifier: str | None = None,
        redirect_uri: str | None = None,
        audience: str | None = None,
        refresh_token: str | None = None,
        scope: str | None = None,
        account_sid: str | None = None,
    ) -> Token:
        """``POST /v2/token``; sent exactly once, and without the session's own credentials.

        The arguments are the parameters of RFC 6749; `account_sid` goes into the query. Raises as `create_token`.
        """
        request = v2.build_token_v2(
            grant_type=grant_type,
            client_id=client_id,
            client_secret=client_secret,
            code=code,
            code_verifier=code_verifier,
            redirect_uri=redirect_uri,
            audience=audience,
            refresh_token=refresh_token,
            scope=scope,
            account_sid=account_sid,
        )
        return _raised(await self.exchange(request, v1.parse_token))

    async def fetch_user_info(self, *, access_token: str | None = None, subject: str | None = None) -> UserInfo:
        """``GET /v1/userinfo``; retried on a passing fault.

        Args:
            access_token: sent as Bearer; None: the session's own credentials are sent.
            subject: the ``sub`` of the id token that came with the access token; it must be of the same person.

        Raises:
            IdTokenError: the answer is about somebody else (OIDC Core 5.3.2).
        """
        info = _raised(await self.exchange(v1.build_user_info(access_token), v1.parse_user_info))
        if subject is not None and info.user_sid != subject:
            raise IdTokenError("the user info is not of the id token's subject", claim="sub")
        return info

    async def revoke_token(self, token: str, *, client_sid: str, client_secret: str | None = None) -> None:
        """Make an access or refresh token worthless (RFC 7009); sent exactly once.

        Args:
            token: a refresh token takes its access tokens with it.
            client_sid: the app that it was issued to.
            client_secret: of a confidential app.

        Raises:
            ConfigurationError: the server has no revocation endpoint.
            ServerError: 503 means that the token is still alive (RFC 7009 2.2.1).
        """
        url = await self.discovered_endpoint("revocation_endpoint")
        request = v1.build_revocation(url, token, client_sid=client_sid, client_secret=client_secret)
        _raised(await self.exchange(request, v1.parse_revocation))

    async def discovered_endpoint(self, name: DiscoveredEndpoint) -> str:
        """An endpoint that no contract fixes; discovery is fetched when first needed, and kept.

        Raises:
            ProtocolError: the document is of another issuer, or names a place that is not allowed.
            ConfigurationError: the server has no such endpoint.
        """
        discovery = self._discovery or await self.fetch_openid_discovery()
        url = trusted_endpoint(discovery, name, issuer=self.issuer, base_url=self.base_url)
        self._discovery = discovery
        return url

    async def exchange(
        self,
        request: Request,
        parse: Callable[[Response, Context], T | ApiError | ProtocolError],
        *,
        timeout: float | None = None,
    ) -> T | TwilioOAuthError:
        """Send one request of `protocol` and give its outcome as a value: the model, or the error, not raised.

        Args:
            request: from a build function.
            parse: the parse function that belongs to it.
            timeout: seconds; None or more than the session's: the session's.

        Raises:
            ConfigurationError: the session is not open.
        """
        limit = self.timeout if timeout is None else min(timeout, self.timeout)
        return await self._exchange(request, parse, limit)


def _raised(outcome: T | TwilioOAuthError) -> T:
    if isinstance(outcome, TwilioOAuthError):
        raise outcome
    return outcome
