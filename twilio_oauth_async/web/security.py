"""What protects the pages: security headers, the origin of a form, and paths to which a browser may return. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, urlsplit

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol import endpoints
from twilio_oauth_async.web.http_messages import Request

MAX_RETURN_PATH = 256
"""Characters of a path to return to. It travels in a cookie, of which a browser sends several at once: servers refuse
requests with more than 8 KiB of headers."""


_WRONG_URL = (
    "url must be the public URL of the site, for example https://app.example/twilio: https, or http on loopback, with "
    "a host in ASCII (xn--), without escapes in the path, and without a query and a fragment"
)


def parse_site_url(url: object) -> SplitResult:
    """Return the parts of the public URL of a site, whose path has no slash at its end.

    Raises:
        ConfigurationError: it is neither https nor http on loopback, or has a user, a query or a fragment.
    """
    text = url if isinstance(url, str) else ""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    path = parts.path.rstrip("/")
    segments = path.removeprefix("/").split("/") if path else []
    plain = text.isascii() and text.isprintable() and quote(path, safe="/-._~!$&'()*+,;=:@") == path
    if not plain or {"", ".", ".."} & set(segments) or not endpoints.is_secure(text):
        raise ConfigurationError(_WRONG_URL)
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(_WRONG_URL)
    return parts._replace(path=path)


def origin_of(parts: SplitResult) -> str:
    """Return scheme, host and port, as a browser writes them in ``Origin`` (RFC 6454 6.1)."""
    default = {"https": 443, "http": 80}[parts.scheme]
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{ipaddress.ip_address(host).compressed}]"
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in {None, default} else "")


def security_headers() -> tuple[tuple[str, str], ...]:
    """Return the security headers of every response."""
    # Only files of the site: no inline scripts and styles, and no frames around a page with buttons. Browsers apply
    # form-action to each redirect after a form, also to those of Twilio: so no form of the site leads away from it.
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return (
        ("Content-Security-Policy", policy),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        ("Cache-Control", "no-store"),
    )


def is_from_another_site(request: Request) -> bool:
    """Return whether the browser says that a form was sent by a page of another site.

    The CSRF token decides in any case; this also refuses pages of another subdomain or port that have obtained one.
    """
    return request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}


def comes_from_another_site(request: Request) -> bool:
    """Return whether another site has sent the browser here. It does not send cookies with ``SameSite=Strict`` then."""
    return request.headers.get("sec-fetch-site") == "cross-site"


def has_other_origin(request: Request, origin: str) -> bool:
    """Return whether a form was sent by a page of another origin than the public one."""
    return request.headers.get("origin", origin) != origin


def is_navigation(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a browser loads a page with this request, so that it can be sent to another page."""
    if method not in {"GET", "HEAD"} or headers.get("sec-fetch-mode", "navigate") != "navigate":
        return False
    return "text/html" in headers.get("accept", "")


def return_path(path: str) -> str:
    """Return `path` if a browser may be sent there after the sign-in: a path of this host; otherwise an empty string.

    Not an URL, not ``//host``, nothing that a browser reads as one of those: it drops tabs and newlines, and takes a
    backslash for a slash. Otherwise, this would be an open redirect (RFC 9700 4.11).
    """
    if len(path) > MAX_RETURN_PATH or not path.startswith("/") or path.startswith("//"):
        return ""
    if "\\" in path or not path.isascii() or not path.isprintable():
        return ""
    return path
