"""A request and its answer as plain values: what the pure floor builds and reads, and the transport carries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from twilio_oauth_async.protocol.serializable import Secretive


@attrs.frozen(kw_only=True)
class Request(Secretive):
    """One HTTP request to the authorization server.

    Secrets stand in `body` or `headers`, never in `path` or `query` (RFC 6749 2.3.1).
    """

    method: str
    path: str
    """Below the base URL, beginning with a slash."""
    url: str | None = None
    """An endpoint that discovery named and that was found trustworthy, in place of base URL and path."""
    query: str = ""
    """Encoded, without the question mark."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    """Those that belong to this endpoint; an ``Authorization`` here goes before the session's own."""
    body: bytes | None = attrs.field(default=None, repr=False)
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Values in it that must not come back in an error's text."""
    with_account: bool = True
    """The session's own credentials go along."""
    repeatable: bool
    """Asking twice harms nobody: it may be sent again after a fault."""
    fresh_connection: bool = False
    """It carries something that can be used once: not over a connection that may be dying of idleness."""


@attrs.frozen(kw_only=True)
class Response(Secretive):
    """One HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Names in any case, looked up without regard to it."""
    body: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Context(Secretive):
    """What reading an answer takes besides the answer."""

    now: datetime
    """When it was received: aware, UTC."""
    base_url: str
    """Without a trailing slash."""
    sent: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Secrets that went out with the request; masked wherever the server repeats them."""
