"""The exit codes of the commands, and the sentence that a user reads when a command fails."""

from __future__ import annotations

from typing import Final

OK: Final = 0
REFUSED: Final = 1
"""Refused, expired, or a sign-in is needed. Of `doctor`: a check has failed."""
WRONG_USAGE: Final = 2
"""Wrong usage or configuration."""
NETWORK: Final = 3
SERVER: Final = 4
STORE: Final = 5
NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
"""Of commands that run another one, as a shell has them: it cannot be run, and it does not exist."""
INTERRUPTED: Final = 130
TERMINATED: Final = 143
"""128 + SIGINT, and 128 + SIGTERM, as a shell reports them."""

_LOGIN_REASONS: Final = {
    "never_signed_in": "This profile is not signed in",
    "signed_out": "This profile is signed out",
    "refused": "The server does not accept the stored token any more",
    "expired": "The stored token has expired",
    "scopes": "The stored token does not have all scopes of the profile",
}


def describe(error: Exception) -> tuple[int, str]:
    """Return the exit code for an exception, and one sentence that says what to do next."""
    from twilio_oauth_async import errors

    text = str(error).strip().rstrip(".")
    if isinstance(error, errors.StoreError):
        return STORE, f"{text}. Run `twilio-oauth doctor` for more."
    if isinstance(error, errors.LoginRequired):
        return REFUSED, f"{_LOGIN_REASONS.get(error.reason, 'A sign-in is needed')}. Run `twilio-oauth login`."
    if isinstance(error, errors.AccessDeniedError):
        return REFUSED, "The sign-in was denied on the page. Nothing was stored."
    if isinstance(error, errors.DeviceCodeExpiredError):
        return REFUSED, "The code expired before it was approved. Run `twilio-oauth login` for a new one."
    if isinstance(error, errors.AuthorizationError):
        if error.error == "access_denied":
            return REFUSED, "The sign-in was denied on the page. Nothing was stored."
        return REFUSED, f"{text}. Run `twilio-oauth login --web` again."
    if isinstance(error, errors.IdTokenError):
        return REFUSED, f"The ID token is not valid: {text}."
    if isinstance(error, errors.ConfigurationError):
        return WRONG_USAGE, f"{text}."
    if isinstance(error, errors.TransportError):
        return NETWORK, f"{text}. Run `twilio-oauth doctor` to find out why."
    if isinstance(error, errors.UnauthorizedClientError | errors.UnsupportedGrantTypeError):
        return REFUSED, f'{text}. Try `twilio-oauth login --web`, or set flow = "web" in the profile.'
    if isinstance(error, errors.ApiError) and error.status is not None and error.status < 500:
        return REFUSED, f"{text}. Run `twilio-oauth doctor` to find out why."
    if isinstance(error, errors.TwilioOAuthError):
        return SERVER, f"{text}. Try again later."
    return SERVER, f"unexpected {type(error).__name__}"
