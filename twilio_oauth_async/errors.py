"""Every exception that this package raises.

::

    TwilioOAuthError
    ├── ConfigurationError            wrong arguments or wrong use; nothing was sent (also a ValueError)
    ├── TransportError                no response was received
    │   └── AnswerLostError           ... and the server may have processed the request
    ├── ProtocolError                 the response breaks the API contract
    ├── ApiError                      the server returned an error response
    │   ├── InvalidRequestError InvalidClientError InvalidGrantError UnauthorizedClientError
    │   ├── UnsupportedGrantTypeError InvalidScopeError
    │   ├── AuthorizationPendingError SlowDownError
    │   ├── RateLimitedError
    │   └── ServerError
    ├── DeviceFlowError               the device flow ended without a token
    │   ├── AccessDeniedError         (also an ApiError)
    │   └── DeviceCodeExpiredError    (also an ApiError)
    ├── AuthorizationError            the authorization callback is missing, invalid or reports an error
    ├── IdTokenError                  an ID token failed validation
    ├── LoginRequired                 a user has to sign in again
    ├── SignInNotFound                a pool has no such sign-in (also a LookupError)
    ├── TooManySignIns                a pool has as many pending sign-ins as it may have
    ├── RevocationUnsupported         the server has no revocation endpoint
    └── StoreError                    a token store or flow store failed
        └── StoreConflict             the store holds a newer value or another owner's lease

`ConfigurationError` is a mistake of the caller. `ProtocolError` and `ApiError` come from a response; `TransportError`
means there was none. Text from a server is made safe before it is put into an exception: control characters are
removed, the length is limited, and secrets that the request contained are masked.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

LoginReason: TypeAlias = Literal["never_signed_in", "refused", "expired", "scopes", "signed_out"]
"""Why a user has to sign in. `LoginRequired` describes each value."""


class TwilioOAuthError(Exception):
    """Base class of every exception in this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the class with `args` only, and the keyword-only attributes would be lost.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[TwilioOAuthError], args: tuple[Any, ...], attributes: dict[str, Any]) -> TwilioOAuthError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigurationError(TwilioOAuthError, ValueError):
    """An argument, a setting or a call is wrong; raised before anything is sent. Has no attributes."""


class TransportError(TwilioOAuthError):
    """No response was received: the connection failed, broke or timed out.

    This class itself means that the request was not sent, or that it may be sent again without harm.

    Attributes:
        attempts: number of attempts that were made.
        elapsed: seconds from the start of the first attempt to the failure of the last one.
    """

    def __init__(self, message: str, *, attempts: int = 1, elapsed: float = 0.0) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.elapsed = elapsed


class AnswerLostError(TransportError):
    """The request was sent, but its response was lost, and the server may have processed the request.

    The request was not sent again. A code or refresh token in it may be used already, and a second use can make the
    server revoke the grant (RFC 6749 4.1.2, RFC 9700 4.14.2).

    Attributes: as in `TransportError`.
    """


