"""Origins that may get the token: compares scheme, host and port as the HTTP client has parsed them.

No URL is parsed here. A second parser could read a URL differently from the client that opens the connection
(``https://api.twilio.com@evil.example``, a backslash, a tab), and an attacker could use the difference.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from typing import Final

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.endpoints import is_secure

TWILIO: Final = ("https://*.twilio.com",)
"""Every host below twilio.com: ``api.twilio.com``, or with edge and region ``api.dublin.ie1.twilio.com``."""

DEFAULT_PORTS: Final = {"https": 443, "http": 80, "wss": 443, "ws": 80}
"""By scheme of the URL (RFC 9110 4.2, RFC 6455 3)."""

_PATTERN = re.compile(
    r"(?P<scheme>https|http|wss|ws)://(?P<subdomains>\*\.)?"
    r"(?P<host>\[(?=[^\]]*:)[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


@attrs.frozen
class Origin:
    """One parsed pattern."""

    scheme: str
    host: str
    """A name in lower case, or an IP address in canonical form, IPv6 without brackets."""
    port: int
    subdomains: bool
    """The pattern matches hosts with one or more whole labels before `host`, but not `host` itself."""

    def matches(self, scheme: str, host: str, port: int) -> bool:
        """Whether the pattern matches; arguments in canonical form."""
        if (scheme, port) != (self.scheme, self.port):
            return False
        if not self.subdomains:
            return host == self.host
        # Compared with the dot, because eviltwilio.com ends with twilio.com as well.
        return host.endswith(f".{self.host}") and all(map(_LABEL.fullmatch, host.split(".")))


class Origins:
    """The origins that may get the token."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Parse `patterns`.

        Args:
            patterns: each ``scheme://host`` or ``scheme://host:port``. ``*.`` before the host stands for one or more
                whole labels. ``http://`` and ``ws://`` are allowed for a loopback host without ``*.`` only.

        Raises:
            ConfigurationError: `patterns` is empty or a string, or one of them is invalid.
        """
        if isinstance(patterns, (str, bytes)) or not isinstance(patterns, Collection):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("origins must be a sequence of patterns, not one string")
        if not patterns:
            raise ConfigurationError("origins must not be empty: no request would get the token")
        self.patterns: tuple[str, ...] = tuple(patterns)
        self._origins = tuple(_parse(pattern) for pattern in self.patterns)

    def allow(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether a request to this origin may get the token.

        Args:
            scheme: of the URL, in lower case, as URL classes return it.
            host: as the client resolves it: ASCII (IDNA), without brackets and user info.
            port: None for the default port of the scheme.
        """
        if port is None:
            port = DEFAULT_PORTS.get(scheme, 0)
        host = _canonical(host)
        return any(origin.matches(scheme, host, port) for origin in self._origins)


def _parse(pattern: object) -> Origin:
    """Parse one pattern. A pattern that does not match `_PATTERN` is never quoted: it may contain a password."""
    # isascii() is called before lower(), because lower() turns some other characters into ASCII.
    found = _PATTERN.fullmatch(pattern.lower()) if isinstance(pattern, str) and pattern.isascii() else None
    if found is None:
        raise ConfigurationError(
            "invalid origin: use https://host[:port] or https://*.domain[:port], in ASCII, without user, path or query"
        )
    scheme, host, subdomains = found["scheme"], found["host"].strip("[]"), found["subdomains"] is not None
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port < 1 << 16:
        raise ConfigurationError(f"invalid origin: port {port} is not between 1 and 65535")
    address = _address(host)
    if address is None:
        _check_name(host, subdomains=subdomains)
    elif subdomains:
        raise ConfigurationError("invalid origin: *. needs a domain, not an IP address")
    if scheme in {"http", "ws"} and (subdomains or not is_secure(f"http://{found['host']}")):
        # RFC 6750 5.3 requires TLS for bearer tokens. A request to a loopback host stays on this machine.
        raise ConfigurationError(f"invalid origin: {scheme}:// is for 127.0.0.1, [::1] and localhost only, without *.")
    return Origin(scheme, address or host, port, subdomains)


def _check_name(host: str, *, subdomains: bool) -> None:
    labels = host.split(".")
    if not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        # URL parsers read a host whose last label is a number as an IPv4 address (WHATWG URL, "ends in a number").
        raise ConfigurationError("invalid origin: a host has labels of at most 63 ASCII letters, digits and hyphens")
    if subdomains and len(labels) < 2:
        raise ConfigurationError(f"invalid origin: *.{host} is too broad; name at least two labels after *.")


def _canonical(host: str) -> str:
    host = host.lower()
    return _address(host) or host


def _address(host: str) -> str | None:
    """Return the canonical form of an IP address; None if `host` is a name."""
    if ":" not in host and not host[-1:].isdigit():
        return None  # the usual case; calling `ipaddress` would take most of the time of `Origins.allow`
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
