"""Every exception that this package raises.

::

    TwilioOAuthError
    ├── ConfigurationError            the call was wrong: nothing was sent (also a ValueError)
    ├── TransportError                there was no answer
    │   └── AnswerLostError           ... and the server may have acted on the request
    ├── ProtocolError                 the answer breaks the contract
    ├── ApiError                      the server said no
    │   ├── InvalidRequestError InvalidClientError InvalidGrantError UnauthorizedClientError
    │   ├── UnsupportedGrantTypeError InvalidScopeError
    │   ├── AuthorizationPendingError SlowDownError
    │   ├── RateLimitedError
    │   └── ServerError
    ├── DeviceFlowError               the device flow ended without a token
    │   ├── AccessDeniedError         (also an ApiError)
    │   └── DeviceCodeExpiredError    (also an ApiError)
    ├── AuthorizationError            the code flow's redirect carried an error, or a wrong state or iss
    ├── IdTokenError                  an id token that must not be believed
    ├── LoginRequired                 only a person can give the next token
    └── StoreError                    a token or flow store failed
        └── StoreConflict             somebody else saved something newer

``ConfigurationError`` is the caller's mistake, ``ProtocolError`` and ``ApiError`` are the server's word,
``TransportError`` is the network's silence. Text that came from a server has had control characters removed,
its length capped, and whatever secret the request carried masked before it gets here.
"""

from __future__ import annotations

from typing import Any


class TwilioOAuthError(Exception):
    """The base of all of them."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the class with `args` alone and fail on the keyword-only attributes.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[TwilioOAuthError], args: tuple[Any, ...], attributes: dict[str, Any]) -> TwilioOAuthError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigurationError(TwilioOAuthError, ValueError):
    """The library was called wrongly; nothing was sent."""


class TransportError(TwilioOAuthError):
    """No answer came.

    Attributes:
        attempts: how often it was tried.
        elapsed: seconds from the first attempt to giving up.
    """

    def __init__(self, message: str, *, attempts: int = 1, elapsed: float = 0.0) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.elapsed = elapsed


class AnswerLostError(TransportError):
    """The request may have reached the server and been acted on; it was not sent again.

    A code or a refresh token that it carried may be used up (RELIABILITY: a second use revokes the grant).
    """


class ProtocolError(TwilioOAuthError):
    """An answer that breaks the contract. It tells about the answer, never what stood in it.

    Attributes:
        status: the HTTP status; None where not even that could be read.
        content_type: the media type that the server named.
        length: size of the body as far as it was read, in bytes.
        request_id: ``Twilio-Request-Id``.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        content_type: str | None = None,
        length: int | None = None,
        request_id: str | None = None,
    ) -> None:
        seen = [
            f"status {status}" if status is not None else "",
            content_type or "",
            f"{length} bytes" if length is not None else "",
            f"request {request_id}" if request_id else "",
        ]
        details = ", ".join(part for part in seen if part)
        super().__init__(f"{reason} ({details})" if details else reason)
        self.status = status
        self.content_type = content_type
        self.length = length
        self.request_id = request_id


class ApiError(TwilioOAuthError):
    """The server refused, in words that could be read.

    Attributes:
        status: the HTTP status; None where this side decided (a device code that expired here).
        error: the code of RFC 6749 5.2 or RFC 8628 3.5, where one was given.
        code: Twilio's number, for example 20003.
        description: what the server said, made safe to print.
        more_info: a URL about the error.
        request_id: ``Twilio-Request-Id``.
        retry_after: seconds that the server asked to wait (RFC 9110 10.2.3), where it did and they make sense.
    """

    def __init__(
        self,
        *,
        status: int | None = None,
        error: str | None = None,
        code: int | None = None,
        description: str | None = None,
        more_info: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        names = [
            str(status) if status is not None else "",
            error or "",
            f"Twilio error {code}" if code is not None else "",
        ]
        head = " ".join(part for part in names if part)
        message = ": ".join(part for part in (head, description or "") if part)
        super().__init__(f"{message} (request {request_id})" if request_id else message or "refused")
        self.status = status
        self.error = error
        self.code = code
        self.description = description
        self.more_info = more_info
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidRequestError(ApiError):
    """A parameter is missing, repeated or malformed (RFC 6749 5.2 ``invalid_request``)."""


class InvalidClientError(ApiError):
    """Who asks is unknown or did not prove it (RFC 6749 5.2 ``invalid_client``, Twilio 20003)."""


class InvalidGrantError(ApiError):
    """The code or refresh token is wrong, expired, used or revoked (RFC 6749 5.2 ``invalid_grant``)."""


class UnauthorizedClientError(ApiError):
    """The client may not use this grant (RFC 6749 5.2 ``unauthorized_client``)."""


class UnsupportedGrantTypeError(ApiError):
    """The server does not know the grant (RFC 6749 5.2 ``unsupported_grant_type``)."""


class InvalidScopeError(ApiError):
    """A scope is unknown or not granted to this client (RFC 6749 5.2 ``invalid_scope``)."""


class AuthorizationPendingError(ApiError):
    """The person has not decided yet (RFC 8628 3.5 ``authorization_pending``)."""


class SlowDownError(ApiError):
    """Polls come too fast (RFC 8628 3.5 ``slow_down``)."""


class RateLimitedError(ApiError):
    """Too many requests at once (429, Twilio 20429); this one was not processed. See `retry_after`."""


class ServerError(ApiError):
    """The server failed (5xx)."""


class DeviceFlowError(TwilioOAuthError):
    """The device flow ended without a token."""


class AccessDeniedError(DeviceFlowError, ApiError):
    """The person refused (RFC 8628 3.5 ``access_denied``)."""


class DeviceCodeExpiredError(DeviceFlowError, ApiError):
    """Nobody decided in time (RFC 8628 3.5 ``expired_token``); `status` is None where this side's clock says so."""


class AuthorizationError(TwilioOAuthError):
    """The redirect of an authorization request carried an error, or a ``state`` or ``iss`` that is not ours.

    Attributes:
        error: the code of RFC 6749 4.1.2.1, where the redirect carried one.
    """

    def __init__(self, message: str, *, error: str | None = None) -> None:
        super().__init__(message)
        self.error = error


class IdTokenError(TwilioOAuthError):
    """An id token that must not be believed.

    Attributes:
        claim: the name of the claim or header that is wrong, never its value.
    """

    def __init__(self, message: str, *, claim: str | None = None) -> None:
        super().__init__(message)
        self.claim = claim


class LoginRequired(TwilioOAuthError):  # noqa: N818 - the design's name: it asks for something, nothing failed
    """There is no way left to a valid token without a person."""


class StoreError(TwilioOAuthError):
    """A store could not be read, written or locked."""


class StoreConflict(StoreError):  # noqa: N818 - the field's name for a lost compare-and-set
    """The store holds a newer generation than the one that was to be saved."""
