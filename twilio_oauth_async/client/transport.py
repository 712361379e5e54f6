"""Sends one HTTP request with aiohttp: one deadline, a response of limited size, no redirects.

The only module of the client that sends requests. Failures are returned as values, never chained to an exception of
aiohttp: the repr of such an exception holds the ``Authorization`` header, and ``raise ... from None`` still leaves it
in ``__context__``.
"""

from __future__ import annotations

import asyncio
import platform
import ssl
import traceback
from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias

import aiohttp
import attrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from twilio_oauth_async.client.resolver import create_resolver
from twilio_oauth_async.errors import AnswerLostError, ConfigurationError, ProtocolError, TransportError
from twilio_oauth_async.executor import run_blocking
from twilio_oauth_async.protocol.messages import Request, Response

CONNECT_TIMEOUT = 10.0
"""Seconds for one TCP and TLS handshake."""

READ_TIMEOUT = 15.0
"""Seconds without a byte from the server: half of the default deadline, so that there is time for a second attempt."""

MAX_CONNECTIONS = 256
"""Connection limit of our own connector, for 2,000 short requests a second (10,000 flows with an interval of 5 s)."""

_CHUNK = 64 * 1024

_WAITS = {
    "_wait_for_available_connection": "no free connection within the time limit",
    "_resolve_host": "the host name could not be resolved within the time limit",
    "connect": "no connection within the time limit",
}
"""Functions of aiohttp's connector, the innermost first, and what is reported if the time limit ends one of them.

Trace signals report the same, but cost an eighth of the CPU time of each request. A traceback costs nothing until a
request fails. Only the text depends on it: if aiohttp renames a function, the text is a more general one.
"""


@attrs.frozen
class Failure:
    """The request got no usable response."""

    error: TransportError | ProtocolError
    """`AnswerLostError`: the request was sent and must not be repeated. Any other `TransportError`: it was not sent, or
    it may be repeated."""
    retryable: bool
    """The next attempt may succeed."""


Result: TypeAlias = Response | Failure


