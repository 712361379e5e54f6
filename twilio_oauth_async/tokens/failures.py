"""What failed calls mean for the life of a token, and the errors that callers get. Pure."""

from __future__ import annotations

import copy
from typing import Final

from twilio_oauth_async.errors import (
    AnswerLostError,
    ApiError,
    ConfigurationError,
    IdTokenError,
    InvalidGrantError,
    LoginReason,
    LoginRequired,
    RateLimitedError,
    ServerError,
    StoreConflict,
    StoreError,
    TransportError,
    TwilioOAuthError,
)
from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.tokens.state import AskForLogin, Kind, Now, RequestFailed, StoreFailed, TokenState, WaitUntil
from twilio_oauth_async.tokens.validity import can_refresh

_MESSAGES: Final[dict[LoginReason, str]] = {
    "never_signed_in": "the user has not signed in yet",
    "refused": "the server does not accept the refresh token any more",
    "expired": "the access token has expired, and there is no refresh token that is still valid",
    "scopes": "the stored token was requested with fewer scopes or audiences",
    "signed_out": "the user has signed out",
}


def login_required(asked: AskForLogin) -> LoginRequired:
    """Return the error for a caller who needs a token that only a new sign-in gives."""
    lost = "; the response to an earlier refresh was lost, so it may be used" if asked.was_lost else ""
    return LoginRequired(
        f"{_MESSAGES[asked.reason]}{lost}; token(login=True) or login() runs the grant", reason=asked.reason
    )


def no_token(rest: WaitUntil, state: TokenState, now: Now) -> TwilioOAuthError:
    """Return the error for a caller who gets no token before `rest` ends, or none but an unwanted one."""
    error = rest.error or (state.store_error if state.store_failures else None) or state.error
    if error is not None:
        return copy_of(error)
    if state.held is not None and can_refresh(state.held, now):
        return AnswerLostError("the response to an earlier refresh was lost; the token is refreshed when it expires")
    is_refused = state.held is not None and state.refused_epoch == state.held.stored.epoch
    reason: LoginReason = "refused" if is_refused else "expired"
    return LoginRequired("there is no refresh token that is still valid", reason=reason)


def copy_of(error: TwilioOAuthError) -> TwilioOAuthError:
    """Return a copy of `error`, without traceback, context and cause, for one of the callers that get it."""
    return copy.copy(error)


def request_failed(error: Exception, of: StoredToken | None) -> RequestFailed:
    """Return what the failure of a refresh of `of`, or of a grant that needs no user, means."""
    if not isinstance(error, TwilioOAuthError):
        # A grant of the caller's own. Its exception may contain anything, so only its type is named.
        return RequestFailed(Kind.MAYBE_PROCESSED, of, TwilioOAuthError(f"the grant raised {type(error).__name__}"))
    retry_after = error.retry_after if isinstance(error, ApiError) else None
    return RequestFailed(_kind_of(error), of, error, retry_after or 0.0)


def _kind_of(error: TwilioOAuthError) -> Kind:
    if isinstance(error, (InvalidGrantError, LoginRequired)):
        return Kind.REFUSED
    if isinstance(error, TransportError):
        return Kind.MAYBE_PROCESSED if isinstance(error, AnswerLostError) else Kind.UNPROCESSED
    if isinstance(error, (RateLimitedError, ConfigurationError, StoreError)):
        return Kind.UNPROCESSED
    if isinstance(error, IdTokenError) or (
        # A server that fails may have issued the new token before (fault 12).
        isinstance(error, ApiError) and not isinstance(error, ServerError) and error.status != 408
    ):
        return Kind.CLIENT_REFUSED
    return Kind.MAYBE_PROCESSED


def store_failed(error: Exception, method: str) -> StoreFailed:
    """Return what the failure of a call of the store means."""
    if isinstance(error, TwilioOAuthError):
        return StoreFailed(error, isinstance(error, StoreConflict))
    # A store of the caller's own. Its exception may contain anything, so only its type is named.
    return StoreFailed(StoreError(f"the token store raised {type(error).__name__} in {method}()"))


def late_store(method: str, seconds: float) -> StoreError:
    """Return the error of a call of the store that did not end in time."""
    return StoreError(f"the token store did not end {method}() within {seconds:g} s")
