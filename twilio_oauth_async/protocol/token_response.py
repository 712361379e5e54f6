"""Successful token responses (2xx), read leniently: the members of `Token` in any form that is safe to use.

When such a response arrives, the server has already used the code or rotated the refresh token. A client that rejects
it because of an optional member loses the sign-in of the user (fault 46). So the token is used, and what was ignored or
changed is logged, once for each kind, by its name and never with its value.

These stay errors, because the token itself or a security decision is concerned:

- ``access_token``: missing, not a string, with a character that would end the header (RFC 6750 2.1), or repeated with
  different values.
- ``token_type``: any type other than Bearer (RFC 6749 7.1), a value that is not a string, or repeated with different
  values.
- a body that is not UTF-8. The end of a string may be elsewhere in another charset.
- the limits of size, depth and length of numbers.

Every other response is read strictly: a 2xx without a usable ``access_token``, and every error response.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import cast

from twilio_oauth_async.protocol import codec, strict_json
from twilio_oauth_async.protocol.error_responses import Unreadable, read_object
from twilio_oauth_async.protocol.messages import Response
from twilio_oauth_async.protocol.parameters import is_printable_ascii, is_visible_ascii
from twilio_oauth_async.protocol.response_parsing import check_text
from twilio_oauth_async.protocol.server_time import shift

MAX_EXPIRES_IN = 10 * 365 * 86_400
"""Seconds. An ``expires_in`` of more than ten years is treated as a mistake: the expiry is unknown."""

_IGNORED = "not usable, treated as absent"
_EXPIRY_UNKNOWN = "the expiry is not usable, treated as absent"

_log = logging.getLogger(__name__)
_logged: set[tuple[str, str]] = set()


def read_token_object(response: Response) -> Mapping[str, object]:
    """Return the JSON object in the body of a 2xx token response.

    The media type and the charset may be wrong, and the body may be JSON that only `strict_json.decode_json_leniently`
    accepts, if there is an access token in it.

    Raises:
        Unreadable: as `read_object`.
    """
    reason: str
    try:
        return read_object(response)
    except Unreadable as error:
        reason = str(error)
    value: object = None
    with contextlib.suppress(strict_json.Malformed):
        value = strict_json.decode_json_leniently(response.body)
    body = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    if not isinstance(body.get("access_token"), str):
        # Nothing was issued, so nothing is lost: the strict rules apply.
        raise Unreadable(reason)
    _log_once("body", reason)
    return body


def read_members(body: Mapping[str, object], now: datetime, clock_skew: float = 0.0) -> dict[str, object]:
    """Return the members of `Token`, with None for each optional member that is absent or not usable.

    Args:
        body: from `read_token_object`.
        now: the local time from which ``expires_in`` is counted.
        clock_skew: the server's time minus the local time, in seconds, by which dates are converted to local time.

    Raises:
        Malformed: ``access_token`` or ``token_type`` is not usable. A missing ``access_token``, or one that is not a
            string, is returned as it is; `codec.structure` rejects it.
    """
    access_token = body.get("access_token")
    # RFC 6750 2.1: an access token is sent in a header; a line break in it would end the header.
    check_text("access_token", access_token, is_visible_ascii)
    if not isinstance(access_token, str):
        return {"access_token": access_token}
    return {
        "access_token": access_token,
        "token_type": _read_token_type(body.get("token_type")),
        # RFC 6749 A.17 allows spaces in a refresh token: it is sent in a form, never in a header. If a new one is
        # not usable, the old refresh token is kept (RFC 6749 6); the access token is valid in any case.
        "refresh_token": _read_text(body, "refresh_token", is_printable_ascii),
        # An absent ID token is not verified. That is no bypass: a party that can change the response can also omit it.
        "id_token": _read_text(body, "id_token", is_visible_ascii),
        "scope": _read_scope(body.get("scope")),
        "access_token_expires_at": _read_expiry(body, "access_token_expires_at", "expires_in", now, clock_skew),
        "refresh_token_expires_at": _read_expiry(
            body, "refresh_token_expires_at", "refresh_token_expires_in", now, clock_skew
        ),
    }


def _read_token_type(value: object) -> str:
    """Return ``Bearer``, also if the type is absent, empty, or has white space around it."""
    if value is None or value == "Bearer":
        return "Bearer"
    if isinstance(value, str) and value.strip().lower() in {"bearer", ""}:
        if value.lower() != "bearer":
            _log_once("token_type", "empty or with white space, treated as Bearer")
        return "Bearer"
    raise strict_json.Malformed("token_type: only Bearer is supported")  # RFC 6749 7.1


def _read_text(body: Mapping[str, object], name: str, is_valid: Callable[[str], bool]) -> str | None:
    value = body.get(name)
    if value is None or (isinstance(value, str) and is_valid(value) and not value.isspace()):
        return value
    _log_once(name, _IGNORED)
    return None


def _read_scope(value: object) -> str | None:
    """Return the scope as one string (RFC 6749 3.3); a list of strings is joined with spaces."""
    if value is None:
        return None
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    words = [word for item in items if isinstance(item, str) for word in item.split()]
    scope = " ".join(words)
    if not words or not scope.isprintable() or not all(isinstance(item, str) for item in items):
        _log_once("scope", _IGNORED)
        return None
    if scope != value:
        _log_once("scope", "a list or with other white space, treated as a string with spaces")
    return scope


def _read_expiry(
    body: Mapping[str, object], date_name: str, seconds_name: str, now: datetime, clock_skew: float
) -> datetime | None:
    """Return when a token expires, in local time; None if the response has no usable value: the token is still used."""
    date, seconds = body.get(date_name), body.get(seconds_name)
    if isinstance(date, str):
        try:
            return shift(codec.parse_date(date), -clock_skew)
        except strict_json.Malformed:
            pass
    if date is not None:
        _log_once(date_name, _EXPIRY_UNKNOWN)
    number = codec.read_number(seconds)
    if number is not None and abs(number) <= MAX_EXPIRES_IN:
        return now + timedelta(seconds=number)
    if seconds is not None:
        _log_once(seconds_name, _EXPIRY_UNKNOWN)
    return None


def _log_once(name: str, problem: str) -> None:
    """Log a warning, once per process for each `name` and `problem`: a server repeats its form in each response."""
    if (name, problem) not in _logged:
        _logged.add((name, problem))
        _log.warning("token response: %s: %s; the token is used. This is logged once", name, problem)
