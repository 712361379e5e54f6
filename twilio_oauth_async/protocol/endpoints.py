"""Paths of the API, base URLs by region and edge, and the check that a URL is secure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from twilio_oauth_async.errors import ConfigurationError

DISCOVERY = "/v1/.well-known/openid-configuration"
SERVER_METADATA = "/.well-known/oauth-authorization-server"
CERTS = "/v1/certs"
DEVICE_CODE = "/v1/device/code"
TOKEN = "/v1/token"  # noqa: S105 - a path
TOKEN_V2 = "/v2/token"  # noqa: S105 - a path
AUTHORIZE_V2 = "/v2/authorize"
USER_INFO = "/v1/userinfo"

TOKEN_ENDPOINTS = frozenset({TOKEN, TOKEN_V2})
"""Paths whose responses tell the time of the server."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MAX_HOST_LENGTH = 253  # RFC 1035 2.3.4: 255 bytes on the wire


def choose_base_url(base_url: str | None, region: str | None, edge: str | None) -> str:
    """Return the base URL to use, without a trailing slash.

    Args:
        base_url: base URL from the caller; None: Twilio's own host, ``oauth[.edge][.region].twilio.com``.
        region: for example ``ie1``; with an edge and no region the region is ``us1``.
        edge: for example ``dublin``.

    Raises:
        ConfigurationError: `base_url` is combined with `region` or `edge`; `region` or `edge` is not a valid host
            label; `base_url` is not https (plain http is for loopback only, RFC 6749 3.2); or `base_url` has a user, a
            query, a fragment, a host name that cannot be resolved, a space or a character that is not printable ASCII.
    """
    if base_url is None:
        labels = [
            _validate_label("edge", edge) if edge else "",
            _validate_label("region", region) if region else ("us1" if edge else ""),
        ]
        return "https://" + ".".join(["oauth", *filter(None, labels), "twilio.com"])
    if region or edge:
        raise ConfigurationError("give either base_url, or region and edge: a base URL already contains the host")
    return _validate_base_url(base_url)


def is_host_name(host: str) -> bool:
    """Return whether `host`, in lower case, can be resolved as a name: labels of 1 to 63 ASCII characters.

    Other names cannot be encoded (IDNA). A name whose last label is a number is read as an IPv4 address by URL parsers
    (WHATWG URL, "ends in a number").
    """
    labels = host.removesuffix(".").split(".")
    return len(host) <= _MAX_HOST_LENGTH and all(map(_HOST_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def is_secure(url: object) -> bool:
    """Return whether `url` is https, or http to a loopback address (RFC 6749 3.2, RFC 8252 8.3)."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - raises ValueError if the port is not valid
    except ValueError:
        return False
    return host is not None and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    """Return whether `host` is in 127.0.0.0/8, or is ::1, localhost or a name below localhost (RFC 6761 6.3)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def is_host(host: str) -> bool:
    """Return whether `host`, in lower case and without brackets, is an IP address or a name (`is_host_name`)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return is_host_name(host)
    return True


def _validate_label(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not _LABEL.fullmatch(value.lower()):
        raise ConfigurationError(f"{name} must be one label of a host name, such as 'dublin' or 'ie1'")
    return value.lower()


def _validate_base_url(base_url: object) -> str:
    if not isinstance(base_url, str) or not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        raise ConfigurationError("base_url must be printable ASCII without spaces")
    if not is_secure(base_url):
        raise ConfigurationError(
            "base_url (or TWILIO_OAUTH_URL) must be https://host[:port][/path]; "
            "plain http:// is allowed only for 127.0.0.1, [::1] and localhost"
        )
    parts = urlsplit(base_url)
    # The message does not quote the URL: the part before the @ may be a password.
    if "@" in parts.netloc or parts.query or parts.fragment or base_url.endswith(("?", "#")):
        raise ConfigurationError(
            "base_url must not contain a user, a query or a fragment; pass credentials as parameters"
        )
    if not is_host(parts.hostname or ""):
        raise ConfigurationError(
            "base_url has a host name that cannot be resolved: its labels must have 1 to 63 ASCII letters, digits and"
            " hyphens, and the last one must not be a number"
        )
    return base_url.rstrip("/")
