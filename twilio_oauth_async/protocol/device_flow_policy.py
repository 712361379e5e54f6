"""Recognize a server that does not offer the device flow, or not to this client. The user can do nothing about it.

At the device endpoint, the codes of RFC 6749 5.2 apply (RFC 8628 3.2): ``unauthorized_client`` means that. Servers
also send ``access_denied``, although no user can have denied yet, a 403 without a known code, or Twilio's codes for an
unknown grant type, path or method.
"""

from __future__ import annotations

from typing import Final

from twilio_oauth_async.errors import AccessDeniedError, ApiError, UnauthorizedClientError, UnsupportedGrantTypeError

HINT: Final = "the device flow is not available to this client; AuthorizationCodeFlow, through a browser, may work"
"""The end of the message."""

_NO_SUCH_ENDPOINT: Final = frozenset({404, 405})
_TWILIO_NO_SUCH_ENDPOINT: Final = frozenset({20004, 20404})


def explain_refused_code(error: ApiError) -> ApiError:
    """Return the error for a refused request for a device code.

    It is an `UnauthorizedClientError` or `UnsupportedGrantTypeError` with `HINT` if the server does not offer the
    device flow; otherwise it is `error`.
    """
    kind: type[ApiError] | None = None
    if isinstance(error, AccessDeniedError) or (type(error) is ApiError and error.status == 403):
        kind = UnauthorizedClientError
    elif type(error) is ApiError and (error.status in _NO_SUCH_ENDPOINT or error.code in _TWILIO_NO_SUCH_ENDPOINT):
        kind = UnsupportedGrantTypeError
    if kind is not None:
        error = kind(
            status=error.status,
            error=error.error,
            code=error.code,
            description=error.description,
            more_info=error.more_info,
            request_id=error.request_id,
            retry_after=error.retry_after,
        )
    return explain_refused_grant(error)


def explain_refused_grant(error: ApiError) -> ApiError:
    """Add `HINT` to the message of `error` if it means that the client may not use the device grant; return it.

    RFC 6749 5.2 ``unauthorized_client`` and ``unsupported_grant_type``: at the token endpoint, too.
    """
    if isinstance(error, (UnauthorizedClientError, UnsupportedGrantTypeError)):
        error.args = (f"{error}; {HINT}",)
    return error


def means_unavailable(problem: str | None) -> bool:
    """Return whether `problem`, the stored text of an error, is from an error with `HINT`."""
    return problem is not None and HINT in problem
