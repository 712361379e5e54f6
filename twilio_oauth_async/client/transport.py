"""The only client-side door to aiohttp: one request, one deadline, an answer of bounded size, no redirects.

Failures come back as values, never with aiohttp's exception behind them: its reprs hold the ``Authorization``
header, and ``raise ... from None`` would still leave it in ``__context__``.
"""

from __future__ import annotations

import platform
import ssl
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Self, TypeAlias

import aiohttp
import attrs
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from twilio_oauth_async.errors import AnswerLostError, ConfigurationError, ProtocolError, TransportError
from twilio_oauth_async.protocol.messages import Request, Response

CONNECT_TIMEOUT = 10.0
"""Seconds for one TCP and TLS handshake."""

READ_TIMEOUT = 15.0
"""Seconds without a byte from the server; half of the default deadline, so that a second attempt fits in."""

MAX_CONNECTIONS = 256
"""Open at once on a connector of our own: 10,000 flows at an interval of 5 s are 2,000 short requests a second."""

_CHUNK = 64 * 1024


@attrs.frozen
class Failure:
    """No usable answer."""

    error: TransportError | ProtocolError
    retryable: bool
    """A fault that may have passed by the next attempt."""


Answer: TypeAlias = Response | Failure


class Transport:
    """Owns the ``ClientSession``; the connector under it may be lent."""

    def __init__(
        self,
        *,
        http: aiohttp.ClientSession | None,
        proxy: str | None,
        ssl_context: ssl.SSLContext | None,
        trace_configs: Sequence[aiohttp.TraceConfig],
        max_response_bytes: int,
    ) -> None:
        """See `OAuthSession` for the arguments.

        Raises:
            ConfigurationError: a context that does not verify (RFC 6749 10.9), or a size limit below one.
        """
        if ssl_context is not None and not (
            ssl_context.verify_mode is ssl.CERT_REQUIRED and ssl_context.check_hostname
        ):
            raise ConfigurationError(
                "ssl_context must verify certificates and host names (CERT_REQUIRED, check_hostname)"
            )
        if max_response_bytes < 1:
            raise ConfigurationError("max_response_bytes must be at least 1")
        self._lent = http
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._trace_configs = list(trace_configs)
        self._max_response_bytes = max_response_bytes
        self._session: aiohttp.ClientSession | None = None
        self._single_use: aiohttp.ClientSession | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._session is not None

    async def open(self) -> None:
        """Make the ``ClientSession``.

        Raises:
            ConfigurationError: the lent session is closed.
        """
        if self._session is not None:
            return
        if self._lent is None:
            connector: aiohttp.BaseConnector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS)
        elif self._lent.connector is None or self._lent.closed:
            raise ConfigurationError("the aiohttp.ClientSession lent as http= is closed")
        else:
            connector = self._lent.connector
        self._session = self._open_over(connector, aiohttp.ClientResponse, owner=self._lent is None)
        self._single_use = self._open_over(connector, _LastResponse, owner=False)

    def _open_over(
        self, connector: aiohttp.BaseConnector, response_class: type[aiohttp.ClientResponse], *, owner: bool
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=connector,
            connector_owner=owner,
            response_class=response_class,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _user_agent(), "Accept": "application/json", "Accept-Encoding": "identity"},
            proxy=self._proxy,
            trust_env=False,
            trace_configs=self._trace_configs,
        )

    async def close(self) -> None:
        """Close what is our own."""
        sessions, self._session, self._single_use = (self._single_use, self._session), None, None
        for session in sessions:
            if session is not None:
                await session.close()

    async def send(self, base_url: str, request: Request, headers: Mapping[str, str], timeout: float) -> Answer:
        """One attempt.

        Args:
            base_url: without a trailing slash.
            request: what to send.
            headers: all of its headers.
            timeout: seconds for everything, from the wait for a free connection to the last byte.

        Raises:
            ConfigurationError: not open.
        """
        session = self._single_use if request.fresh_connection else self._session
        if session is None:
            raise ConfigurationError("the session is not open: use 'async with OAuthSession(...)', or await open()")
        if session.closed:
            raise ConfigurationError("the aiohttp.ClientSession lent as http= has been closed")
        url = request.url or base_url + request.path + (f"?{request.query}" if request.query else "")
        sent = CIMultiDict(headers)
        target = URL(url, encoded=True)
        server_hostname: str | None = None
        if request.fresh_connection:
            # aiohttp pools by host, port and server name. Naming the host, which TLS would do anyway, gives these
            # requests a pool of their own; "close" (RFC 9112 9.6) and _LastResponse keep it empty.
            server_hostname = target.host
            sent["Connection"] = "close"
        failure: Failure
        try:
            async with session.request(
                request.method,
                target,
                data=request.body,
                headers=sent,
                allow_redirects=False,
                ssl=self._verification(target),
                server_hostname=server_hostname,
                timeout=aiohttp.ClientTimeout(
                    total=timeout, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT, ceil_threshold=timeout + 1
                ),
            ) as response:
                body = await self._read(response)
                if body is not None:
                    return Response(status=response.status, headers=response.headers, body=body)
                response.close()
                failure = Failure(
                    ProtocolError(
                        f"an answer of more than {self._max_response_bytes} bytes, of which no more was read",
                        status=response.status,
                    ),
                    retryable=False,
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            failure = _failure(error, request)
        return failure

    def _verification(self, target: URL) -> ssl.SSLContext | bool:
        """aiohttp's ``ssl`` argument; True: the connector's own setting, which on one of ours is to verify."""
        if self._ssl_context is None and self._lent is not None and target.scheme == "https":
            # A lent connector may have verification switched off; a context in the request goes before it.
            self._ssl_context = ssl.create_default_context()
        return True if self._ssl_context is None else self._ssl_context

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """The decoded body, or None where it is over the limit; never more than a chunk beyond the limit in memory."""
        body = bytearray()
        while chunk := await response.content.read(_CHUNK):
            body += chunk
            if len(body) > self._max_response_bytes:
                return None
        return bytes(body)


class _LastResponse(aiohttp.ClientResponse):
    """An answer whose connection is closed after it, also where the server would keep it open."""

    async def start(self, connection: Connection) -> Self:
        if connection.protocol is not None:
            connection.protocol.force_close()
        await super().start(connection)
        return self


def _failure(error: Exception, request: Request) -> Failure:
    """What an exception means: did anything reach the server, and may the next attempt do better?

    Messages name the kind of fault only; the text of aiohttp's and the system's exceptions is not ours to vouch for.
    """
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure(TransportError("the TLS handshake failed: the server's certificate cannot be trusted"), False)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failure(TransportError("no connection within the time limit"), True)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure(TransportError("the host name could not be resolved"), True)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)):
        return Failure(TransportError("no connection to the server"), True)
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure(ProtocolError("an answer whose head is not HTTP, or too large"), False)
    # From here on the request may have been sent in part or whole.
    reason = "no complete answer within the time limit" if isinstance(error, TimeoutError) else "the connection broke"
    kind = TransportError if request.repeatable else AnswerLostError
    return Failure(kind(reason), True)


def _user_agent() -> str:
    return (
        f"twilio-oauth-async/{version('twilio-oauth-async')} ({platform.system()} {platform.machine()}) "
        f"Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
    )
