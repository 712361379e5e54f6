"""Validation of keys, flow ids, owners and dates, and a hash of keys for file names."""

from __future__ import annotations

import hashlib
from datetime import datetime

from twilio_oauth_async.errors import ConfigurationError


def check_key(key: object, name: str = "key") -> None:
    """Check that `key` can be a key in every store.

    Raises:
        ConfigurationError: `key` is not a string, is empty, or is not valid Unicode.
    """
    if not isinstance(key, str) or not key:
        # An empty key is usually a missing user id.
        raise ConfigurationError(f"{name} must be a string that is not empty")
    if any("\ud800" <= character <= "\udfff" for character in key):
        raise ConfigurationError(f"{name} must not contain a lone surrogate")


def check_aware(date: object, name: str) -> None:
    """Check that `date` is an aware datetime.

    Raises:
        ConfigurationError: `date` is not a ``datetime``, or has no time zone.
    """
    if not isinstance(date, datetime) or date.tzinfo is None:
        raise ConfigurationError(f"{name} must be an aware datetime, for example datetime.now(UTC)")


def digest(key: str) -> str:
    """Return 32 hexadecimal digits for `key`, which are a valid file name on every file system."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]
