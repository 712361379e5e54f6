"""The two formats of error bodies (OAuth, Twilio) and the two formats of dates (RFC 2822, ISO 8601)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Literal

from attrs import define

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse

ErrorFormat = Literal["oauth", "twilio"]
DateFormat = Literal["rfc2822", "iso8601"]

_TWILIO_CODES: Mapping[str, int] = {
    "invalid_request": 20001,
    "invalid_client": 322402,
    "insufficient_scope": 70051,
    "not_found": 20404,
    "method_not_allowed": 20004,
    "temporarily_unavailable": 20503,
    "too_many_requests": 20429,
    "server_error": 20500,
    "forbidden": 20003,
}
_BAD_REQUEST = 20001
_AUTHENTICATE = 20003

PAGES = frozenset({"activate", "consent", "done", "authorize"})
"""Endpoints that are opened in a browser; their error responses are HTML pages."""


def is_page(endpoint: str, accept: str) -> bool:
    """Return whether a response is an HTML page and not JSON.

    Args:
        endpoint: the name of the endpoint; empty for an unknown path, whose format the client chooses.
        accept: the ``Accept`` header of the request.
    """
    return endpoint in PAGES or (not endpoint and "text/html" in accept)


def http_date(moment: datetime) -> str:
    """Return an aware datetime in the format of HTTP headers (RFC 9110 5.6.7), without fractions of a second."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


@define
class ResponseFormat:
    """The formats that one server uses. Both are options, because Twilio's public examples do not determine them."""

    errors: ErrorFormat = "oauth"
    dates: DateFormat = "rfc2822"

    def error(self, error: ErrorResponse) -> dict[str, Any]:
        """Return the JSON body of an error response."""
        if self.errors == "oauth":  # RFC 6749 5.2
            return {"error": error.code, "error_description": error.description}
        # With a challenge, the account or the access token was rejected; without one, the OAuth app was.
        unauthenticated = error.challenge is not None and error.status == HTTPStatus.UNAUTHORIZED
        code = _AUTHENTICATE if unauthenticated else error.twilio_code or _TWILIO_CODES.get(error.code, _BAD_REQUEST)
        return {
            "code": code,
            # The device grant needs the RFC's error code in the body, and Twilio's format has no other member for it.
            "message": "Authenticate" if unauthenticated else error.code,
            "detail": error.description,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": error.status,
        }

    def date(self, moment: datetime | None) -> str | None:
        """Return an aware UTC datetime in the chosen format."""
        if moment is None:
            return None
        if self.dates == "rfc2822":
            return format_datetime(moment)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
