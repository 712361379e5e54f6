"""`Cookies`: the names and the attributes of the cookies of one site. Pure."""

from __future__ import annotations

import hashlib
from urllib.parse import SplitResult

from twilio_oauth_async.web.visitors import COOKIE_AGE

REQUEST_SLOTS = 3
"""Sign-ins at Twilio that one browser may have begun at the same time, for example in several tabs."""

REQUEST_AGE = 600
"""Seconds in which the browser must return from Twilio. Authorization codes live for five minutes at most."""


class Cookies:
    """Cookies of one site. Sites of one host have cookies of different names, because browsers share them."""

    def __init__(self, url: SplitResult) -> None:
        """Create it for the site with this public URL."""
        self._is_https = url.scheme == "https"
        # The __Host- prefix keeps subdomains and plain http from setting a cookie of this name. It needs https, and
        # Path=/; so the name and not the path tells the sites of one host apart (RFC 6265bis 4.1.3.2).
        prefix = "__Host-" if self._is_https else ""
        site = hashlib.sha256(url.geturl().encode()).hexdigest()[:8]
        self.visitor: str = f"{prefix}twilio-sign-in-{site}"
        self.requests: tuple[str, ...] = tuple(f"{self.visitor}-{slot}" for slot in range(REQUEST_SLOTS))

    def set_visitor(self, value: str) -> tuple[str, str]:
        """Return the header that sets the cookie of a visitor."""
        return self._set(self.visitor, value, COOKIE_AGE)

    def set_request(self, name: str, value: str) -> tuple[str, str]:
        """Return the header that sets one of `requests`."""
        return self._set(name, value, REQUEST_AGE)

    def delete(self, name: str) -> tuple[str, str]:
        """Return the header that deletes a cookie."""
        return self._set(name, "", 0)

    def _set(self, name: str, value: str, seconds: int) -> tuple[str, str]:
        secure = "; Secure" if self._is_https else ""
        # Lax: the browser must send it when Twilio redirects to the callback.
        return ("Set-Cookie", f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
