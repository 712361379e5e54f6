"""Which of the endpoints that discovery names may be used (RFC 8414 3.3 and 6). Pure.

The requests of the contract go to fixed paths and need none of them. Discovery serves the authorization page and the
revocation endpoint, whose places no contract fixes. A document that was tampered with must not be able to send a
person or a token elsewhere.
"""

from __future__ import annotations

from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from twilio_oauth_async.errors import ConfigurationError, ProtocolError
from twilio_oauth_async.protocol.endpoints import is_secure
from twilio_oauth_async.protocol.models import OpenidDiscovery

DiscoveredEndpoint: TypeAlias = Literal["authorization_endpoint", "revocation_endpoint"]


def trusted_endpoint(discovery: OpenidDiscovery, name: DiscoveredEndpoint, *, issuer: str, base_url: str) -> str:
    """The URL of an endpoint.

    Args:
        discovery: as received.
        name: which one.
        issuer: who must have issued the document, to the letter (RFC 8414 3.3).
        base_url: where the API is; an endpoint must be there, or on the issuer's own host.

    Raises:
        ProtocolError: the document is of another issuer, or names a place that is not allowed.
        ConfigurationError: the server has no such endpoint.
    """
    if discovery.issuer != issuer:
        raise ProtocolError("the discovery document is of another issuer than the session's")
    url: str | None = getattr(discovery, name)
    if url is None:
        raise ConfigurationError(f"the server names no {name}")
    if (
        not url.isascii()
        or not url.isprintable()
        or not is_secure(url)
        or _origin(url) not in {_origin(base_url), _origin(issuer)}
    ):
        raise ProtocolError(f"the discovery document's {name} is neither on the API's nor on the issuer's host")
    return url


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    # A user name in front of the host has no business here: it makes the origin one that matches nothing.
    host = (parts.hostname or "") if "@" not in parts.netloc else "@"
    return parts.scheme, host, parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
