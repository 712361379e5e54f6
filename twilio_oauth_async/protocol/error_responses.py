"""Parse error responses in every format that Twilio is known to use.

The formats are RFC 6749 5.2 (``error``), Twilio's classic body (``code``, ``message``, ``more_info``, ``status``),
RFC 9457 (``title``, ``detail``, ``status``) and a list (``errors``). Twilio does not document which format its
server uses for a pending device grant. So every member that may contain the OAuth error code is searched.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any, cast

from twilio_oauth_async.errors import (
    AccessDeniedError,
    ApiError,
    AuthorizationPendingError,
    DeviceCodeExpiredError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SlowDownError,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
)
from twilio_oauth_async.protocol import codec, strict_json
from twilio_oauth_async.protocol.messages import Context, Response
from twilio_oauth_async.protocol.retry_after import read_retry_after, read_throttled_until
from twilio_oauth_async.protocol.sanitization import clean
from twilio_oauth_async.protocol.server_time import shift

_BY_ERROR: dict[str, type[ApiError]] = {
    "invalid_request": InvalidRequestError,  # RFC 6749 5.2, also the next five
    "invalid_client": InvalidClientError,
    "invalid_grant": InvalidGrantError,
    "unauthorized_client": UnauthorizedClientError,
    "unsupported_grant_type": UnsupportedGrantTypeError,
    "invalid_scope": InvalidScopeError,
    "authorization_pending": AuthorizationPendingError,  # RFC 8628 3.5, also the next three
    "slow_down": SlowDownError,
    "access_denied": AccessDeniedError,
    "expired_token": DeviceCodeExpiredError,
}

_BY_TWILIO_CODE: dict[int, type[ApiError]] = {
    20001: InvalidRequestError,
    20003: InvalidClientError,  # "Authenticate"
    20429: RateLimitedError,
    70051: InvalidScopeError,
    321401: InvalidClientError,
    321402: InvalidClientError,  # empty client id
    321403: UnsupportedGrantTypeError,
    321405: InvalidClientError,  # empty client secret
    322402: InvalidClientError,
    322403: InvalidRequestError,
}


_PENDING = "authorization_pending"
_MAX_PENDING_LENGTH = 512
"""Bytes. Only the results of short bodies are kept."""

_DESCRIPTIONS = ("error_description", "message", "detail", "title", "user_error")
_MORE_INFO = ("more_info", "error_uri", "type")
"""Members with the text of an error, the preferred one first."""


class Unreadable(Exception):  # noqa: N818 - describes the body
    """The body cannot be read as a JSON object. Used only inside this folder."""


def read_object(response: Response) -> dict[str, object]:
    """Return the JSON object in the body.

    Raises:
        Unreadable: the media type or the charset is wrong, or the body is not a JSON object.
    """
    media_type, charset = _content_type(response)
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise Unreadable("the content type is not JSON")
    if charset not in {"", "utf-8", "utf8", "us-ascii"}:
        # RFC 8259 8.1: JSON between systems is UTF-8.
        raise Unreadable("the charset is not UTF-8")
    if not response.body:
        raise Unreadable("the body is empty")
    reason: str | None = None
    value: object = None
    try:
        value = strict_json.decode_json(response.body)
    except strict_json.Malformed as error:
        reason = str(error)
    if reason is not None:
        raise Unreadable(reason)
    if not isinstance(value, dict):
        raise Unreadable("not a JSON object")
    return cast("dict[str, object]", value)


def protocol_error(response: Response, reason: str, context: Context) -> ProtocolError:
    """Return a `ProtocolError` that describes the response without quoting its body."""
    return ProtocolError(
        reason,
        status=response.status,
        content_type=clean(_content_type(response)[0], context.sent, max_length=80) or None,
        length=len(response.body),
        request_id=_request_id(response, context),
    )


def read_error(response: Response, context: Context) -> ApiError | ProtocolError:
    """Return the error that an unsuccessful response describes.

    For 5xx and 429 the status is enough, because gateways send them with pages of their own. For any other status the
    result is a `ProtocolError` if the body is not a JSON object. A redirect (3xx) is always a `ProtocolError`.
    """
    if 300 <= response.status < 400:
        return protocol_error(response, "redirects are not followed", context)
    reason: str | None = None
    body: dict[str, object] = {}
    try:
        body = read_object(response)
    except Unreadable as error:
        reason = str(error)
    if reason is not None and response.status != 429 and response.status < 500:
        return protocol_error(response, reason, context)
    return error_from_body(response, body, context)


def read_pending(response: Response) -> AuthorizationPendingError | None:
    """Return the error of a response that says only that the user has not decided yet; None for any other response.

    The error has no texts. Nearly all polls of a device flow have such a response, nothing reads its texts, and to make
    them safe takes longer than all other work on it.
    """
    headers = response.headers
    if response.status != 400 or headers.get("Content-Type") != "application/json" or "Retry-After" in headers:
        return None
    if len(response.body) > _MAX_PENDING_LENGTH or not _says_only_pending(response.body):
        return None
    return AuthorizationPendingError(status=400, error=_PENDING)


@functools.lru_cache(maxsize=4)
def _says_only_pending(body: bytes) -> bool:
    """Parse a body strictly. A server sends the same bytes to each pending poll, and the same bytes mean the same."""
    try:
        value = strict_json.decode_json(body)
    except strict_json.Malformed:
        return False
    if not isinstance(value, dict):
        return False
    members = cast("dict[str, object]", value)
    # The other two members could change the meaning.
    return members.get("error") == _PENDING and "errors" not in members and "throttled_until" not in members


def error_from_body(response: Response, body: Mapping[str, object], context: Context) -> ApiError:
    """Return the `ApiError` that `body` describes.

    A 5xx status always gives a `ServerError`. For any other status the class depends on the OAuth error code; if that
    is absent or unknown, on the Twilio code; then on the status 429. A request with ``throttled_until`` was not
    processed, whatever else the body says.
    """
    details = _details(body)
    error = _oauth_code(details)
    code = _twilio_code(details)
    retry_after, is_throttled = _waits(response, details, context)
    by_status = RateLimitedError if response.status == 429 else ApiError
    kind = _BY_ERROR.get(error or "") or _BY_TWILIO_CODE.get(code or 0) or by_status
    if is_throttled and kind not in {AuthorizationPendingError, SlowDownError}:
        kind = RateLimitedError
    if response.status >= 500:
        kind = ServerError
    raw_error = details.get("error")
    if error is None and isinstance(raw_error, str):
        error = clean(raw_error, context.sent, max_length=80)
    built = kind(
        status=response.status,
        error=error,
        code=code,
        description=_first_text(details, _DESCRIPTIONS, context),
        more_info=_first_text(details, _MORE_INFO, context),
        request_id=_request_id(response, context),
        retry_after=retry_after,
    )
    if isinstance(built, SlowDownError):
        interval = codec.read_number(details.get("interval"))
        built.interval = interval if interval is not None and 0 < interval < math.inf else None
    return built


def _waits(response: Response, details: Mapping[str, object], context: Context) -> tuple[float | None, bool]:
    """Return the longest time in seconds that the response asks to wait, and whether it has ``throttled_until``."""
    header, until = response.headers.get("Retry-After"), details.get("throttled_until")
    if header is None and until is None:
        return None, False
    server_now = shift(context.now, context.clock_skew)
    waits = [read_retry_after(header, server_now), throttled := read_throttled_until(until, server_now)]
    return max((wait for wait in waits if wait is not None), default=None), throttled is not None


def _first_text(details: Mapping[str, object], names: tuple[str, ...], context: Context) -> str | None:
    for name in names:
        value = details.get(name)
        if isinstance(value, str) and value:
            return clean(value, context.sent)
    return None


def describes_error(body: Mapping[str, object]) -> bool:
    """Return whether a body without a token describes an error. The status is not considered."""
    details = _details(body)
    return _oauth_code(details) is not None or "error" in details or _twilio_code(details) is not None


def _details(body: Mapping[str, object]) -> Mapping[str, object]:
    """Return the members that describe the error, including those of the first item of ``errors`` or of ``error``."""
    errors = body.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return {**body, **cast("dict[str, Any]", errors[0])}
    nested = body.get("error")
    if isinstance(nested, dict):
        return {**body, "error": None, **cast("dict[str, Any]", nested)}
    return body


def _oauth_code(details: Mapping[str, object]) -> str | None:
    """Return the error code of RFC 6749 or RFC 8628 in the first member that has one; "Slow Down" is ``slow_down``."""
    for name in ("error", "code", "message", "title", "detail"):
        value = details.get(name)
        if isinstance(value, str) and len(value) <= 40:
            if value in _BY_ERROR:
                return value
            code = value.strip(" .").lower().replace(" ", "_").replace("-", "_")
            if code in _BY_ERROR:
                return code
    return None


def _twilio_code(details: Mapping[str, object]) -> int | None:
    value = details.get("code")
    number = None if value is None else codec.read_number(value)
    if number is None or number != int(number) or not 0 < number < 10_000_000:
        return None
    return int(number)


def _content_type(response: Response) -> tuple[str, str]:
    """Return media type and charset in lower case; each is empty if absent."""
    value = response.headers.get("Content-Type", "")
    if value == "application/json":  # nearly always
        return value, ""
    media_type, *parameters = value.split(";")
    charset = ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return media_type.strip().lower(), charset


def _request_id(response: Response, context: Context) -> str | None:
    value = response.headers.get("Twilio-Request-Id")
    return clean(value, context.sent, max_length=64) if value else None
