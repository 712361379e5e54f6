"""Form encoding of request bodies (``application/x-www-form-urlencoded``).

The body is encoded here because aiohttp takes a fifth longer to encode a dict.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlencode

from twilio_oauth_async.errors import ConfigurationError

HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded"}

PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
"""VSCHAR of RFC 6749 appendix A: the characters that a parameter may contain."""

VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
"""Printable ASCII without the space."""


def encode(form: Iterable[tuple[str, str]]) -> bytes:
    """Encode names and values; order and repetitions are kept."""
    return urlencode(list(form)).encode("ascii")


def given(form: Mapping[str, str | None]) -> dict[str, str]:
    """Return the parameters that are not None.

    Raises:
        ConfigurationError: a value is empty or is not printable ASCII. The message contains the name, not the value.
    """
    present = {name: value for name, value in form.items() if value is not None}
    for name, value in present.items():
        if not PRINTABLE.fullmatch(value):
            raise ConfigurationError(f"{name} must be printable ASCII and not empty")
    return present
