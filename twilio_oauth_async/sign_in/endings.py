"""How a sign-in ends, and the error that belongs to each end. Pure."""

from __future__ import annotations

import re

import attrs

from twilio_oauth_async.errors import (
    AccessDeniedError,
    ApiError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    StoreError,
    TwilioOAuthError,
)
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.stores.base import FlowState, StoredFlow
from twilio_oauth_async.tokens.failures import copy_of


@attrs.frozen
class Ending:
    """The end of a sign-in."""

    state: FlowState
    problem: str | None = None
    """For the user; None if it was approved."""
    error: TwilioOAuthError | None = attrs.field(default=None, eq=False)
    """What the sign-in ended with in this process; None: it was approved, or it ended in another process."""


APPROVED = Ending("approved")
CANCELLED = Ending("cancelled", "the sign-in was cancelled")
TOKEN_LOST = Ending("failed", "the process that received the token ended before the token was saved")
TOKEN_REVOKED = Ending("failed", "the device code was sent twice, so the server has revoked the token")
DELETED = Ending("failed", "the sign-in is not stored any more")
SIGNED_OUT = Ending("failed", "the user has signed out meanwhile")


def ending_of_error(error: TwilioOAuthError) -> Ending:
    """Return how a sign-in ends if a poll raises `error`, or if its token cannot be saved because of `error`."""
    if isinstance(error, AccessDeniedError):
        return Ending("denied", problem_of(error), error)
    if isinstance(error, DeviceCodeExpiredError):
        return Ending("expired", problem_of(error), error)
    return Ending("failed", problem_of(error), error)


def ending_of_flow(flow: StoredFlow) -> Ending:
    """Return how a stored flow has ended."""
    return Ending(flow.state, flow.problem)


def problem_of(error: TwilioOAuthError) -> str:
    """Return `error` as the user may see it: the path of a store is not for users."""
    return "the sign-in could not be stored" if isinstance(error, StoreError) else str(error)


def error_of(sign_in: SignIn, error: TwilioOAuthError | None = None) -> TwilioOAuthError | None:
    """Return the exception for one of those who wait for `sign_in`; None if it was approved.

    Args:
        sign_in: a sign-in that has ended.
        error: what it ended with in this process, if that is known.
    """
    if sign_in.state == "approved":
        return None
    if error is not None:
        return copy_of(error)
    problem = sign_in.problem or f"the sign-in ended as {sign_in.state}"
    if sign_in.state == "denied":
        return _restored(AccessDeniedError, "access_denied", problem)
    if sign_in.state == "expired":
        return _restored(DeviceCodeExpiredError, "expired_token", problem)
    return DeviceFlowError(problem)


def _restored(kind: type[ApiError], code: str, problem: str) -> ApiError:
    """Return the error whose text was stored as `problem`, with the code of RFC 8628 3.5 that it begins with."""
    found = re.fullmatch(rf"(?:(\d{{3}}) )?{code}(?:: (.*))?", problem, re.DOTALL)
    if found is None:
        return kind(description=problem)
    return kind(status=int(found[1]) if found[1] else None, error=code, description=found[2])
