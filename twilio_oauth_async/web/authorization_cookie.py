"""`RequestCipher`: the authorization request of a sign-in in the browser, encrypted for a cookie.

So every process that has the key can complete the sign-in, and nothing has to be kept on the server. The cookie
contains the code verifier, which not even the browser must see (RFC 7636 7.1).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.authorization_request import PendingAuthorization
from twilio_oauth_async.web.cookies import REQUEST_AGE

_NONCE = 12
"""Bytes (NIST SP 800-38D 5.2.1.1)."""


MAX_SKEW = 60.0
"""Seconds by which the clock of the process that has made a cookie may be ahead."""


@attrs.frozen(kw_only=True)
class RequestInCookie:
    """An authorization request that waits for its callback, and what belongs to it."""

    pending: PendingAuthorization
    visitor: str
    """`Visitor.key` of the browser that has started it."""
    next: str
    """The path to which the browser returns."""
    started_at: datetime


class RequestCipher:
    """Encrypts and authenticates with AES-256-GCM."""

    def __init__(self, site_key: bytes, cookie: str) -> None:
        """Create it.

        Args:
            site_key: the key of the site, the same in every process.
            cookie: the name of the site's cookies: a value of another site is refused.

        Raises:
            MissingExtraError: cryptography is not installed.
        """
        with from_extra("web", "cryptography"):
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        self._site_key = site_key
        self._cipher = AESGCM(hmac.digest(site_key, b"authorization request", "sha256"))
        self._cookie = cookie.encode()

    def visitor_secret(self, state: str, callback_url: str) -> str:
        """Return the secret of the visitor who signs in with this callback: only who has the code can repeat it."""
        digest = hmac.digest(self._site_key, f"visitor:{state}:{callback_url}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def encrypt(self, kept: RequestInCookie) -> str:
        """Return the value of the cookie."""
        values = [kept.pending.to_json(), kept.visitor, kept.next, kept.started_at.timestamp()]
        nonce = secrets.token_bytes(_NONCE)
        encrypted = self._cipher.encrypt(nonce, json.dumps(values).encode(), self._cookie)
        return base64.urlsafe_b64encode(nonce + encrypted).decode().rstrip("=")

    def decrypt(self, value: str, now: datetime) -> RequestInCookie | None:
        """Return the request in the cookie; None if it is not from this site, was changed, or is too old."""
        from cryptography.exceptions import InvalidTag

        try:
            # An altered character at the end may not alter the bytes; that is harmless.
            raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
            values: list[Any] = json.loads(self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], self._cookie))
            pending, visitor, next_, started = values
            kept = RequestInCookie(
                pending=PendingAuthorization.from_json(cast("str", pending)),
                visitor=visitor,
                next=next_,
                started_at=datetime.fromtimestamp(started, UTC),
            )
        except (InvalidTag, binascii.Error, ValueError, TypeError, ConfigurationError):
            return None
        # The clocks of two processes may differ a little.
        return kept if -MAX_SKEW <= (now - kept.started_at).total_seconds() <= REQUEST_AGE else None
