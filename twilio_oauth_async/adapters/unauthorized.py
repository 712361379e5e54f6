"""Whether a 401 means the access token is invalid, so that a refresh may help (RFC 6750 3.1).

The headers are examined first. The body is examined only if they do not decide, because it may never arrive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from twilio_oauth_async.errors import ApiError
from twilio_oauth_async.protocol import error_responses
from twilio_oauth_async.protocol.messages import Context, Response

MAX_BODY: Final = 16 << 10
"""Limit in bytes: a longer decoded body of a 401 is not examined. Twilio's bodies have a few hundred bytes."""

BODY_TIMEOUT: Final = 1.0
"""Seconds after which a body of a 401 that has not arrived is not waited for. The caller can still read it."""

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


def challenges_say_invalid(challenges: Iterable[str]) -> bool | None:
    """Return whether the headers of a 401 say that the access token is expired, revoked or otherwise invalid.

    Args:
        challenges: the values of all ``WWW-Authenticate`` headers.

    Returns:
        None: they do not say why the request was refused, so the body may.
    """
    errors = {error for header in challenges for error in _bearer_errors(header)}
    return "invalid_token" in errors if errors else None


def _bearer_errors(header: str) -> Iterator[str]:
    """Yield the ``error`` parameters of the ``Bearer`` challenges in one header.

    One header may contain several challenges (RFC 9110 11.6.1); the parameter must belong to the ``Bearer`` one.
    """
    scheme = ""
    for match in _SCHEME_OR_PARAMETER.finditer(header):
        value = match["value"] if match["quoted"] is None else re.sub(r"\\(.)", r"\1", match["quoted"])
        if value is None:
            scheme = match["name"].lower()
        elif scheme == "bearer" and match["name"].lower() == "error":
            yield value


def body_says_invalid(body: bytes | None) -> bool:
    """Return whether the body of a 401 says that the access token is invalid.

    Args:
        body: the decoded body; None if it is longer than `MAX_BODY`, or could not be read or decoded, or is late.
    """
    if body is None:
        return False
    if _TWILIO_XML.search(body):
        # The classic API responds with XML if the path does not end with ".json".
        return True
    response = Response(status=401, headers={}, body=body)
    # The time is used for Retry-After only, and no headers are passed.
    error = error_responses.read_error(response, Context(now=datetime.fromtimestamp(0, UTC), base_url=""))
    return isinstance(error, ApiError) and (error.code == AUTHENTICATE or error.error == "invalid_token")
