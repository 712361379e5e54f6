"""Answers that a good server does not give."""

from __future__ import annotations

import functools
import json as jsonlib
import zlib
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Literal, cast

from aiohttp import web
from attrs import frozen
from multidict import CIMultiDict

from twilio_oauth_async.emulator.messages.credentials import BASIC_CHALLENGE
from twilio_oauth_async.emulator.messages.dialect import Dialect
from twilio_oauth_async.emulator.messages.refusal import RefusalError

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
Signer = Literal["emulator", "stranger", "hmac", "nobody"]

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
_DIGITS = 5_000


@frozen
class Forgery:
    """What to change about an id token, and who signs it then."""

    claims: Mapping[str, Any]
    omit: tuple[str, ...]
    header: Mapping[str, Any]
    signed_by: Signer


def answer(
    dialect: Dialect,
    status: int,
    *,
    json: Any,
    text: str | None,
    body: bytes | None,
    content_type: str | None,
    headers: Mapping[str, str] | None,
    retry_after: float | str | datetime | None,
) -> web.Response:
    """Make the answer that `Fault.answer` describes."""
    if body is None and text is not None:
        body, content_type = text.encode("utf-8", "surrogatepass"), content_type or "text/plain"
    if body is None and status == HTTPStatus.NO_CONTENT:
        body = b""
    if body is None:
        if json is ...:
            code, description = _ERRORS.get(status, ("server_error", "Something went wrong."))
            challenge = BASIC_CHALLENGE if status == HTTPStatus.UNAUTHORIZED else None
            json = dialect.error(RefusalError(code, description, status=status, challenge=challenge))
        body = jsonlib.dumps(json).encode("ascii")
    # As a header and not as aiohttp's argument, which takes neither a charset nor a second opinion in `headers`.
    given = CIMultiDict(headers or {})
    if content_type is not None:
        given["Content-Type"] = content_type
    given.setdefault("Content-Type", "application/json")
    made = web.Response(body=body, status=status, headers=given)
    if status == HTTPStatus.UNAUTHORIZED:
        made.headers.setdefault("WWW-Authenticate", BASIC_CHALLENGE)  # RFC 9110 15.5.2: there must be one
    if retry_after is not None:
        made.headers["Retry-After"] = _retry_after(retry_after)
    return made


def error(dialect: Dialect, code: str, status: int, description: str) -> web.Response:
    """Make a refusal."""
    body = dialect.error(RefusalError(code, description, status=status))
    return web.Response(body=jsonlib.dumps(body).encode("ascii"), status=status, content_type="application/json")


def html(status: int) -> web.Response:
    """Make the page of a proxy."""
    reason = HTTPStatus(status).phrase if status in _KNOWN_STATUSES else "Unknown"
    page = f"<html><head><title>{status} {reason}</title></head><body><h1>{reason}</h1></body></html>"
    return web.Response(text=page, status=status, content_type="text/html")


def redirect(location: str, status: int) -> web.Response:
    """Make a redirect."""
    return web.Response(status=status, headers={"Location": location})


def change(answer: web.Response, members: Mapping[str, Any]) -> None:
    """Set members of a JSON object; what is no JSON object stays as it is."""
    content = _object(answer)
    if content is None:
        return
    for name, value in members.items():
        content[name] = value(content.get(name)) if callable(value) else value
    answer.body = jsonlib.dumps(content).encode("ascii")


def omit(answer: web.Response, names: tuple[str, ...]) -> None:
    """Take members out of a JSON object; what is no JSON object stays as it is."""
    content = _object(answer)
    if content is not None:
        answer.body = jsonlib.dumps({k: v for k, v in content.items() if k not in names}).encode("ascii")


def header(answer: web.Response, name: str, value: str | None) -> None:
    """Set or take away a header."""
    answer.headers.pop(name, None)
    if value is not None:
        answer.headers[name] = value


def pad(answer: web.Response, size: int) -> None:
    """Make a JSON object `size` bytes long, or leave it where it is longer already."""
    missing = size - len(_body(answer)) - len(', "padding": ""')
    change(answer, {"padding": "x" * max(missing, 0)})


def garble(answer: web.Response, how: Garble) -> None:
    """Spoil a JSON object in one way."""
    body = _body(answer)
    if how in {"empty", "list", "string", "null"}:
        whole = {"empty": b"", "list": b"[%s]" % body, "string": b'"text"', "null": b"null"}
        answer.body = whole[how]
    elif how == "truncated":
        answer.body = body[: len(body) // 2]
    elif how == "invalid":
        answer.body = body.rstrip()[:-1] + b",}"
    elif how == "bom":
        answer.body = b"\xef\xbb\xbf" + body
    elif how == "duplicate":
        answer.body = _with_member(body, next(iter(_object(answer) or {"extra": 0})), b"null")
    else:
        values: Mapping[str, bytes] = {
            "bad_utf8": b'"\xff\xfe"',
            "nan": b"NaN",
            "deep": b"[" * _DEPTH + b"]" * _DEPTH,
            "huge_number": b"9" * _DIGITS,
            "surrogate": b'"\\ud800"',
        }
        answer.body = _with_member(body, "extra", values[how])


def gzip_bomb(answer: web.Response, size: int) -> None:
    """Replace the body by a small one that unpacks to `size` bytes."""
    answer.body = _bomb(size)
    answer.headers["Content-Encoding"] = "gzip"


@functools.lru_cache(maxsize=4)
def _bomb(size: int) -> bytes:
    packer = zlib.compressobj(level=9, wbits=31)
    parts = [packer.compress(b'{"padding": "')]
    step = b"x" * (1 << 20)
    parts += [packer.compress(step) for _ in range(size // len(step))]
    parts += [packer.compress(step[: size % len(step)]), packer.compress(b'"}'), packer.flush()]
    return b"".join(parts)


def _retry_after(value: float | str | datetime) -> str:
    if isinstance(value, datetime):
        return format_datetime(value, usegmt=True)  # RFC 9110 10.2.3
    return str(value)


def _with_member(body: bytes, name: str, value: bytes) -> bytes:
    """Add a member to a JSON object, written out by hand because no JSON library would write it."""
    return body.rstrip()[:-1] + b", " + jsonlib.dumps(name).encode("ascii") + b": " + value + b"}"


def _body(answer: web.Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b""


def _object(answer: web.Response) -> dict[str, Any] | None:
    try:
        content: Any = jsonlib.loads(_body(answer))
    except (ValueError, RecursionError):  # it was garbled before
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None
