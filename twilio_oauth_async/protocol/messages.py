"""HTTP request and response as plain values: `Request`, `Response`, and the `Context` for parsing.

The functions of this folder build requests and parse responses; the transport in `client` sends and receives them.
Nothing changes these values. Those of one response are not frozen: attrs takes twice as long to create a frozen object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

import attrs

from twilio_oauth_async.protocol.serializable import HoldsSecrets


@attrs.frozen(kw_only=True)
class Request(HoldsSecrets):
    """An HTTP request to the authorization server.

    Secrets are in `body` or `headers`, never in `path` or `query` (RFC 6749 2.3.1).
    """

    method: str
    path: str
    """Relative to the base URL; starts with a slash."""
    url: str | None = None
    """A validated endpoint from the discovery document, used instead of base URL, `path` and `query`."""
    query: str = ""
    """Encoded, without the question mark."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    """Headers of this endpoint. An ``Authorization`` header here replaces the session's own."""
    body: bytes | None = attrs.field(default=None, repr=False)
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Secret values of the request; they are masked in the text of errors."""
    with_account: bool = True
    """Send the session's own credentials."""
    repeatable: bool
    """The request can be sent again after a failure without harm."""
    is_poll: bool = False
    """A poll of a device code: there may be thousands of them, and another one follows (RFC 8628 3.5)."""
    fresh_connection: bool = False
    """Use a new connection: the request contains a value that can be used only once, and the server may close an idle
    connection at any time."""
    on_sent: Callable[[], None] | None = attrs.field(default=None, repr=False, eq=False)
    """Is called when the server may have received a part of the request, which has a body. Until then nothing is lost
    if the caller is cancelled."""


@attrs.define(kw_only=True)
class Response(HoldsSecrets):
    """An HTTP response with its complete body."""

    status: int
    headers: Mapping[str, str] = attrs.field(repr=False)
    """A case-insensitive mapping."""
    body: bytes = attrs.field(repr=False)


@attrs.define(kw_only=True)
class Context(HoldsSecrets):
    """Values other than the response that a parse function needs."""

    now: datetime
    """Local time at which the response was received: aware, UTC."""
    clock_skew: float = 0.0
    """Seconds: the server's time minus the local time. Dates in the response are in the server's time."""
    base_url: str
    """Without a trailing slash."""
    sent: tuple[str, ...] = attrs.field(default=(), repr=False)
    """Secrets of the request; they are masked wherever the server repeats them."""