class ProtocolError(TwilioOAuthError):
    """A response breaks the API contract: it cannot be parsed, or a required member is missing or has a wrong type.

    The message describes the response (status, type, length) and never quotes the body.

    Attributes:
        status: the HTTP status; None if the response ended before it.
        content_type: the media type of the response; None if it has none.
        length: bytes of the body that were read; None if no body was read.
        request_id: the ``Twilio-Request-Id`` header; None if it is missing.
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
    """The server returned an error response that could be parsed.

    This class itself is raised if no subclass fits. An attribute is None if the response does not have it.

    Attributes:
        status: the HTTP status; None without a response (a device code that expired by the client's clock).
        error: the error code of RFC 6749 5.2 or RFC 8628 3.5.
        code: Twilio's error number, for example 20003.
        description: the server's description, made safe to print.
        more_info: a URL about the error.
        request_id: the ``Twilio-Request-Id`` header.
        retry_after: seconds to wait before the next request (RFC 9110 10.2.3); None also for a value out of range.
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
        # Each poll of a pending device flow creates an error, so nothing is joined that is absent.
        message = error or ""
        if status is not None:
            message = f"{status} {message}" if message else str(status)
        if code is not None:
            message = f"{message} Twilio error {code}" if message else f"Twilio error {code}"
        if description:
            message = f"{message}: {description}" if message else description
        super().__init__(f"{message} (request {request_id})" if request_id else message or "error response")
        self.status = status
        self.error = error
        self.code = code
        self.description = description
        self.more_info = more_info
        self.request_id = request_id
        self.retry_after = retry_after


class InvalidRequestError(ApiError):
    """A parameter is missing, repeated or malformed (RFC 6749 5.2 ``invalid_request``).

    Attributes: as in `ApiError`.
    """


class InvalidClientError(ApiError):
    """Client authentication failed (RFC 6749 5.2 ``invalid_client``, Twilio 20003).

    Attributes: as in `ApiError`.
    """


class InvalidGrantError(ApiError):
    """The code or refresh token is invalid, expired, used or revoked (RFC 6749 5.2 ``invalid_grant``).

    Attributes: as in `ApiError`.
    """


class UnauthorizedClientError(ApiError):
    """The client may not use this grant type (RFC 6749 5.2 ``unauthorized_client``).

    Also if the server refuses a device code as a matter of policy; the message then says what may work instead.

    Attributes: as in `ApiError`.
    """


class UnsupportedGrantTypeError(ApiError):
    """The server does not support the grant type (RFC 6749 5.2 ``unsupported_grant_type``), or has no device flow.

    Attributes: as in `ApiError`.
    """


class InvalidScopeError(ApiError):
    """A scope is unknown or not allowed for this client (RFC 6749 5.2 ``invalid_scope``).

    Attributes: as in `ApiError`.
    """


class AuthorizationPendingError(ApiError):
    """The user has not approved or denied yet (RFC 8628 3.5 ``authorization_pending``).

    Attributes: as in `ApiError`.
    """


class SlowDownError(ApiError):
    """The client polls too often (RFC 8628 3.5 ``slow_down``).

    Attributes: as in `ApiError`, and:
        interval: the new interval in seconds, which some servers send; None: the response has none.
    """

    interval: float | None = None


class RateLimitedError(ApiError):
    """Too many requests (429, Twilio 20429); the server did not process this one. See `retry_after`.

    Attributes: as in `ApiError`.
    """


class ServerError(ApiError):
    """The server failed (status 5xx); it may have processed the request.

    Attributes: as in `ApiError`.
    """


class DeviceFlowError(TwilioOAuthError):
    """A device flow ended without a token, or could not start.

    `DeviceFlowPool` raises this class itself: the sign-in was cancelled or failed, or the pool was closed. The
    subclasses mean that the user denied or the code expired. Has no attributes.
    """


class AccessDeniedError(DeviceFlowError, ApiError):
    """The user denied the request (RFC 8628 3.5 ``access_denied``).

    Attributes: as in `ApiError`.
    """


class DeviceCodeExpiredError(DeviceFlowError, ApiError):
    """The device code expired before the user approved or denied (RFC 8628 3.5 ``expired_token``).

    Attributes: as in `ApiError`; `status` is None if it expired by the client's clock, without a response.
    """


class AuthorizationError(TwilioOAuthError):
    """The authorization callback (RFC 6749 4.1.2) reports an error, is invalid, was used before, or did not arrive.

    Invalid means: ``state`` or ``iss`` does not match, a parameter is repeated, or there is no code.

    Attributes:
        error: the error code of RFC 6749 4.1.2.1; None if the callback has none.
        url: the authorization URL, if no browser could be opened for it; else None.
    """

    def __init__(self, message: str, *, error: str | None = None, url: str | None = None) -> None:
        super().__init__(message)
        self.error = error
        self.url = url


class IdTokenError(TwilioOAuthError):
    """An ID token failed validation, or is missing from the response to a sign-in with the scope ``openid``.

    Attributes:
        claim: the name of the claim or header that is wrong, never its value; None for other errors.
    """

    def __init__(self, message: str, *, claim: str | None = None) -> None:
        super().__init__(message)
        self.claim = claim


class LoginRequired(TwilioOAuthError):  # noqa: N818 - says what the caller has to do
    """A user has to sign in again; there is no token and no usable refresh token.

    Attributes:
        reason: why.

            - ``"never_signed_in"``: no token was ever saved for this user, or what was saved is lost.
            - ``"refused"``: the server does not accept the refresh token any more (RFC 6749 5.2 ``invalid_grant``).
            - ``"expired"``: the access token has expired, and the refresh token has expired as well or there is none.
            - ``"scopes"``: more scopes are needed than the user has granted.
            - ``"signed_out"``: the user has signed out.
    """

    def __init__(self, message: str, *, reason: LoginReason = "never_signed_in") -> None:
        super().__init__(message)
        self.reason: LoginReason = reason


class SignInNotFound(TwilioOAuthError, LookupError):  # noqa: N818 - as LookupError, which ends so too
    """A pool has no sign-in with this id, or it ended more than five minutes ago. Has no attributes."""


class TooManySignIns(TwilioOAuthError):  # noqa: N818 - says what is wrong
    """A pool has as many pending sign-ins as it may have.

    Attributes:
        retry_after: seconds after which it is worth to try again.
    """

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RevocationUnsupported(TwilioOAuthError):  # noqa: N818 - says what the server does not do
    """The discovery document has no revocation endpoint: a token is valid until it expires. Has no attributes."""


class StoreError(TwilioOAuthError):
    """A token store or flow store could not be read, written or locked. Has no attributes."""


class StoreConflict(StoreError):  # noqa: N818 - the usual name for a failed compare-and-set
    """Nothing was saved: the store holds a newer token, or a lease of another owner on the flow. Has no attributes."""
