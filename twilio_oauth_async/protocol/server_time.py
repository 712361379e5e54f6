"""The clock of the server: its difference from the local clock, and the conversion of dates between the two.

A token lifetime that is sent as a date is in the server's time. If the local clock is wrong, the date alone does not
say how long the token is valid. The ``Date`` header of the same response (RFC 9110 6.6.1) does.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import attrs

from twilio_oauth_async.protocol import codec, strict_json
from twilio_oauth_async.protocol.models import Token

_RESOLUTION = timedelta(seconds=1)
"""``Date`` has no fractions of a second."""


def measure_skew(headers: Mapping[str, str], sent: datetime, received: datetime) -> float | None:
    """Return the server's time minus the local time in seconds, according to the ``Date`` header of a response.

    ``Date`` has no fractions of a second, and the server set it at some time between `sent` and `received`. So it gives
    only the limits of the skew. The result is the value between them that is nearest to 0: exactly 0.0 if the clocks
    may agree.

    Args:
        headers: a case-insensitive mapping.
        sent: local wall clock time before the request was sent; aware.
        received: local wall clock time after the response was received; aware.

    Returns:
        None if the skew is not known: there is no ``Date``, or it is not valid; the response came from a cache, so that
        its ``Date`` is old (``Age``, RFC 9111 5.1); or the wall clock was set back meanwhile.
    """
    value = headers.get("Date")
    if value is None or "Age" in headers:
        return None
    try:
        date = _parse_header(value)
    except strict_json.Malformed:
        return None
    if date <= received and sent - date <= _RESOLUTION:
        return 0.0  # what the calculation below gives nearly always
    lowest = (date - received).total_seconds()
    highest = (date - sent + _RESOLUTION).total_seconds()
    if lowest > highest:
        return None
    return min(max(lowest, 0.0), highest)


@functools.lru_cache(maxsize=4)
def _parse_header(value: str) -> datetime:
    """Parse a ``Date`` header, which is the same in all responses of one second."""
    return codec.parse_date(value)


def to_server_time(token: Token, skew: float) -> Token:
    """Return `token` with its dates converted from local time to the server's time.

    Args:
        token: a token with local dates; returned as it is if there is nothing to convert.
        skew: the server's time minus the local time, in seconds.
    """
    return _with_shifted_dates(token, skew)


def to_local_time(token: Token, skew: float) -> Token:
    """Return `token` with its dates converted from the server's time to local time.

    Args:
        token: a token with dates of the server; returned as it is if there is nothing to convert.
        skew: the server's time minus the local time, in seconds.
    """
    return _with_shifted_dates(token, -skew)


def shift(date: datetime, seconds: float) -> datetime:
    """Return `date`, which is aware and UTC, plus `seconds`; at most the limits of ``datetime``."""
    if not seconds:
        return date
    try:
        return date + timedelta(seconds=seconds)
    except OverflowError:  # a server that sends a date of the year 9999
        return datetime.max.replace(tzinfo=UTC) if seconds > 0 else datetime.min.replace(tzinfo=UTC)


def _with_shifted_dates(token: Token, seconds: float) -> Token:
    access, refresh = token.access_token_expires_at, token.refresh_token_expires_at
    if not seconds or (access is None and refresh is None):
        return token
    return attrs.evolve(
        token,
        access_token_expires_at=None if access is None else shift(access, seconds),
        refresh_token_expires_at=None if refresh is None else shift(refresh, seconds),
    )
