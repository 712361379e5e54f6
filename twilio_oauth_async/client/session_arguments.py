"""Checks of the arguments of `OAuthSession` that concern neither the credentials nor the connections."""

from __future__ import annotations

from yarl import URL

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.argument_checks import check_clock, check_methods, check_seconds
from twilio_oauth_async.protocol.endpoints import choose_base_url, is_secure


def check_arguments(*, timeout: object, issuer: object, retry: object, clock: object) -> None:
    """Check arguments of `OAuthSession`, which documents them.

    Raises:
        ConfigurationError: one of them is not valid.
    """
    check_seconds("timeout", timeout, may_be_infinite=False)
    if not is_secure(issuer):
        raise ConfigurationError("issuer must be an https URL")
    check_methods("retry", retry, ("wait",), "a RetryPolicy")
    check_clock(clock)


def find_base_url(base_url: str | None, region: str | None, edge: str | None) -> str:
    """Return the base URL to use, without a trailing slash.

    Raises:
        ConfigurationError: as `choose_base_url`, or the host name cannot be decoded (RFC 5891 5.4), as aiohttp does.
    """
    url = choose_base_url(base_url, region, edge)
    try:
        is_valid = bool(URL(url, encoded=True).host)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ConfigurationError("base_url has a host name that is not valid: a label with xn-- cannot be decoded")
    return url
