"""How answers look: two dialects of errors, two of dates, and the headers that Twilio puts on everything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Literal

from attrs import define

from twilio_oauth_async.emulator.messages.refusal import RefusalError

ErrorDialect = Literal["oauth", "twilio"]
DateDialect = Literal["rfc2822", "iso8601"]

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


@define
class Dialect:
    """The two choices that public examples of the API leave open."""

    errors: ErrorDialect = "oauth"
    dates: DateDialect = "rfc2822"

    def error(self, refusal: RefusalError) -> dict[str, Any]:
        """Return the JSON body of a refusal."""
        if self.errors == "oauth":  # RFC 6749 5.2
            return {"error": refusal.error, "error_description": refusal.description}
        # A challenge means that the account or the access token was not let in, as opposed to the OAuth app.
        shut_out = refusal.challenge is not None and refusal.status == HTTPStatus.UNAUTHORIZED
        code = _AUTHENTICATE if shut_out else refusal.twilio_code or _TWILIO_CODES.get(refusal.error, _BAD_REQUEST)
        return {
            "code": code,
            # The RFC's code has to stand somewhere for the device grant to work, and this is the only text there is.
            "message": "Authenticate" if shut_out else refusal.error,
            "detail": refusal.description,
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": refusal.status,
        }

    def date(self, moment: datetime | None) -> str | None:
        """Return an aware UTC datetime in the chosen format."""
        if moment is None:
            return None
        if self.dates == "rfc2822":
            return format_datetime(moment)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
