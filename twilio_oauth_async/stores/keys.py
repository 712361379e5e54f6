"""Validation of keys, flow ids, owners and leases, and a hash of keys for file names."""

from __future__ import annotations

import hashlib
import math

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.stores.records import Key, TokenKey


def check_key(key: object, name: str = "key") -> None:
    """Check that `key` can be a key in every store.

    Raises:
        ConfigurationError: `key` is not a string, is empty, or is not valid Unicode.
    """
    if not isinstance(key, str) or not key:
        # An empty key is usually a missing user id.
        raise ConfigurationError(f"{name} must be a string that is not empty")
    _check_text(key, name)


def token_key(key: Key) -> TokenKey:
    """Return `key` as a `TokenKey`; a string stands for a user without client and server.

    Raises:
        ConfigurationError: the user is not a string or is empty, or a part is not valid Unicode.
    """
    if not isinstance(key, TokenKey):
        check_key(key)
        return TokenKey(key)
    check_key(key.user, "user")
    _check_text(key.client_sid, "client_sid")
    _check_text(key.server, "server")
    return key


def check_lease(owner: object, seconds: float) -> None:
    """Raise unless `owner` can have a lease of `seconds`.

    Raises:
        ConfigurationError: `owner` is no valid key, or `seconds` is not a positive finite number.
    """
    check_key(owner, "owner")
    if not 0 < seconds < math.inf:
        raise ConfigurationError("a lease must last a positive number of seconds")


def check_limit(limit: int) -> None:
    """Raise unless `limit` is at least 1.

    Raises:
        ConfigurationError: `limit` is less than 1.
    """
    if limit < 1:
        raise ConfigurationError("limit must be at least 1")


def digest(key: str) -> str:
    """Return 32 hexadecimal digits for `key`, which are a valid file name on every file system."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str) or any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigurationError(f"{name} must be a string without a lone surrogate")
