"""Sends one HTTP request with aiohttp: one deadline, a response of limited size, no redirects.

The only module of the client that sends requests. Failures are returned as values, never chained to an exception of
aiohttp: the repr of such an exception holds the ``Authorization`` header, and ``raise ... from None`` still leaves it
in ``__context__``.
"""

from __future__ import annotations

import asyncio
import platform
import ssl
import time
from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias

import aiohttp
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

import twilio_oauth_async
from twilio_oauth_async.client.connections import (
    Body,
    KeptConnections,
    check_lent_session,
    check_max_connections,
    check_proxy,
    checked_trace_configs,
    poll_places,
)
from twilio_oauth_async.client.failures import NO_FREE_CONNECTION, Failure, failure_of
from twilio_oauth_async.client.resolver import create_resolver
from twilio_oauth_async.errors import ConfigurationError, ProtocolError, TransportError
from twilio_oauth_async.executor import run_blocking
from twilio_oauth_async.protocol.argument_checks import check_count
from twilio_oauth_async.protocol.messages import Request, Response

CONNECT_TIMEOUT = 10.0
"""Seconds for one TCP and TLS handshake."""

_CHUNK = 64 * 1024

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
        max_connections: int,
    ) -> None:
        """Create a transport; nothing is opened. `OAuthSession` documents the arguments.

        Raises:
            ConfigurationError: `ssl_context` does not verify the server (RFC 6749 10.9), `proxy` is not the URL of a
                proxy, or a limit is too low.
        """
        check_proxy(proxy)
        check_max_connections(max_connections)
        check_lent_session(http)
        if ssl_context is not None and not (
            getattr(ssl_context, "verify_mode", None) is ssl.CERT_REQUIRED and ssl_context.check_hostname
        ):
            raise ConfigurationError(
                "ssl_context must verify certificates and host names (CERT_REQUIRED, check_hostname)"
            )
        check_count("max_response_bytes", max_response_bytes, 1)
        self._borrowed = http
        self._proxy = proxy
        self._ssl_context = ssl_context
        self._trace_configs = checked_trace_configs(trace_configs)
        self._max_response_bytes = max_response_bytes
        self._max_connections = max_connections
        self._kept = KeptConnections()
        self._poll_places: asyncio.Semaphore | None = None
        self._session: aiohttp.ClientSession | None = None
        self._single_use: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Built once: nearly all requests of a session have the same of them.
        self._targets: dict[str, URL] = {}
        self._timeout: aiohttp.ClientTimeout = _client_timeout(1.0)

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
            connector: aiohttp.BaseConnector = aiohttp.TCPConnector(
                limit=self._max_connections, resolver=create_resolver()
            )
        elif self._borrowed.connector is None or self._borrowed.closed:
            raise ConfigurationError("the aiohttp.ClientSession given as http= is closed")
        elif getattr(self._borrowed, "_loop", loop) is not loop:
            # aiohttp would send a request over a connection of the other loop, and could not receive the response.
            raise ConfigurationError("the aiohttp.ClientSession given as http= belongs to another event loop")
        else:
            connector = self._borrowed.connector
        self._loop = loop
        self._poll_places = poll_places(connector.limit)
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

        If the server had closed the kept connection that was to be used, nothing was sent, and the request is sent
        over a new connection: that is no fault.

        Args:
            base_url: the URL of the API, without a trailing slash.
            request: the request.
            headers: all headers of the request.
            timeout: seconds from the wait for a free connection to the last byte of the response.

        Raises:
            ConfigurationError: the transport is not open, or the borrowed session has been closed.
        """
        target = self._target_of(base_url, request)
        deadline = time.monotonic() + timeout
        places = self._poll_places if request.is_poll else None
        if places is not None:
            if places.locked():
                try:
                    async with asyncio.timeout(timeout):
                        await places.acquire()
                except TimeoutError:
                    return Failure(TransportError(NO_FREE_CONNECTION), True)
                timeout = deadline - time.monotonic()
            else:
                await places.acquire()  # at once
        is_new = request.fresh_connection
        try:
            while True:
                session = self._session_for(is_new)
                server_hostname: str | None = None
                if is_new:
                    # aiohttp pools connections by host, port and server name. With an explicit server name (the one
                    # that TLS uses anyway) these requests have a pool of their own. "close" (RFC 9112 9.6) and
                    # _ClosingResponse keep that pool empty.
                    # In ASCII: with the Unicode form, ssl would encode it in another way than the URL (IDNA 2003).
                    server_hostname = target.raw_host
                    headers = CIMultiDict(headers)
                    headers["Connection"] = "close"
                body = None if request.body is None else Body(request.body, self._kept, request.on_sent)
                if timeout != self._timeout.total:
                    self._timeout = _client_timeout(timeout)
                try:
                    response = await session.request(
                        request.method,
                        target,
                        data=body,
                        headers=headers,
                        allow_redirects=False,
                        ssl=self._ssl_context or True,  # True: the setting of the connector; our own one verifies
                        server_hostname=server_hostname,
                        timeout=self._timeout,
                    )
                    try:
                        content = response.content
                        # Most often, the whole body arrived together with the head.
                        received = content.read_nowait() if content.is_eof() else await self._read(content)
                    finally:
                        if not response.closed:  # it is, if the whole body was read; then the connection is kept
                            response.close()
                except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as error:
                    if is_new or body is None or not body.was_closed_while_kept:
                        return failure_of(error, request, is_sent=None if body is None else body.is_sent)
                    is_new, timeout = True, deadline - time.monotonic()
                    continue
                if len(received) > self._max_response_bytes:
                    reason = f"the response has more than {self._max_response_bytes} bytes"
                    return Failure(ProtocolError(reason, status=response.status), retryable=False)
                return Response(status=response.status, headers=response.headers, body=received)
        finally:
            if places is not None:
                places.release()

    def _session_for(self, is_new: bool) -> aiohttp.ClientSession:
        """Return the session for kept or for new connections, if it can be used."""
        session = self._single_use if is_new else self._session
        if session is None:
            raise ConfigurationError("the session is not open: use 'async with OAuthSession(...)', or await open()")
        if self._loop is not asyncio.get_running_loop():
            raise ConfigurationError("the session was opened in another event loop: open it in this one")
        if session.closed:
            raise ConfigurationError("the aiohttp.ClientSession given as http= has been closed")
        return session

    def _target_of(self, base_url: str, request: Request) -> URL:
        """Return the URL of `request`; those without a query, of which there are few, are built once."""
        if request.url is not None or request.query:
            return URL(request.url or f"{base_url}{request.path}?{request.query}", encoded=True)
        url = base_url + request.path
        target = self._targets.get(url)
        if target is None:
            target = self._targets[url] = URL(url, encoded=True)
        return target

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        """Return the decoded body; of one that is too large, the limit and at most one chunk more."""
        body = bytearray()
        while len(body) <= self._max_response_bytes and (chunk := await content.read(_CHUNK)):
            body += chunk
        return bytes(body)


class _ClosingResponse(aiohttp.ClientResponse):
    """A response whose connection is closed after it, even if the server would keep it open."""

    async def start(self, connection: Connection) -> Self:
        if connection.protocol is not None:
            connection.protocol.force_close()
        await super().start(connection)
        return self


def _client_timeout(seconds: float) -> aiohttp.ClientTimeout:
    """Return the time limit of one attempt.

    There is no limit for a single read: aiohttp would set a timer anew with every read, which costs more than all other
    parts of this module. `Requests` shortens the limit of a first attempt instead.
    """
    total = max(seconds, 0.001)  # aiohttp reads a timeout of 0 as no timeout
    return aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_TIMEOUT, ceil_threshold=total + 1)


async def _default_ssl_context() -> ssl.SSLContext:
    """Return a context with the CA certificates of the system, which it takes milliseconds to load."""
    try:
        return await run_blocking(ssl.create_default_context, kind="files")
    except OSError as error:
        reason = error.strerror or type(error).__name__
    raise ConfigurationError(f"the CA certificates of the system cannot be loaded: {reason}")


def _user_agent() -> str:
    return (
        f"twilio-oauth-async/{twilio_oauth_async.__version__} ({platform.system()} {platform.machine()}) "
        f"Python/{platform.python_version()} aiohttp/{aiohttp.__version__}"
    )
