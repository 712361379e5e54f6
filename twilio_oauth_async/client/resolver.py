"""`ThreadResolver`: resolves host names in the threads of this package, not in the event loop's default executor.

Threads of the default executor may all wait for a token (``asyncio.to_thread`` with Twilio's SDK). If name resolution
needed one of them as well, the token could not be obtained.
"""

from __future__ import annotations

import socket
import sys

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from twilio_oauth_async.executor import run_blocking

_ADDRESS_FLAGS = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", -1)  # macOS refuses flags outside AI_MASK
_IS_WINDOWS = sys.platform == "win32"
_RESULT_FLAGS = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_NUMERIC_NAME = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


def create_resolver() -> AbstractResolver | None:
    """Return a resolver for ``aiohttp.TCPConnector``; None if aiohttp's own uses no threads (with aiodns installed)."""
    return ThreadResolver() if aiohttp.DefaultResolver is aiohttp.ThreadedResolver else None


class ThreadResolver(AbstractResolver):
    """Resolves as ``aiohttp.ThreadedResolver`` does, with the same results and errors."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`.

        Raises:
            OSError: it cannot be resolved (``socket.gaierror``), or the system has no thread for the look-up.
        """
        return await run_blocking(_resolve, host, port, family, kind="names")

    async def close(self) -> None:
        """Do nothing: the threads belong to the event loop."""


def _resolve(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    try:
        infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=_ADDRESS_FLAGS)
    except socket.gaierror:
        # Windows does not resolve localhost with AI_ADDRCONFIG if no network is connected.
        if not _IS_WINDOWS or host.rstrip(".").casefold() != "localhost":
            raise
        infos = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    found: list[ResolveResult] = []
    for its_family, _, proto, _, address in infos:
        if its_family == socket.AF_INET6 and len(address) < 3:
            continue  # this Python has no IPv6
        its_host, its_port = str(address[0]), int(address[1])
        if len(address) > 3 and address[3]:
            # A link-local address: its text in `address` does not name the network interface (RFC 4007 11).
            its_host, service = socket.getnameinfo(address, _NUMERIC_NAME)
            its_port = int(service)
        found.append(
            ResolveResult(
                hostname=host,
                host=its_host,
                port=its_port,
                family=its_family,
                proto=proto,
                flags=_RESULT_FLAGS,
            )
        )
    return found
