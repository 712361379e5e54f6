"""Checks of the arguments that `TokenManager` and `TokenManagers` share."""

from __future__ import annotations

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.argument_checks import check_callable, check_clock, check_methods, number


def check_arguments(
    *,
    grant: object,
    store: object,
    leeway: object,
    verifier: object,
    clock: object,
    on_token: object,
    on_login_required: object,
) -> None:
    """Check the arguments; `TokenManager` documents them.

    Raises:
        ConfigurationError: one of them is not valid.
    """
    check_methods(
        "grant", grant, ("obtain", "refresh", "revoke"), "a DeviceFlow, an AuthorizationCodeFlow, or another Grant"
    )
    if store is not None:
        check_methods("store", store, ("load", "save", "delete", "lock"), "a TokenStore, for example FileTokenStore()")
    seconds = number(leeway)
    if seconds is None or seconds < 0:
        raise ConfigurationError("leeway must not be negative (seconds)")
    if verifier is not None:
        check_methods("verifier", verifier, ("verify",), "an IdTokenVerifier")
    check_clock(clock)
    check_callable("on_token", on_token, "a function that takes the token")
    check_callable("on_login_required", on_login_required, "a function that takes the reason")
