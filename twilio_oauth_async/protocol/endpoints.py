"""Where the API lives: host names, base URLs, and which of them may be spoken to."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from twilio_oauth_async.errors import ConfigurationError

DISCOVERY = "/v1/.well-known/openid-configuration"
CERTS = "/v1/certs"
DEVICE_CODE = "/v1/device/code"
TOKEN = "/v1/token"  # noqa: S105 - a path
TOKEN_V2 = "/v2/token"  # noqa: S105 - a path
AUTHORIZE_V2 = "/v2/authorize"
USER_INFO = "/v1/userinfo"

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def choose_base_url(base_url: str | None, region: str | None, edge: str | None) -> str:
    """The base URL to use, without a trailing slash.

    Args:
        base_url: as the caller gave it; None: Twilio's own host, ``oauth[.edge][.region].twilio.com``.
        region: for example ``ie1``; an edge without one implies ``us1``.
        edge: for example ``dublin``.

    Raises:
        ConfigurationError: `base_url` together with one of the others, a name that is no host label, a URL that is
            not https (plain http is for loopback only, RFC 6749 3.2), or one with user, query or fragment.
    """
    if base_url is None:
        labels = [
            _checked_label("edge", edge) if edge else "",
            _checked_label("region", region) if region else ("us1" if edge else ""),
        ]
        return "https://" + ".".join(["oauth", *filter(None, labels), "twilio.com"])
    if region or edge:
        raise ConfigurationError("give either base_url, or region and edge: a base URL names its host already")
    return _checked_base_url(base_url)


def is_secure(url: str) -> bool:
    """Whether `url` is https, or http to this very machine (RFC 6749 3.2, RFC 8252 8.3)."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - raises ValueError where it is no port
    except ValueError:
        return False
    return host is not None and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host)))


def _is_loopback(host: str) -> bool:
    """127.0.0.0/8, ::1 and localhost with the names below it (RFC 6761 6.3)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _checked_label(name: str, value: str) -> str:
    if not _LABEL.fullmatch(value.lower()):
        raise ConfigurationError(f"{name} must be one label of a host name, such as 'dublin' or 'ie1'")
    return value.lower()


def _checked_base_url(base_url: str) -> str:
    if not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        raise ConfigurationError("base_url must be printable ASCII without spaces")
    if not is_secure(base_url):
        raise ConfigurationError(
            "base_url must be https://host[:port][/path]; plain http:// is only for 127.0.0.1, [::1] and localhost"
        )
    parts = urlsplit(base_url)
    # Not quoted in the message: what stands before the @ is a password.
    if "@" in parts.netloc or parts.query or parts.fragment or base_url.endswith(("?", "#")):
        raise ConfigurationError("base_url must not carry a user, a query or a fragment; credentials are parameters")
    return base_url.rstrip("/")
