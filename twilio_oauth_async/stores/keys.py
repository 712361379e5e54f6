"""What can be a key, a flow's id or an owner, and what each store makes of it."""

from __future__ import annotations

import hashlib
from datetime import datetime

from twilio_oauth_async.errors import ConfigurationError


def check_key(key: object, name: str = "key") -> None:
    """Refuse what no store can keep something under.

    Raises:
        ConfigurationError: no string, an empty one, or one that is not valid Unicode.
    """
    if not isinstance(key, str) or not key:
        # An empty key is somebody's missing user id far more often than anybody's choice.
        raise ConfigurationError(f"{name} must be a string that is not empty")
    if any("\ud800" <= character <= "\udfff" for character in key):
        raise ConfigurationError(f"{name}: half a surrogate pair, which is no text")


def check_instant(date: object, name: str) -> None:
    """Refuse what is no point in time.

    Raises:
        ConfigurationError: no ``datetime``, or one without a time zone.
    """
    if not isinstance(date, datetime) or date.tzinfo is None:
        raise ConfigurationError(f"{name} must be an aware datetime, for example datetime.now(UTC)")


def digest(key: str) -> str:
    """A name of 32 hexadecimal digits for `key`: fit for every file system, whatever stands in the key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]
