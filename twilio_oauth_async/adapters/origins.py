"""Which URLs may get the token: scheme, host and port, compared as the HTTP client itself has parsed them.

Nothing here takes a URL apart: a second parser would sooner or later read one differently from the client that
opens the connection (``https://api.twilio.com@evil.example``, a backslash, a tab), and differ in favour of an attacker.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.endpoints import is_secure

TWILIO: Final = ("https://*.twilio.com",)
"""Every host below twilio.com: ``api.twilio.com``, and with edge and region ``api.dublin.ie1.twilio.com``."""

DEFAULT_PORTS: Final = {"https": 443, "http": 80, "wss": 443, "ws": 80}
"""RFC 9110 4.2 and RFC 6455 3."""

_PATTERN = re.compile(
    r"(?P<scheme>https|http|wss|ws)://(?P<any_below>\*\.)?(?P<host>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


@attrs.frozen
class Origin:
    """One pattern, taken apart."""

    scheme: str
    host: str
    """Lower case; a name, or an address in its one canonical spelling, IPv6 without brackets."""
    port: int
    any_below: bool
    """`host` stands for one or more whole labels before it, and not for itself."""

    def matches(self, scheme: str, host: str, port: int) -> bool:
        """Whether scheme, host and port (canonical) are of this origin."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        if not self.any_below:
            return host == self.host
        # The dot belongs to the comparison: eviltwilio.com ends with twilio.com as well.
        return host.endswith(f".{self.host}") and all(map(_LABEL.fullmatch, host.split(".")))


class Origins:
    """The places that may get the token."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Read the patterns.

        Args:
            patterns: each ``scheme://host`` or ``scheme://host:port``. ``*.`` before the host stands for one or more
                whole labels. Plain ``http://`` and ``ws://`` only for a loopback host that is named as it is.

        Raises:
            ConfigurationError: one of them is no such pattern, or there is none.
        """
        if isinstance(patterns, str):
            raise ConfigurationError("origins must be a sequence of patterns, not one text")
        if not patterns:
            raise ConfigurationError("origins must name at least one origin, or the token would go nowhere")
        self.patterns = tuple(patterns)
        self._origins = tuple(_read(pattern) for pattern in self.patterns)

    def allow(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether the token may go there.

        Args:
            scheme: of the URL, in lower case, as URL classes give it.
            host: as it is resolved: ASCII (IDNA), without brackets and user info.
            port: None: the scheme's own.
        """
        if port is None:
            port = DEFAULT_PORTS.get(scheme, 0)
        host = _canonical(host)
        return any(origin.matches(scheme, host, port) for origin in self._origins)


def _read(pattern: str) -> Origin:
    """Take a pattern apart; nothing of a bad one is quoted beyond its scheme, since a password may stand in it."""
    # Only then, since lower() makes ASCII out of some that is not.
    found = _PATTERN.fullmatch(pattern.lower()) if pattern.isascii() else None
    if found is None:
        raise ConfigurationError(
            "an origin is https://host[:port] or https://*.domain[:port], in ASCII, without user, path or query"
        )
    scheme, host, any_below = found["scheme"], found["host"].strip("[]"), found["any_below"] is not None
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port < 1 << 16:
        raise ConfigurationError(f"no port: {port}")
    address = _address(host)
    if address is None:
        _check_name(host, any_below=any_below)
    elif any_below:
        raise ConfigurationError("there is nothing below an address: *. goes before a domain")
    if scheme in {"http", "ws"} and (any_below or not is_secure(f"http://{found['host']}")):
        # RFC 6750 5.3: bearer tokens only over TLS. What stays on this very machine needs none.
        raise ConfigurationError(f"{scheme}:// is only for 127.0.0.1, [::1] and localhost, each named as it is")
    return Origin(scheme, address or host, port, any_below)


def _check_name(host: str, *, any_below: bool) -> None:
    labels = host.split(".")
    if not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        # A last label of digits makes URL parsers read the whole as an IPv4 address (WHATWG URL, "ends in a number").
        raise ConfigurationError("no host name: labels of ASCII letters, digits and hyphens, 63 at the most")
    if any_below and len(labels) < 2:
        raise ConfigurationError(f"*.{host} would be everybody's: name at least two labels after the *")


def _canonical(host: str) -> str:
    host = host.lower()
    return _address(host) or host


def _address(host: str) -> str | None:
    """The one spelling of an IP address; None where `host` is a name."""
    if ":" not in host and not host[-1:].isdigit():
        return None  # asking `ipaddress` would take most of the time that a request spends here
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
