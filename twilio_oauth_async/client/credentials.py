"""Credentials of an account or API key, from arguments or the environment, and the server that they are sent to."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.argument_checks import check_methods, check_no_line_break, is_printable
from twilio_oauth_async.protocol.parameters import is_visible_ascii

_PAIRS = (("TWILIO_API_KEY", "TWILIO_API_SECRET"), ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"))
"""An API key is preferred to the auth token, as in Twilio's own SDKs, because it can be revoked separately."""


def basic_authorization(username: str | None, password: str | None) -> str | None:
    """Return the value of the ``Authorization`` header (RFC 7617); None if both arguments are None.

    Raises:
        ConfigurationError: one argument is None and the other is not, one is empty or ends with a line break,
            `username` has a colon, a space or a character that is not printable ASCII, or `password` has a control
            character.
    """
    if (username is None) != (password is None):
        raise ConfigurationError("username and password belong together: pass both or neither")
    if username is None or password is None:
        return None
    if not username or not password:
        raise ConfigurationError("username and password must not be empty")
    check_no_line_break("username", username)
    check_no_line_break("password", password)
    if not is_printable(username) or not is_visible_ascii(username):
        raise ConfigurationError("username must be the SID of an account or an API key: ASCII without spaces")
    if not is_printable(password):  # RFC 7617 2: no control characters
        raise ConfigurationError("password must be text without control characters")
    if ":" in username:
        raise ConfigurationError(
            "username must not contain a colon (RFC 7617 2): pass the SID of an account or an API key"
        )
    return aiohttp.encode_basic_auth(username, password)


def credentials_from(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return user name and password from the variables that Twilio's own SDKs read.

    Raises:
        ConfigurationError: `environ` holds no complete pair, or a value ends with a line break.
    """
    check_methods("environ", environ, ("get",), "a mapping such as os.environ")
    for username_variable, password_variable in _PAIRS:
        username, password = environ.get(username_variable), environ.get(password_variable)
        if username and password:
            check_no_line_break(username_variable, username)
            check_no_line_break(password_variable, password)
            return username, password
    raise ConfigurationError(
        "no credentials in the environment: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, "
        "or TWILIO_API_KEY and TWILIO_API_SECRET"
    )


def server_from(
    environ: Mapping[str, str], base_url: str | None, region: str | None, edge: str | None
) -> tuple[str | None, str | None, str | None]:
    """Return base URL, region and edge, with missing arguments replaced by variables of `environ`.

    ``TWILIO_OAUTH_URL`` is used only if all three arguments are None, ``TWILIO_REGION`` and ``TWILIO_EDGE`` only
    without a base URL. The credentials are sent to this server, so a variable must not replace a server that the caller
    has chosen.

    Raises:
        ConfigurationError: a variable ends with a line break.
    """
    for variable in ("TWILIO_OAUTH_URL", "TWILIO_REGION", "TWILIO_EDGE"):
        check_no_line_break(variable, environ.get(variable))
    if base_url is None and region is None and edge is None:
        base_url = environ.get("TWILIO_OAUTH_URL") or None
    if base_url is None:
        region = region or environ.get("TWILIO_REGION") or None
        edge = edge or environ.get("TWILIO_EDGE") or None
    return base_url, region, edge
