"""The one way the server's rules say no; how it looks on the wire is `dialect`'s business."""

from __future__ import annotations


class RefusalError(Exception):
    """A request that the server's rules turn down.

    `error` is a code of RFC 6749 5.2, RFC 8628 3.5 or RFC 6750 3.1; `description` is for people and never quotes
    what the client sent; `status` is the HTTP status; `challenge` becomes ``WWW-Authenticate``; `retry_after` seconds
    become ``Retry-After``; `twilio_code` is Twilio's number where it is more exact than the one `error` stands for.
    """

    def __init__(
        self,
        error: str,
        description: str,
        *,
        status: int = 400,
        challenge: str | None = None,
        retry_after: int | None = None,
        twilio_code: int | None = None,
    ) -> None:
        super().__init__(error, description)
        self.error = error
        self.description = description
        self.status = status
        self.challenge = challenge
        self.retry_after = retry_after
        self.twilio_code = twilio_code


class UserCodeError(Exception):
    """A user code that cannot be decided upon; `reason` is one word that a page can be chosen by."""

    reason = "unknown"


class UnknownUserCodeError(UserCodeError, LookupError):
    """Nobody was given this user code, or it expired so long ago that it is forgotten."""


class UserCodeExpiredError(UserCodeError, ValueError):
    """The user code was right and came too late."""

    reason = "expired"


class UserCodeUsedError(UserCodeError, ValueError):
    """Somebody has already approved or denied this user code."""

    reason = "used"
