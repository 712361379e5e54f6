"""`OAuthSession`: one method per endpoint, and the one way that a request takes (`OAuthSession.exchange`)."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from twilio_oauth_async import protocol
from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.endpoints import choose_base_url, is_secure
from twilio_oauth_async.errors import ApiError, ConfigurationError, ProtocolError, TransportError, TwilioOAuthError
from twilio_oauth_async.messages import Context, Request, Response
from twilio_oauth_async.models import Certs, DeviceCode, OpenidDiscovery, Token, UserInfo
from twilio_oauth_async.retry import Attempt, RetryPolicy, send_with_retry
from twilio_oauth_async.transport import Failure, Transport

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RETRIED_STATUSES = frozenset({429, 502, 503, 504})


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
        if (username is None) != (password is None):
            raise ConfigurationError("username and password belong together: give both or neither")
        if not timeout > 0 or timeout == float("inf"):
            raise ConfigurationError("timeout must be a positive number of seconds")
        self.base_url = choose_base_url(base_url, region, edge)
        if not is_secure(issuer):
            raise ConfigurationError("issuer must be an https URL")
        self.issuer = issuer
        self.timeout = float(timeout)
        self.clock = clock
        self._retry = retry
        self._authorization = _basic(username, password)
        self._secrets = tuple(
            secret for secret in (password, (self._authorization or "").removeprefix("Basic ")) if secret
        )
        self._transport = Transport(
            http=http,
            proxy=proxy,
            ssl_context=ssl_context,
            trace_configs=trace_configs,
            max_response_bytes=max_response_bytes,
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
        """A session by the variables that Twilio's own SDKs read.

        ``TWILIO_API_KEY`` with ``TWILIO_API_SECRET`` goes before ``TWILIO_ACCOUNT_SID`` with ``TWILIO_AUTH_TOKEN``.
        ``TWILIO_REGION`` and ``TWILIO_EDGE`` count where neither the arguments nor `base_url` say otherwise.

        Raises:
            ConfigurationError: no complete pair of credentials is set, or as the constructor.
        """
        username, password = _credentials(environ)
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
        return _raised(await self.exchange(protocol.build_openid_discovery(), protocol.parse_openid_discovery))

    async def fetch_certs(self) -> Certs:
        """``GET /v1/certs``; retried on a passing fault."""
        return _raised(await self.exchange(protocol.build_certs(), protocol.parse_certs))

    async def create_device_code(
        self, *, client_sid: str, scopes: Sequence[str], audiences: Sequence[str] = ()
    ) -> DeviceCode:
        """``POST /v1/device/code`` (RFC 8628 3.1); retried on a passing fault.

        Args:
            client_sid: the SID of the OAuth app.
            scopes: at least one.
            audiences: whom the token is meant for.
        """
        request = protocol.build_device_code(client_sid=client_sid, scopes=scopes, audiences=audiences)
        return _raised(await self.exchange(request, protocol.parse_device_code))

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
        request = protocol.build_token(
            grant_type=grant_type,
            client_sid=client_sid,
            client_secret=client_secret,
            code=code,
            code_verifier=code_verifier,
            device_code=device_code,
            device_id=device_id,
            refresh_token=refresh_token,
        )
        return _raised(await self.exchange(request, protocol.parse_token))

    async def fetch_user_info(self, *, access_token: str | None = None) -> UserInfo:
        """``GET /v1/userinfo``; retried on a passing fault.

        Args:
            access_token: sent as Bearer; None: the session's own credentials are sent.
        """
        return _raised(await self.exchange(protocol.build_user_info(access_token), protocol.parse_user_info))

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
        started = self.clock.monotonic()
        deadline = started + min(self.timeout, timeout if timeout is not None else self.timeout)
        headers: Mapping[str, str] = request.headers
        if self._authorization is not None and "Authorization" not in headers:
            headers = {"Authorization": self._authorization, **headers}
        sent = self._secrets + request.secrets

        async def attempt() -> Attempt[T | TwilioOAuthError]:
            # aiohttp takes a timeout of 0 for none at all.
            left = max(deadline - self.clock.monotonic(), 0.001)
            answer = await self._transport.send(self.base_url, request, headers, left)
            if isinstance(answer, Failure):
                return Attempt(answer.error, again=answer.retryable)
            outcome: T | TwilioOAuthError = parse(
                answer, Context(now=self.clock.now(), base_url=self.base_url, sent=sent)
            )
            retry_after = outcome.retry_after if isinstance(outcome, ApiError) else None
            return Attempt(outcome, again=answer.status in _RETRIED_STATUSES, retry_after=retry_after)

        if request.repeatable:
            last, attempts = await send_with_retry(attempt, self._retry, self.clock, deadline)
        else:
            last, attempts = await attempt(), 1
        elapsed = self.clock.monotonic() - started
        outcome = last.outcome
        if isinstance(outcome, TransportError):
            outcome.attempts = attempts
            outcome.elapsed = elapsed
        if _log.isEnabledFor(logging.DEBUG):
            result = outcome if isinstance(outcome, TwilioOAuthError) else type(outcome).__name__
            _log.debug("%s %s: %s (attempts %d, %.3f s)", request.method, request.path, result, attempts, elapsed)
        return outcome


def _raised(outcome: T | TwilioOAuthError) -> T:
    if isinstance(outcome, TwilioOAuthError):
        raise outcome
    return outcome


def _basic(username: str | None, password: str | None) -> str | None:
    if username is None or password is None:
        return None
    if not username or not password:
        raise ConfigurationError("username and password must not be empty")
    if ":" in username:
        raise ConfigurationError("username must not contain a colon (RFC 7617 2); is it a SID?")
    return aiohttp.encode_basic_auth(username, password)


def _credentials(environ: Mapping[str, str]) -> tuple[str, str]:
    for user_name, secret_name in (
        ("TWILIO_API_KEY", "TWILIO_API_SECRET"),
        ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    ):
        username, password = environ.get(user_name), environ.get(secret_name)
        if username and password:
            return username, password
    raise ConfigurationError(
        "no credentials in the environment: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, "
        "or TWILIO_API_KEY and TWILIO_API_SECRET"
    )
