"""`StartLimits`: how many sign-ins a visitor and a client address may start within a minute, in one process. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from twilio_oauth_async.sign_in.rate_limit import RateLimit

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 addresses as IPv6 clients see them (RFC 6052 2.1)."""


class StartLimits:
    """The limits of a site."""

    def __init__(self, *, per_visitor: int, per_address: int) -> None:
        """Create it for so many starts within a minute."""
        self._visitors = RateLimit(per_visitor)
        self._addresses = RateLimit(per_address)

    def start(self, visitor: str, address: str, now: float) -> float:
        """Count a start, if it is allowed.

        Args:
            visitor: who starts a sign-in.
            address: the address of the client; empty if it is not known.
            now: monotonic time in seconds.

        Returns:
            0.0: it is allowed, and counted. Otherwise the seconds after which it is allowed.
        """
        network = network_of(address)
        wait = self._visitors.seconds_to_wait(visitor, now)
        if address:
            wait = max(wait, self._addresses.seconds_to_wait(network, now))
        if wait == 0.0:
            self._visitors.count(visitor, now)
            if address:
                self._addresses.count(network, now)
        return wait

    def rename(self, old: str, new: str) -> None:
        """Count what the visitor `old` has started for `new`: the same browser has got another secret."""
        self._visitors.rename(old, new)


def network_of(address: str) -> str:
    """Return what is counted for a client address: the address itself, or the /64 network of an IPv6 address.

    A client has at least such a network to itself, and could use an address of it only once.
    """
    host = urlsplit(f"//{address}").hostname if address.count(":") == 1 or "]" in address else address  # with a port
    try:
        parsed = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    if parsed in _NAT64:
        return str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
    return str(ipaddress.ip_network((parsed, 64), strict=False))
