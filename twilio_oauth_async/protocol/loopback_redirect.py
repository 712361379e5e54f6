"""Redirect URIs on 127.0.0.1: the port, and whether a request to the listener is for one (RFC 8252 7.3). Pure.

A redirect URI is sent as it was given: servers compare it character by character (RFC 9700 2.1).
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

HOST = "127.0.0.1"

_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")


def port_of(redirect_uri: str) -> int | None:
    """Return the port of a redirect URI; 0: it names none, and a free one can be chosen.

    Returns:
        None: it is not an ``http`` URI with the host 127.0.0.1, or has a user.
    """
    parts = urlsplit(redirect_uri)
    host, colon, port = parts.netloc.partition(":")
    if parts.scheme != "http" or host != HOST or (colon and port and not (port.isascii() and port.isdigit())):
        return None
    return int(port or 0)


def with_port(redirect_uri: str, port: int) -> str:
    """Return `redirect_uri` with `port` if it names none. Everything else stays as it was given."""
    if port_of(redirect_uri) != 0:
        return redirect_uri
    netloc = urlsplit(redirect_uri).netloc
    return redirect_uri.replace(netloc, f"{HOST}:{port}", 1)


def is_request_for(redirect_uri: str, target: str) -> bool:
    """Return whether a browser that was redirected to `redirect_uri` with more parameters sends a request for `target`.

    Args:
        redirect_uri: as it was given.
        target: path and query of the request, as they were received.
    """
    expected = urlsplit(redirect_uri)
    path, _, query = target.partition("?")
    if _as_sent(path) != _as_sent(expected.path or "/"):
        return False
    # RFC 6749 3.1.2: the query of the redirect URI is kept. Parameters of the response follow it.
    own = _as_sent(expected.query)
    return not own or (_as_sent(query) + "&").startswith(own + "&")


def _as_sent(text: str) -> str:
    """Return a path or query with the characters percent-encoded that no URI has, and no others.

    Browsers do that. Escapes of unreserved characters are equal to these characters (RFC 3986 6.2.2.2).
    """
    quoted = quote(text, safe="%/?:@!$&'()*+,;=-._~")
    return _ESCAPE.sub(_normalized, quoted)


def _normalized(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character.isascii() and (character.isalnum() or character in "-._~") else escape[0].upper()
