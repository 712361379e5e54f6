"""Rules for connections: the share of polls, connections that the server closed while they were kept, and proxies."""

from __future__ import annotations

import asyncio
import select
import weakref
from collections.abc import Callable, Iterable
from typing import cast

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.argument_checks import check_count, check_no_line_break
from twilio_oauth_async.protocol.endpoints import is_host

POLL_SHARE = 0.75
"""The share of the connections that polls of device codes may use: however many flows are polled on a slow server,
refreshes, user information and new sign-ins have connections of their own."""

MIN_CONNECTIONS = 4
"""With fewer connections, the share of polls would leave none for other requests."""


def check_max_connections(number: int) -> None:
    """Raise `ConfigurationError` unless `number` connections can be shared."""
    check_count("max_connections", number, MIN_CONNECTIONS)


def poll_places(limit: int) -> asyncio.Semaphore | None:
    """Return the places for polls among `limit` connections; None: the number of connections is not limited (0)."""
    return asyncio.Semaphore(max(1, int(limit * POLL_SHARE))) if limit else None


def check_proxy(proxy: str | None) -> None:
    """Raise `ConfigurationError` unless `proxy` is None or the URL of an HTTP proxy. It may hold a password."""
    if proxy is None:
        return
    check_no_line_break("proxy", proxy)
    try:
        url = URL(proxy)
        is_valid = url.scheme in {"http", "https"} and is_host((url.raw_host or "").lower()) and url.port is not None
        is_valid = is_valid and url.path in {"", "/"} and not url.query_string and not url.fragment
        # yarl removes tabs and line breaks, and quotes spaces. aiohttp decodes the host name (IDNA).
        is_valid = is_valid and str(proxy).isprintable() and " " not in str(proxy) and bool(url.host)
    except (TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise ConfigurationError("proxy must be an http or https URL with a host and, if needed, a port")


def check_lent_session(http: object) -> None:
    """Raise `ConfigurationError` unless `http` is None or a session of aiohttp."""
    if http is not None and not hasattr(http, "connector"):
        raise ConfigurationError("http must be an aiohttp.ClientSession")


def checked_trace_configs(trace_configs: object) -> list[aiohttp.TraceConfig]:
    """Return `trace_configs` as a list.

    Raises:
        ConfigurationError: it is not a list of trace configs.
    """
    configs = list(cast("Iterable[object]", trace_configs)) if isinstance(trace_configs, Iterable) else [None]
    if not all(isinstance(config, aiohttp.TraceConfig) for config in configs):
        raise ConfigurationError("trace_configs must be a list of aiohttp.TraceConfig")
    return cast("list[aiohttp.TraceConfig]", configs)


class KeptConnections:
    """Remembers which connections have carried a request: one that is used again may have been closed meanwhile.

    Trace signals of aiohttp report that too, but they cost an eighth of the CPU time of each request.
    """

    def __init__(self) -> None:
        """Create it without connections."""
        # A set of references, which the interpreter itself compares, takes less time than a WeakSet.
        self._used: set[weakref.ref[asyncio.BaseProtocol]] = set()

    def use(self, transport: asyncio.WriteTransport) -> bool:
        """Record a request on a connection; return whether the connection has carried one before."""
        protocol = cast("asyncio.Transport", transport).get_protocol()
        try:
            if weakref.ref(protocol) in self._used:
                return True
            self._used.add(weakref.ref(protocol, self._used.discard))
        except TypeError:
            return False  # no weak reference to it is possible, so that nothing is known about it
        return False


class Body(aiohttp.BytesPayload):
    """The body of one request, which records whether it was sent, and over which kind of connection.

    aiohttp writes the head together with the first bytes of the body. Even if it wrote the head first, the server could
    not process the request, because a form without its body is not complete (RFC 9112 6.3).
    """

    def __init__(self, value: bytes, kept: KeptConnections, on_sent: Callable[[], None] | None) -> None:
        """Create the body `value`; `kept` is that of the session, `on_sent` is called when `is_sent` becomes True."""
        super().__init__(value)
        self._kept = kept
        self._on_sent = on_sent
        self._task = asyncio.current_task()
        self._cancellations = 0 if self._task is None else self._task.cancelling()
        self.is_sent: bool = False
        """At least a part of the head was passed to the transport, so that the server may have received it."""
        self.is_reused: bool = False
        """The connection has carried a request before."""

    @property
    def was_closed_while_kept(self) -> bool:
        """Whether nothing was sent because the server had closed the connection while it was kept."""
        return self.is_reused and not self.is_sent

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Record how the body is sent, and send it; called by aiohttp, in Python 3.11 in a task of its own.

        Raises:
            ClientConnectionResetError: the server had closed the connection, or the caller was cancelled; nothing is
                sent.
        """
        if self._task is not None and self._task.cancelling() > self._cancellations:
            # The caller gets the CancelledError in the next turn of the event loop. A pool that closes cancels only
            # polls that were not sent: a token in the response would be lost.
            raise aiohttp.ClientConnectionResetError("cancelled before it was sent")
        transport = writer.transport
        if transport is not None:
            self.is_reused = self._kept.use(transport)
            # The server may have closed the connection since it was made, and the event loop may not know it yet.
            self.is_sent = not transport.is_closing() and not (self.is_reused and _is_readable(transport))
            if self.is_reused and not self.is_sent:
                raise aiohttp.ClientConnectionResetError("closed by the server while it was kept")
            if self.is_sent and self._on_sent is not None:
                self._on_sent()
        await super().write_with_length(writer, content_length)


def _is_readable(transport: asyncio.BaseTransport) -> bool:
    """Return whether a kept connection has something to read: its end, or bytes that belong to no request."""
    socket = transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return False
    poll = getattr(select, "poll", None)
    if poll is None:  # Windows: select() has no limit on the numbers of sockets there
        return bool(select.select([socket], [], [], 0)[0])
    waiting = poll()
    waiting.register(socket, select.POLLIN)
    return bool(waiting.poll(0))
