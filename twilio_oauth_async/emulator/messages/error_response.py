"""`ErrorResponse`: the exception with which the server rejects a request."""

from __future__ import annotations


class ErrorResponse(Exception):  # noqa: N818 - the RFC's name; some are not failures, such as authorization_pending
    """An OAuth error response (RFC 6749 5.2). `response_formats` writes its JSON body.

    Attributes:
        code: the ``error`` parameter: a code of RFC 6749 5.2, RFC 8628 3.5 or RFC 6750 3.1.
        description: the ``error_description``, for developers; never quotes what the client sent.
        status: HTTP status.
        challenge: value of ``WWW-Authenticate``.
        retry_after: seconds; value of ``Retry-After``.
        twilio_code: Twilio's error number, if there is a more specific one than `response_formats` has for `code`.
    """

    def __init__(
        self,
        code: str,
        description: str,
        *,
        status: int = 400,
        challenge: str | None = None,
        retry_after: int | None = None,
        twilio_code: int | None = None,
    ) -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description
        self.status = status
        self.challenge = challenge
        self.retry_after = retry_after
        self.twilio_code = twilio_code
