"""Requests and responses of the site, without a web framework: the modules named after one translate them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import attrs

MAX_BODY = 16 * 1024
"""Bytes. A form of the site has less than one KiB, unless the path to return to is long."""

MAX_FIELDS = 20
"""Fields in a form or a query."""


def _normal_path(path: str) -> str:
    return "/" + path.strip("/")


@attrs.frozen(kw_only=True)
class Request:
    """A request to the site."""

    method: str
    path: str = attrs.field(converter=_normal_path)
    """Below the path at which the site is mounted, for example ``/connect``. A slash at its end, which Litestar adds,
    is removed."""
    query: str = attrs.field(repr=False)
    """The query string, as it was sent."""
    headers: Mapping[str, str] = attrs.field(repr=False)
    """Their names are in lower case, or compare without regard to case."""
    cookies: Mapping[str, str] = attrs.field(repr=False)
    address: str
    """The address of the client, or of the proxy before the server; empty if it is not known."""
    host_request: Any = attrs.field(repr=False)
    """The request object of the web framework, for functions of the application."""
    read_body: Callable[[int], Awaitable[bytes | None]] = attrs.field(repr=False)
    """Reads the body, at most so many bytes; None: it is longer."""

    def parameter(self, name: str) -> str:
        """Return a parameter of the query; empty if it is missing or there are too many parameters."""
        return _fields(self.query).get(name, "")

    async def form(self) -> dict[str, str] | None:
        """Return the fields of a form in the body; None if the body is too long.

        Of a repeated field, the first counts.
        """
        body = await self.read_body(MAX_BODY)
        return None if body is None else _fields(body.decode("ascii", "replace"))


def _fields(encoded: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(pairs))


@attrs.frozen(kw_only=True)
class Response:
    """A response of the site: a page, a file or a redirect."""

    status: int = HTTPStatus.OK
    content_type: str = "text/html; charset=utf-8"
    body: bytes = attrs.field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    """Further headers; ``Set-Cookie`` may occur several times."""

    def with_headers(self, *headers: tuple[str, str]) -> Response:
        """Return this response with further headers."""
        return attrs.evolve(self, headers=(*self.headers, *headers))


@attrs.frozen(kw_only=True)
class EventStream:
    """A response of server-sent events: its chunks are sent as they come, until they end."""

    chunks: AsyncGenerator[bytes]
    headers: tuple[tuple[str, str], ...] = ()

    def with_headers(self, *headers: tuple[str, str]) -> EventStream:
        """Return this stream with further headers."""
        return attrs.evolve(self, headers=(*self.headers, *headers))


def redirect(url: str) -> Response:
    """Redirect the browser with GET (303), so that reloading the next page does not send a form again."""
    return Response(status=HTTPStatus.SEE_OTHER, headers=(("Location", url),))
