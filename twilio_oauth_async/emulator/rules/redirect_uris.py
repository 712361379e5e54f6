"""Redirect URIs: checks at registration, and comparison with the one of a request (RFC 6749 3.1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.model import App

_URI = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+", re.ASCII)
"""RFC 3986 2: the characters of a URI, without the # of a fragment."""
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]"})


def validate_redirect_uris(uris: Iterable[str] | None) -> tuple[str, ...] | None:
    """Check and return the redirect URIs that a new app registers (RFC 6749 3.1.2); None: it registers none.

    Raises:
        ValueError: a URI is not absolute, has a fragment, or has characters that are not allowed in a URI.
    """
    if uris is None:
        return None
    registered = tuple(uris)
    for uri in registered:
        if not _is_absolute(uri):
            raise ValueError("a redirect URI must be an absolute URI without a fragment")
    return registered


def _is_absolute(uri: str) -> bool:
    if not _URI.fullmatch(uri):
        return False
    try:
        parts = urlsplit(uri)
    except ValueError:  # unbalanced brackets
        return False
    return bool(parts.scheme and (parts.netloc or parts.path))


def check_redirect_uri(app: App, given: str | None) -> str:
    """Return the redirect URI of an authorization request: `given`, or the only one that `app` registered.

    Raises:
        ErrorResponse: ``invalid_request``: the redirect URI is missing or not registered.
    """
    if given is None:
        if app.redirect_uris is not None and len(app.redirect_uris) == 1:
            return app.redirect_uris[0]  # RFC 6749 3.1.2.3: may be omitted if exactly one is registered
        raise ErrorResponse("invalid_request", "The parameter redirect_uri is missing.")
    if app.redirect_uris is None:
        allowed = _loopback_without_port(given) is not None
    else:
        loopback = _loopback_without_port(given)
        allowed = given in app.redirect_uris or (
            # RFC 8252 7.3: the client chooses the port of a loopback URI for each request.
            loopback is not None and loopback in map(_loopback_without_port, app.redirect_uris)
        )
    if not allowed:
        raise ErrorResponse("invalid_request", "The redirect URI is not registered for this client.")
    return given


def _loopback_without_port(uri: str) -> str | None:
    """Return `uri` without its port if it is plain HTTP to a loopback address, else None."""
    if not uri.isprintable() or set(uri) & set(' \\"<>'):
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    host = parts.netloc if port is None else parts.netloc.removesuffix(f":{port}")
    if parts.scheme != "http" or host not in _LOOPBACK_HOSTS or parts.fragment:
        return None
    return urlunsplit(parts._replace(netloc=host))
