"""Parameters of requests: which values can be sent, and the encoding of a form (RFC 6749 appendix A).

The form is encoded here because aiohttp takes a fifth longer to encode a dict.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, cast
from urllib.parse import urlencode

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.argument_checks import check_no_line_break

FORM_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded"}

PRINTABLE: Final = re.compile(r"[\x20-\x7e]+")
"""VSCHAR of RFC 6749 appendix A: the characters that a parameter may contain."""

VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
"""Printable ASCII without the space."""

_ACCOUNT: Final = re.compile("AC[0-9A-Za-z]+")

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3: scope-token


def encode_form(form: Iterable[tuple[str, str]]) -> bytes:
    """Encode names and values; order and repetitions are kept."""
    return urlencode(list(form)).encode("ascii")


def check_parameters(form: Mapping[str, str | None]) -> dict[str, str]:
    """Check the parameters that are not None, and return them.

    Raises:
        ConfigurationError: a value is empty, ends with a line break, or is not printable ASCII; a redirect URI may have
            other letters. The message contains the name, not the value.
    """
    present = {name: value for name, value in form.items() if value is not None}
    for name, value in cast("dict[str, object]", present).items():
        check_no_line_break(name, value)
        # A redirect URI is sent as it was registered, even if its characters are not those of a URI (RFC 9700 2.1).
        is_valid = isinstance(value, str) and (
            value.isprintable() and value if name == "redirect_uri" else PRINTABLE.fullmatch(value)
        )
        if not is_valid:
            raise ConfigurationError(f"{name} must be printable ASCII and not empty")
    return present


def check_client(client_sid: object) -> None:
    """Check that `client_sid` can be a client id.

    Raises:
        ConfigurationError: `client_sid` is not a string, is empty, or is not printable ASCII without spaces.
    """
    check_no_line_break("client_sid", client_sid)
    if not isinstance(client_sid, str) or not VISIBLE.fullmatch(client_sid):
        raise ConfigurationError(
            "client_sid must be the SID of your OAuth app, for example OQ followed by 32 letters or digits"
        )


def check_account(account_sid: object) -> None:
    """Check that `account_sid` is None or can be the SID of an account.

    Raises:
        ConfigurationError: it is neither, for example the SID of something else.
    """
    if account_sid is not None and not (isinstance(account_sid, str) and _ACCOUNT.fullmatch(account_sid)):
        raise ConfigurationError("account_sid must be the SID of an account: AC followed by 32 hexadecimal digits")


def check_scopes(scopes: Sequence[str]) -> None:
    """Check that `scopes` is a list of scope tokens (RFC 6749 3.3).

    Raises:
        ConfigurationError: `scopes` is a string or no collection, or an item is not a scope token.
    """
    _check_list("scopes", scopes, _SCOPE, "a scope must be printable ASCII without spaces, quotes or backslashes")


def check_audiences(audiences: Sequence[str]) -> None:
    """Check that `audiences` is a list of audiences.

    Raises:
        ConfigurationError: `audiences` is a string or no collection, or an item is not printable ASCII without spaces.
    """
    _check_list("audiences", audiences, VISIBLE, "an audience must be printable ASCII without spaces")


def _check_list(name: str, values: object, allowed: re.Pattern[str], rule: str) -> None:
    # An iterator would be empty after this check.
    if isinstance(values, (str, bytes)) or not isinstance(values, Collection):
        raise ConfigurationError(f'{name} must be a list, even for one item: {name}=["..."]')
    if not all(isinstance(value, str) and allowed.fullmatch(value) for value in cast("Collection[object]", values)):
        raise ConfigurationError(f"{name}: {rule}")
