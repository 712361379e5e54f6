"""`OAuthSession`: one method per endpoint, and `exchange`, which sends one request and returns its outcome."""

from __future__ import annotations

import os
import ssl
from collections.abc import Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from twilio_oauth_async.client.credentials import credentials_from, server_from
from twilio_oauth_async.client.endpoint_methods import Parse, model_or_raise, sends
from twilio_oauth_async.client.requests import Requests
from twilio_oauth_async.client.retry import RetryPolicy
from twilio_oauth_async.client.session_arguments import check_arguments, find_base_url
from twilio_oauth_async.client.transport import Transport
from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.protocol import device_authorization, discovery, revocation, token_endpoint, user_info
from twilio_oauth_async.protocol.messages import Request
from twilio_oauth_async.protocol.models import Certs, DeviceCode, OpenidDiscovery, ServerMetadata, Token, UserInfo
from twilio_oauth_async.protocol.serializable import HoldsSecrets

T = TypeVar("T")


class OAuthSession(HoldsSecrets):
    """A client session for Twilio's OAuth API, for any number of tasks of one event loop, and one loop after another.

    Use it as an async context manager, or call `open` and `close`. Every method that sends a request raises, besides
    the errors that it names:

    - `TransportError`: no response arrived.
    - `ProtocolError`: the response breaks the contract.
    - `ApiError`: the server returned an error.
    - `ConfigurationError`: an argument is invalid, or the session is not open; nothing was sent.
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
        max_response_bytes: int = 1 << 18,
        max_connections: int = 256,
        clock: Clock = SystemClock(),  # noqa: B008 - stateless
    ) -> None:
        """Create a session; nothing is opened or sent.

        Args:
            username: the Account SID, or the SID of an API key. None for this and `password`: no credentials.
            password: the auth token, or the secret of the API key.
            base_url: the URL of the API; None: ``https://oauth[.edge][.region].twilio.com``.
            region: a Twilio region, for example ``ie1``.
            edge: a Twilio edge, for example ``dublin``; without a region, the region is ``us1``.
            issuer: the required issuer of ID tokens and of the discovery document.
            timeout: seconds for a whole call, with its retries and the waits between them.
            retry: the retries of requests that may be sent more than once.
            http: a session whose connector is shared. Its headers, cookies and credentials are neither used nor
                changed, and it is not closed.
            proxy: the URL of an HTTP proxy; the proxy variables of the environment are ignored.
            ssl_context: an SSL context, for example with the CA certificates of a company; it must verify the server.
            trace_configs: passed to aiohttp.
            max_response_bytes: the largest response body that is read, in bytes after decompression.
            max_connections: the largest number of connections at the same time, at least 4; that of the connector if
                `http` is given. Polls of device codes use three quarters of them at most, so that other requests need
                not wait. 256 are enough for 2,000 short requests a second.
            clock: the source of time.

        Raises:
            ConfigurationError: `username` without `password` or the reverse, a user name with a colon or a space, a
                password that ends with a line break, a `timeout` that is not a positive number, a `base_url` or
                `issuer` that is not https, a `base_url` with an invalid host name or together with `region` or `edge`,
                an `ssl_context` that does not verify the server, a `proxy` that is not the URL of an HTTP proxy, or a
                limit that is too low.
        """
        check_arguments(timeout=timeout, issuer=issuer, retry=retry, clock=clock)
        self.base_url: str = find_base_url(base_url, region, edge)
        self.issuer = issuer
        self.timeout: float = float(timeout)
        self.clock = clock
        self._discovery: OpenidDiscovery | None = None
        self._transport = Transport(
            http=http,
            proxy=proxy,
            ssl_context=ssl_context,
            trace_configs=trace_configs,
            max_response_bytes=max_response_bytes,
            max_connections=max_connections,
        )
        self._requests = Requests(self._transport, username=username, password=password, retry=retry, clock=clock)

    @property
    def clock_skew(self) -> float:
        """Seconds: the server's time minus the time of `clock`, as in the ``Date`` header of the latest token response.

        0.0 if they agree, and until there is such a response.
        """
        return self._requests.clock_skew

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
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
        max_response_bytes: int = 1 << 18,
        max_connections: int = 256,
        clock: Clock = SystemClock(),  # noqa: B008 - stateless
    ) -> Self:
        """Create a session from the environment variables that Twilio's own SDKs read.

        `environ` has the variables; None: those of the process, as they are when this is called.

        ``TWILIO_API_KEY`` with ``TWILIO_API_SECRET`` is preferred to ``TWILIO_ACCOUNT_SID`` with
        ``TWILIO_AUTH_TOKEN``. ``TWILIO_OAUTH_URL`` (``twilio-oauth emulator`` prints it) is used as `base_url` if
        `base_url`, `region` and `edge` are all missing. If there is still no base URL, ``TWILIO_REGION`` and
        ``TWILIO_EDGE`` replace a missing `region` and `edge`.

        Raises:
            ConfigurationError: the variables hold no complete pair of credentials, or as the constructor.
        """
        # Not a default of the parameter: signature, help() and editors would show the secrets of the process.
        environ = os.environ if environ is None else environ
        username, password = credentials_from(environ)
        base_url, region, edge = server_from(environ, base_url, region, edge)
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
            max_connections=max_connections,
            clock=clock,
        )

    async def open(self) -> None:
        """Create the HTTP session for the running event loop; do nothing if it is already open there.

        Raises:
            ConfigurationError: the session given as `http` is closed, or it or this session belongs to another loop.
        """
        await self._transport.open()

    async def close(self) -> None:
        """Close the session, and its connections unless `http` was given; do nothing if it is already closed."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._transport.is_open

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"OAuthSession(base_url={self.base_url!r}, {state})"

    @sends(discovery.build_openid_discovery, discovery.parse_openid_discovery, OpenidDiscovery)
    def fetch_openid_discovery(self) -> None:
        """Send ``GET /v1/.well-known/openid-configuration``, with retries."""

    @sends(discovery.build_server_metadata, discovery.parse_server_metadata, ServerMetadata)
    def fetch_server_metadata(self) -> None:
        """Send ``GET /.well-known/oauth-authorization-server``, with retries and without credentials (RFC 8414).

        It describes v2. Compare its ``issuer`` with the one that you expect before you use its URLs (RFC 8414 3.3).
        """

    @sends(discovery.build_certs, discovery.parse_certs, Certs)
    def fetch_certs(self) -> None:
        """Send ``GET /v1/certs``, with retries."""

    @sends(device_authorization.build_device_code, device_authorization.parse_device_code, DeviceCode)
    def create_device_code(self) -> None:
        """Send ``POST /v1/device/code`` (RFC 8628 3.1), with retries.

        Args:
            client_sid: the SID of the OAuth app.
            scopes: at least one scope.
            audiences: the intended audiences of the token.
        """

    @sends(token_endpoint.build_token, token_endpoint.parse_token, Token)
    def create_token(self) -> None:
        """Send ``POST /v1/token``, exactly once.

        The arguments are the form parameters of the contract, ``GrantType`` to ``RefreshToken``. A request with a
        code or a refresh token is sent over a new connection.

        Raises:
            AnswerLostError: the server may have processed the request; the code or refresh token may be used.
            AuthorizationPendingError: the user has not approved or denied the device code yet; `SlowDownError`,
                `AccessDeniedError` and `DeviceCodeExpiredError` likewise (RFC 8628 3.5).
        """

    @sends(token_endpoint.build_token_v2, token_endpoint.parse_token, Token)
    def create_token_v2(self) -> None:
        """Send ``POST /v2/token``, exactly once and without the credentials of the session.

        The arguments are the parameters of RFC 6749; `account_sid` is sent in the query. Raises as `create_token`.
        """

    async def fetch_user_info(self, *, access_token: str | None = None, subject: str | None = None) -> UserInfo:
        """Send ``GET /v1/userinfo``, with retries.

        Args:
            access_token: sent as a Bearer token; None: the credentials of the session are sent.
            subject: the ``sub`` claim of the ID token that was issued with the access token; the response must have the
                same subject. None: the subject is not compared.

        Raises:
            IdTokenError: the response is about another user than `subject` (OIDC Core 5.3.2).
        """
        found = model_or_raise(await self.exchange(user_info.build_user_info(access_token), user_info.parse_user_info))
        if subject is not None:
            user_info.check_subject(found, subject)
        return found

    async def revoke_token(self, token: str, *, client_sid: str, client_secret: str | None = None) -> None:
        """Revoke an access or refresh token (RFC 7009); the request is sent exactly once.

        Args:
            token: the token; with a refresh token, the server revokes its access tokens too.
            client_sid: the SID of the OAuth app that the token was issued to.
            client_secret: the secret of a confidential app.

        Raises:
            RevocationUnsupported: the server has no revocation endpoint; the token is still valid.
            AnswerLostError: the server may have processed the request.
            ServerError: the server failed; with status 503 the token is still valid (RFC 7009 2.2.1).
        """
        url = await self.discovered_endpoint("revocation_endpoint")
        request = revocation.build_revocation(url, token, client_sid=client_sid, client_secret=client_secret)
        model_or_raise(await self.exchange(request, revocation.parse_revocation))

    async def discovered_endpoint(self, name: discovery.DiscoveredEndpoint) -> str:
        """Return the URL of an endpoint in the discovery document. The document is fetched once and cached.

        Raises:
            ProtocolError: the discovery document has another issuer, or the URL is not on an allowed host.
            ConfigurationError: the server has no such endpoint; for the revocation endpoint: `RevocationUnsupported`.
        """
        document = self._discovery or await self.fetch_openid_discovery()
        url = discovery.trusted_endpoint(document, name, issuer=self.issuer, base_url=self.base_url)
        self._discovery = document
        return url

    @property
    def callbacks_have_issuer(self) -> bool:
        """Whether the discovery document says so (RFC 9207 3); False before it was fetched for an endpoint."""
        return self._discovery is not None and bool(self._discovery.authorization_response_iss_parameter_supported)

    def exchange(
        self, request: Request, parse: Parse[T], *, timeout: float | None = None
    ) -> Coroutine[Any, Any, T | TwilioOAuthError]:
        """Send one request when it is awaited, and return its outcome: the model, or the error, which is not raised.

        Args:
            request: from a build function of `protocol`.
            parse: the parse function that belongs to it.
            timeout: seconds for all attempts and the waits between them; None: the timeout of the session, which is
                also the maximum.

        Raises:
            ConfigurationError: the session is not open.
        """
        limit = self.timeout if timeout is None else min(timeout, self.timeout)
        return self._requests.outcome_of(self.base_url, request, parse, limit)
