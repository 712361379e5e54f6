"""`Visitor`: who uses the pages, and the cookie by which the site recognizes a browser. Pure but for random secrets."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final, Self

import attrs

COOKIE_AGE: Final = 30 * 86_400
"""Seconds for which a browser keeps the cookie of a visitor."""

_COOKIE = re.compile(r"([\w-]{43})?\.([\w-]{0,64})", re.ASCII)


@attrs.frozen
class Visitor:
    """A browser with a secret of its own, or a user of the host application.

    A browser is identified by its secret only: a `SignIn.id`, or what is stored, gives no access.
    """

    key: str
    """The user under whose key the token is stored. Of a browser it is a hash of the secret, so that neither the store
    nor the log reveals the cookie."""
    csrf: str = attrs.field(repr=False)
    """The CSRF token in each form, which pages of other sites cannot know."""
    secret: str = attrs.field(default="", repr=False)
    """The secret of the browser; empty if the host application identifies the user."""
    sign_in: str = ""
    """The `SignIn.id` that this browser has started last."""

    @classmethod
    def new(cls, secret: str | None = None) -> Self:
        """Return a browser with a new secret: `secret`, or a random one."""
        return cls._of_browser(secret or secrets.token_urlsafe(32), "")

    @classmethod
    def from_cookie(cls, cookie: str | None) -> Self | None:
        """Return the browser that has this cookie; None if the cookie is missing or is not one of ours."""
        found = _COOKIE.fullmatch(cookie or "")
        return cls._of_browser(found[1], found[2]) if found is not None and found[1] else None

    @classmethod
    def of_user(cls, user: str, site_key: bytes, cookie: str | None) -> Self:
        """Return a user of the host application.

        Args:
            user: the user, as the host application identifies it.
            site_key: the key of the site, from which the CSRF token is derived.
            cookie: the cookie of the browser, which holds only the id of its last sign-in.
        """
        found = _COOKIE.fullmatch(cookie or "")
        csrf = hmac.digest(site_key, b"csrf:" + user.encode("utf-8", "surrogatepass"), "sha256").hex()
        return cls(user, csrf, "", found[2] if found is not None else "")

    @classmethod
    def _of_browser(cls, secret: str, sign_in: str) -> Self:
        csrf = hmac.digest(secret.encode(), b"csrf", "sha256").hex()
        return cls(hashlib.sha256(secret.encode()).hexdigest(), csrf, secret, sign_in)

    @property
    def cookie(self) -> str:
        """The value of the cookie."""
        return f"{self.secret}.{self.sign_in}"

    def with_sign_in(self, sign_in: str) -> Visitor:
        """Return the same visitor with another last sign-in."""
        return attrs.evolve(self, sign_in=sign_in)

    def renewed(self, secret: str | None = None) -> Visitor:
        """Return the visitor after a sign-in was started or completed, or after the sign-out; it has no last sign-in.

        A browser gets a new secret: a secret that an attacker has planted or stolen gets no access to what follows
        (session fixation).

        Args:
            secret: the new secret; None: a random one.
        """
        return Visitor.new(secret) if self.secret else self.with_sign_in("")

    def has_csrf(self, csrf: str) -> bool:
        """Return whether `csrf` is the CSRF token of this visitor. The comparison takes constant time."""
        return hmac.compare_digest(csrf.encode("utf-8", "surrogatepass"), self.csrf.encode())