class Transport:
    """Sends requests over its own ``ClientSession``. The connector may be borrowed from a session of the caller."""

    def __init__(
        self,
        *,
        http: aiohttp.ClientSession | None,
        proxy: str | None,
        ssl_context: ssl.SSLContext | None,
        trace_configs: Sequence[aiohttp.TraceConfig],
        max_response_bytes: int,
    ) -> None:
        """Create a transport; nothing is opened. `OAuthSession` documents the arguments.

        Raises:
            ConfigurationError: `ssl_context` does not verify the server (RFC 6749 10.9), or `max_response_bytes` is
                less than 1.
        """
        if ssl_context is not None and not (
            ssl_context.verify_mode is ssl.CERT_REQUIRED and ssl_context.check_hostname
        ):
            raise ConfigurationError(
                "ssl_context must verify certificates and host names (CERT_REQUIRED, check_hostname)"
            )
        if max_response_bytes < 1:
            raise ConfigurationError("max_response_bytes must be at least 1")
        self._borrowed = http
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._trace_configs = list(trace_configs)
        self._max_response_bytes = max_response_bytes
        self._session: aiohttp.ClientSession | None = None
        self._single_use: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent, in the event loop in which it was opened."""
        return self._loop is not None and not self._loop.is_closed()

    async def open(self) -> None:
        """Create the ``ClientSession`` for the running event loop; do nothing if it is already open there.

        Raises:
            ConfigurationError: the borrowed session is closed or belongs to another event loop, or the transport is
                open in another event loop that has not been closed.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop.is_closed():
            await self.close()  # the loop was closed, and the transport was not
        if self._borrowed is not None and self._ssl_context is None:
            # A borrowed connector may have verification turned off. A context in the request overrides that.
            self._ssl_context = await _default_ssl_context()
        if self._loop is loop:
            return
        if self._loop is not None:
            raise ConfigurationError("the session is open in another event loop: close it there first")
        if self._borrowed is None:
            connector: aiohttp.BaseConnector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, resolver=create_resolver())
        elif self._borrowed.connector is None or self._borrowed.closed:
            raise ConfigurationError("the aiohttp.ClientSession given as http= is closed")
        elif getattr(self._borrowed, "_loop", loop) is not loop:
            # aiohttp would send a request over a connection of the other loop, and could not receive the response.
            raise ConfigurationError("the aiohttp.ClientSession given as http= belongs to another event loop")
        else:
            connector = self._borrowed.connector
        self._loop = loop
        self._session = self._create_session(connector, aiohttp.ClientResponse, owner=self._borrowed is None)
        self._single_use = self._create_session(connector, _ClosingResponse, owner=False)

    def _create_session(
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
        """Close the sessions, and the connector if it is our own."""
        sessions = (self._single_use, self._session)
        self._session = self._single_use = self._loop = None
        for session in sessions:
            if session is not None:
                await session.close()

    async def send(self, base_url: str, request: Request, headers: Mapping[str, str], timeout: float) -> Result:
        """Send `request` once.

        Args:
            base_url: the URL of the API, without a trailing slash.
            request: the request.
            headers: all headers of the request.
            timeout: seconds from the wait for a free connection to the last byte of the response.

        Raises:
            ConfigurationError: the transport is not open, or the borrowed session has been closed.
        """
        session = self._single_use if request.fresh_connection else self._session
        if session is None:
            raise ConfigurationError("the session is not open: use 'async with OAuthSession(...)', or await open()")
        if self._loop is not asyncio.get_running_loop():
            raise ConfigurationError("the session was opened in another event loop: open it in this one")
        if session.closed:
            raise ConfigurationError("the aiohttp.ClientSession given as http= has been closed")
        url = request.url or base_url + request.path + (f"?{request.query}" if request.query else "")
        sent = CIMultiDict(headers)
        target = URL(url, encoded=True)
        server_hostname: str | None = None
        if request.fresh_connection:
            # aiohttp pools connections by host, port and server name. With an explicit server name (the one that TLS
            # uses anyway) these requests have a pool of their own. "close" (RFC 9112 9.6) and _ClosingResponse keep
            # that pool empty.
            server_hostname = target.host
            sent["Connection"] = "close"
        body = None if request.body is None else _Body(request.body)
        failure: Failure
        try:
            async with session.request(
                request.method,
                target,
                data=body,
                headers=sent,
                allow_redirects=False,
                ssl=self._ssl_context or True,  # True: the setting of the connector; our own one verifies
                server_hostname=server_hostname,
                timeout=aiohttp.ClientTimeout(
                    total=timeout, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT, ceil_threshold=timeout + 1
                ),
            ) as response:
                received = await self._read(response)
                if received is not None:
                    return Response(status=response.status, headers=response.headers, body=received)
                response.close()
                failure = Failure(
                    ProtocolError(
                        f"the response has more than {self._max_response_bytes} bytes",
                        status=response.status,
                    ),
                    retryable=False,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
            failure = _failure(error, request, is_sent=None if body is None else body.is_sent)
        return failure

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the decoded body, or None if it is too large; at most one chunk more than the limit is in memory."""
        body = bytearray()
        while chunk := await response.content.read(_CHUNK):
            body += chunk
            if len(body) > self._max_response_bytes:
                return None
        return bytes(body)


class _Body(aiohttp.BytesPayload):
    """The body of one request, which records whether it was sent.

    aiohttp writes the head together with the first bytes of the body. Even if it wrote the head first, the server could
    not process the request, because a form without its body is not complete (RFC 9112 6.3).
    """

    is_sent = False
    """At least a part of the head was passed to the transport, so that the server may have received it."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # The server may have closed the connection since it was made. aiohttp then writes nothing and raises.
        self.is_sent = writer.transport is not None and not writer.transport.is_closing()
        await super().write_with_length(writer, content_length)


class _ClosingResponse(aiohttp.ClientResponse):
    """A response whose connection is closed after it, even if the server would keep it open."""

    async def start(self, connection: Connection) -> Self:
        if connection.protocol is not None:
            connection.protocol.force_close()
        await super().start(connection)
        return self


async def _default_ssl_context() -> ssl.SSLContext:
    """Return a context with the CA certificates of the system, which it takes milliseconds to load."""
    try:
        return await run_blocking(ssl.create_default_context, kind="files")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ConfigurationError(f"the CA certificates of the system cannot be loaded: {reason}")


def _failure(error: Exception, request: Request, *, is_sent: bool | None) -> Failure:
    """Convert an exception of aiohttp or the system to a `Failure`.

    The error is `AnswerLostError` if the server may have processed a request that must not be repeated. `is_sent` is
    None if that is not known, as for a request without a body.

    Messages name only the kind of failure. The texts of the exceptions are not included, because they may hold secrets.
    """
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure(
            TransportError("the TLS handshake failed; check that the certificate of the server is trusted"), False
        )
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Failure(TransportError("no connection within the time limit"), True)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure(TransportError("the host name could not be resolved"), True)
    if isinstance(error, UnicodeError):
        return Failure(TransportError("the host name of the server is not valid"), False)
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError)):
        return Failure(TransportError("no connection to the server; check the network and the URL of the server"), True)
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure(ProtocolError("the head of the response is invalid HTTP or too large"), False)
    is_late = isinstance(error, TimeoutError)
    if is_sent is False:
        reason = (
            "the request was not sent within the time limit"
            if is_late
            else "the connection failed before the request was sent"
        )
    else:
        reason = "no complete response within the time limit" if is_late else "the connection failed"
    if is_late and not is_sent:
        reason = _interrupted_wait(error) or reason
    kind = TransportError if request.repeatable or is_sent is False else AnswerLostError
    return Failure(kind(reason), True)


def _interrupted_wait(error: Exception) -> str | None:
    """Return what the request waited for if the time limit ended the wait for a connection; else None."""
    # aiohttp cancels its own task at the time limit, and raises the TimeoutError from that CancelledError.
    cancelled = error.__cause__
    if cancelled is None:
        return None
    functions = {frame.f_code.co_name for frame, _ in traceback.walk_tb(cancelled.__traceback__)}
    return next((text for function, text in _WAITS.items() if function in functions), None)


def _user_agent() -> str:
    # Imported late: it takes about a third of the time that importing this package takes beside its dependencies.
    from importlib.metadata import version

    return (
        f"twilio-oauth-async/{version('twilio-oauth-async')} ({platform.system()} {platform.machine()}) "
        f"Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
    )
