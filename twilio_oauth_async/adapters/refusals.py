"""Whether a 401 is about the token: then another one helps, and asking again is right (RFC 6750 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from twilio_oauth_async.errors import ApiError
from twilio_oauth_async.protocol import error_responses
from twilio_oauth_async.protocol.messages import Context, Response

MAX_BODY: Final = 16 << 10
"""Bytes of a 401 that are looked at, decoded. Twilio's have a few hundred."""

AUTHENTICATE: Final = 20003
"""Twilio's "Authenticate": what it says of a token that has expired or was revoked."""

# RFC 9110 11.2 and 5.6.2: a word, and behind it "=" and a value where it is a parameter and no scheme's name.
# The possessive quantifiers keep the scan linear on hostile input.
_WORD = re.compile(
    r"""(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]++)
        (?:[ \t]*+=[ \t]*+(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<value>[!#$%&'*+.^_`|~0-9A-Za-z-]++)))?+""",
    re.VERBOSE,
)
_TWILIO_XML = re.compile(rb"<Code>\s*20003\s*</Code>")


def is_about_the_token(challenges: Iterable[str], body: bytes | None) -> bool:
    """Whether a 401 says that the access token is expired, revoked or otherwise worthless.

    Args:
        challenges: the values of all its ``WWW-Authenticate`` headers.
        body: decoded; None where it is longer than `MAX_BODY` or could not be read.
    """
    return any(map(_names_invalid_token, challenges)) or (body is not None and _says_authenticate(body))


def _names_invalid_token(challenges: str) -> bool:
    """Whether a ``Bearer`` challenge among `challenges` has ``error="invalid_token"``.

    One header may hold several challenges (RFC 9110 11.6.1): the parameter must stand behind the right scheme.
    """
    scheme = ""
    for word in _WORD.finditer(challenges):
        value = word["value"] if word["quoted"] is None else re.sub(r"\\(.)", r"\1", word["quoted"])
        if value is None:
            scheme = word["name"].lower()
        elif scheme == "bearer" and word["name"].lower() == "error" and value == "invalid_token":
            return True
    return False


def _says_authenticate(body: bytes) -> bool:
    if _TWILIO_XML.search(body):
        # The classic API answers in XML where the path has no ".json".
        return True
    answer = Response(status=401, headers={}, body=body)
    # The time is for Retry-After alone, and no header is shown to it.
    error = error_responses.read_error(answer, Context(now=datetime.fromtimestamp(0, UTC), base_url=""))
    return isinstance(error, ApiError) and (error.code == AUTHENTICATE or error.error == "invalid_token")
