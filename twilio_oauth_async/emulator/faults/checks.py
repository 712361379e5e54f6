"""Checks of the arguments of `Fault`, so that a mistake is reported where the fault is added, not when it hits."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
"""RFC 9110 5.1: a token."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]", re.ASCII)
_MIN_STATUS, _MAX_STATUS = 200, 599
"""A 1xx response is not a final one (RFC 9110 15.2)."""


def positive(name: str, value: int) -> int:
    """Check that `value` is positive, and return it.

    Raises:
        ValueError: `value` is less than 1.
    """
    if value < 1:
        raise ValueError(f"{name} must be at least 1")
    return value


def final_status(status: int) -> int:
    """Check that `status` can be the status of a final response, and return it.

    Raises:
        ValueError: `status` is not between 200 and 599.
    """
    if not _MIN_STATUS <= status <= _MAX_STATUS:
        raise ValueError(f"status must be between {_MIN_STATUS} and {_MAX_STATUS}")
    return status


def one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    """Check that `value` is allowed.

    Raises:
        ValueError: `value` is not in `allowed`.
    """
    if value not in (known := tuple(allowed)):
        raise ValueError(f"{name} must be one of {', '.join(known)}")


def header(name: str, value: str | None = None) -> None:
    """Check that a header can be sent.

    Raises:
        ValueError: the name or the value would corrupt the response or cannot be encoded, or the header is
            ``Content-Length``, which the HTTP library must set itself.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header name can contain only letters, digits and !#$%&'*+-.^_`|~")
    if name.lower() == "content-length":
        raise ValueError("Content-Length cannot be set; use wrong_length, truncate or pad")
    if value is not None and (_CONTROL.search(value) or any(char > "\xff" for char in value)):
        raise ValueError("a header value cannot contain control characters or characters outside Latin-1")
