"""Whether a 401 means the access token is invalid, so that a refresh may help (RFC 6750 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from twilio_oauth_async.errors import ApiError
from twilio_oauth_async.protocol import error_responses
from twilio_oauth_async.protocol.messages import Context, Response

MAX_BODY: Final = 16 << 10
"""Limit in bytes: a longer decoded body of a 401 is not examined. Twilio's bodies have a few hundred bytes."""

AUTHENTICATE: Final = 20003
"""Twilio's error "Authenticate", for an access token that has expired or was revoked."""

# One `token` (RFC 9110 5.6.2): a parameter if "=" and a value follow it, else the name of a scheme (RFC 9110 11.2).
# The possessive quantifiers keep the scan linear on hostile input.
_SCHEME_OR_PARAMETER = re.compile(
    r"""(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]++)
        (?:[ \t]*+=[ \t]*+(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<value>[!#$%&'*+.^_`|~0-9A-Za-z-]++)))?+""",
    re.VERBOSE,
)
_TWILIO_XML = re.compile(rb"<Code>\s*20003\s*</Code>")


def means_invalid_token(challenges: Iterable[str], body: bytes | None) -> bool:
    """Whether a 401 response means the access token is expired, revoked or otherwise invalid.

    Args:
        challenges: the values of all ``WWW-Authenticate`` headers.
        body: the decoded body; None if it is longer than `MAX_BODY` or could not be read or decoded.
    """
    return any(map(_has_invalid_token_error, challenges)) or (body is not None and _has_authenticate_error(body))


def _has_invalid_token_error(challenges: str) -> bool:
    """Whether a ``Bearer`` challenge among `challenges` has ``error="invalid_token"``.

    One header may contain several challenges (RFC 9110 11.6.1); the parameter must belong to the ``Bearer`` one.
    """
    scheme = ""
    for match in _SCHEME_OR_PARAMETER.finditer(challenges):
        value = match["value"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
        if value is None:
            scheme = match["name"].lower()
        elif scheme == "bearer" and match["name"].lower() == "error" and value == "invalid_token":
            return True
    return False


def _has_authenticate_error(body: bytes) -> bool:
    if _TWILIO_XML.search(body):
        # The classic API responds with XML if the path does not end with ".json".
        return True
    response = Response(status=401, headers={}, body=body)
    # The time is used for Retry-After only, and no headers are passed.
    error = error_responses.read_error(response, Context(now=datetime.fromtimestamp(0, UTC), base_url=""))
    return isinstance(error, ApiError) and (error.code == AUTHENTICATE or error.error == "invalid_token")
