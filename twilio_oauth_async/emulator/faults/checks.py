"""What the arguments of a fault must be like, so that a mistake shows where the fault is made and not when it hits."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
"""RFC 9110 5.1: a token."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]", re.ASCII)
_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599
"""A 1xx is no answer but the announcement of one (RFC 9110 15.2)."""


def positive(name: str, value: int) -> int:
    """`value` if it is at least 1.

    Raises:
        ValueError: it is not.
    """
    if value < 1:
        raise ValueError(f"{name} must be at least 1")
    return value


def final_status(status: int) -> int:
    """`status` if a server can end an exchange with it.

    Raises:
        ValueError: it cannot.
    """
    if not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
        raise ValueError(f"a status is between {_LOWEST_STATUS} and {_HIGHEST_STATUS}")
    return status


def one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    """Let only a value in `allowed` pass.

    Raises:
        ValueError: it is another one.
    """
    if value not in (known := tuple(allowed)):
        raise ValueError(f"{name} is one of {', '.join(known)}")


def header(name: str, value: str | None = None) -> None:
    """Let only a header pass that can be sent.

    Raises:
        ValueError: it would break the head of the answer apart, no encoding of a head has its characters, or the HTTP
            library has to know it better.
    """
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("the name of a header is made of letters, digits and !#$%&'*+-.^_`|~")
    if name.lower() == "content-length":
        raise ValueError("the length is told by wrong_length, truncate and pad")
    if value is not None and (_CONTROL.search(value) or any(char > "\xff" for char in value)):
        raise ValueError("the value of a header has no control characters and none beyond Latin-1")
