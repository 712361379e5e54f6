"""Faulty responses: built instead of the real one, or made from it."""

from __future__ import annotations

import functools
import json as jsonlib
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, cast

from aiohttp import web
from attrs import frozen
from multidict import CIMultiDict

from twilio_oauth_async.emulator.messages.credentials import BASIC_CHALLENGE
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.response_formats import ResponseFormat, http_date

Garble = Literal[
    "empty",
    "invalid",
    "truncated",
    "bom",
    "bad_utf8",
    "nan",
    "duplicate",
    "deep",
    "huge_number",
    "surrogate",
    "list",
    "string",
    "null",
]
Signer = Literal["emulator", "other_key", "hmac", "none"]

_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request", "The request is malformed."),
    401: ("invalid_client", "Authenticate"),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is nothing at this path."),
    429: ("too_many_requests", "Too many concurrent requests"),
    503: ("temporarily_unavailable", "The service is unavailable."),
}
_KNOWN_STATUSES = frozenset(HTTPStatus)
_DEPTH = 100_000
"""Levels of nesting."""
_DIGITS = 5_000
"""More than `int` parses by default (4300)."""


@frozen
class Forgery:
    """Changes to an ID token, and how the changed token is signed. `SigningKeys.forge` applies them."""

    claims: Mapping[str, Any]
    omit: tuple[str, ...]
    header: Mapping[str, Any]
    signed_by: Signer


def build(
    response_format: ResponseFormat,
    status: int,
    *,
    json: Any,
    text: str | None,
    body: bytes | None,
    content_type: str | None,
    headers: Mapping[str, str] | None,
    retry_after: float | str | datetime | None,
) -> web.Response:
    """Return the response that the arguments of `Fault.respond` describe."""
    if body is None and text is not None:
        body, content_type = text.encode("utf-8", "surrogatepass"), content_type or "text/plain"
    if body is None and status == HTTPStatus.NO_CONTENT:
        body = b""
    if body is None:
        if json is ...:
            code, description = _ERRORS.get(status, ("server_error", "An internal error occurred."))
            challenge = BASIC_CHALLENGE if status == HTTPStatus.UNAUTHORIZED else None
            json = response_format.error(ErrorResponse(code, description, status=status, challenge=challenge))
        body = jsonlib.dumps(json).encode("ascii")
    # Not the argument content_type: aiohttp allows neither a charset in it nor a Content-Type in `headers` beside it.
    given = CIMultiDict(headers or {})
    if content_type is not None:
        given["Content-Type"] = content_type
    given.setdefault("Content-Type", "application/json")
    response = web.Response(body=body, status=status, headers=given)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers.setdefault("WWW-Authenticate", BASIC_CHALLENGE)  # RFC 9110 15.5.2: required
    if retry_after is not None:
        response.headers["Retry-After"] = _retry_after(retry_after)
    return response


def error(response_format: ResponseFormat, code: str, status: int, description: str) -> web.Response:
    """Return an error response."""
    body = response_format.error(ErrorResponse(code, description, status=status))
    return web.Response(body=jsonlib.dumps(body).encode("ascii"), status=status, content_type="application/json")


def throttled(response_format: ResponseFormat, until: datetime, status: int) -> web.Response:
    """Return an error response that says until when requests are refused."""
    description = "Too many requests; see throttled_until."
    body = response_format.error(ErrorResponse("too_many_requests", description, status=status))
    body["throttled_until"] = until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return web.Response(body=jsonlib.dumps(body).encode("ascii"), status=status, content_type="application/json")


def html(status: int) -> web.Response:
    """Return an HTML page as a proxy sends it."""
    reason = HTTPStatus(status).phrase if status in _KNOWN_STATUSES else "Unknown"
    page = f"<html><head><title>{status} {reason}</title></head><body><h1>{reason}</h1></body></html>"
    return web.Response(text=page, status=status, content_type="text/html")


def redirect(location: str, status: int) -> web.Response:
    """Return a redirect."""
    return web.Response(status=status, headers={"Location": location})


def change(response: web.Response, members: Mapping[str, Any]) -> None:
    """Set members of the JSON object in the body. A body that is not a JSON object is not changed."""
    content = _object(response)
    if content is None:
        return
    for name, value in members.items():
        content[name] = value(content.get(name)) if callable(value) else value
    response.body = jsonlib.dumps(content).encode("ascii")


def omit(response: web.Response, names: tuple[str, ...]) -> None:
    """Remove members of the JSON object in the body. A body that is not a JSON object is not changed."""
    content = _object(response)
    if content is not None:
        response.body = jsonlib.dumps({k: v for k, v in content.items() if k not in names}).encode("ascii")


def header(response: web.Response, name: str, value: str | None) -> None:
    """Set a header, or remove it if `value` is None."""
    response.headers.pop(name, None)
    if value is not None:
        response.headers[name] = value


def pad(response: web.Response, size: int) -> None:
    """Extend the JSON object in the body to `size` bytes, unless it is longer already."""
    missing = size - len(_body(response)) - len(', "padding": ""')
    change(response, {"padding": "x" * max(missing, 0)})


def garble(response: web.Response, how: Garble) -> None:
    """Corrupt the JSON object in the body."""
    body = _body(response)
    if how in {"empty", "list", "string", "null"}:
        whole = {"empty": b"", "list": b"[%s]" % body, "string": b'"text"', "null": b"null"}
        response.body = whole[how]
    elif how == "truncated":
        response.body = body[: len(body) // 2]
    elif how == "invalid":
        response.body = body.rstrip()[:-1] + b",}"
    elif how == "bom":
        response.body = b"\xef\xbb\xbf" + body
    elif how == "duplicate":
        response.body = _with_member(body, next(iter(_object(response) or {"extra": 0})), b"null")
    else:
        values: Mapping[str, bytes] = {
            "bad_utf8": b'"\xff\xfe"',
            "nan": b"NaN",
            "deep": b"[" * _DEPTH + b"]" * _DEPTH,
            "huge_number": b"9" * _DIGITS,
            "surrogate": b'"\\ud800"',
        }
        response.body = _with_member(body, "extra", values[how])


def gzip_bomb(response: web.Response, size: int) -> None:
    """Replace the body with a few kilobytes of gzip that decompress to `size` bytes."""
    response.body = _bomb(size)
    response.headers["Content-Encoding"] = "gzip"


@functools.lru_cache(maxsize=4)
def _bomb(size: int) -> bytes:
    compressor = zlib.compressobj(level=9, wbits=31)
    parts = [compressor.compress(b'{"padding": "')]
    step = b"x" * (1 << 20)
    parts += [compressor.compress(step) for _ in range(size // len(step))]
    parts += [compressor.compress(step[: size % len(step)]), compressor.compress(b'"}'), compressor.flush()]
    return b"".join(parts)


def _retry_after(value: float | str | datetime) -> str:
    if isinstance(value, datetime):
        return http_date(value)  # RFC 9110 10.2.3
    return str(value)


def _with_member(body: bytes, name: str, value: bytes) -> bytes:
    """Return a JSON object with one more member, assembled as bytes, because a JSON library cannot write `value`."""
    return body.rstrip()[:-1] + b", " + jsonlib.dumps(name).encode("ascii") + b": " + value + b"}"


def _body(response: web.Response) -> bytes:
    return response.body if isinstance(response.body, bytes) else b""


def _object(response: web.Response) -> dict[str, Any] | None:
    try:
        content: Any = jsonlib.loads(_body(response))
    except (ValueError, RecursionError):  # an earlier edit corrupted it
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None
