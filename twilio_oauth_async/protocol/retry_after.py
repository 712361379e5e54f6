"""When a request may be sent again: ``Retry-After`` (RFC 9110 10.2.3), and Twilio's member ``throttled_until``."""

from __future__ import annotations

import math
from datetime import datetime

from twilio_oauth_async.protocol import codec, strict_json

MAX_RETRY_AFTER = 86_400.0
"""Seconds. A ``Retry-After`` of more than a day is treated as a mistake and ignored."""


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds from `now`, in the server's time, to the time of a ``Retry-After`` header.

    Return None if the header is absent, negative, not valid, or longer than `MAX_RETRY_AFTER`.
    """
    if value is None:
        return None
    value = value.strip()
    seconds = codec.read_number(value)
    if seconds is None:
        try:
            seconds = (codec.parse_date(value) - now).total_seconds()
        except strict_json.Malformed:
            return None
        # A date in the past means "retry now"; it must not be ignored like a negative number.
        seconds = max(seconds, 0.0)
    return seconds if 0 <= seconds <= MAX_RETRY_AFTER and math.isfinite(seconds) else None


def read_throttled_until(value: object, now: datetime) -> float | None:
    """Return the seconds from `now`, in the server's time, to the date of ``throttled_until`` in an error body of v2.

    Return None if there is no such date, or it is more than `MAX_RETRY_AFTER` away.
    """
    if not isinstance(value, str):
        return None
    try:
        seconds = (codec.parse_date(value) - now).total_seconds()
    except strict_json.Malformed:
        return None
    return max(seconds, 0.0) if seconds <= MAX_RETRY_AFTER else None
