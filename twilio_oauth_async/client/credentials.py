"""Who calls the API: an account or an API key, given or found in the environment."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from twilio_oauth_async.errors import ConfigurationError

_PAIRS = (("TWILIO_API_KEY", "TWILIO_API_SECRET"), ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"))
"""An API key goes before the auth token, as in Twilio's own SDKs: it can be revoked alone."""


def basic_authorization(username: str | None, password: str | None) -> str | None:
    """The ``Authorization`` header for both, None for neither.

    Raises:
        ConfigurationError: one without the other, an empty one, or a user name with a colon.
    """
    if (username is None) != (password is None):
        raise ConfigurationError("username and password belong together: give both or neither")
    if username is None or password is None:
        return None
    if not username or not password:
        raise ConfigurationError("username and password must not be empty")
    if ":" in username:
        raise ConfigurationError("username must not contain a colon (RFC 7617 2); is it a SID?")
    return aiohttp.encode_basic_auth(username, password)


def from_environment(environ: Mapping[str, str]) -> tuple[str, str]:
    """User name and password.

    Raises:
        ConfigurationError: no complete pair is set.
    """
    for username_variable, password_variable in _PAIRS:
        username, password = environ.get(username_variable), environ.get(password_variable)
        if username and password:
            return username, password
    raise ConfigurationError(
        "no credentials in the environment: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, "
        "or TWILIO_API_KEY and TWILIO_API_SECRET"
    )
