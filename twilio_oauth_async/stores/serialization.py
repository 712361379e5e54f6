"""Conversion of stored values to JSON text and back."""

from __future__ import annotations

from typing import TypeVar

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.stores.base import StoredFlow, StoredToken

Stored = TypeVar("Stored", StoredToken, StoredFlow)


def to_text(value: StoredToken | StoredFlow) -> str:
    """Return `value` as JSON text that can be encoded as UTF-8.

    Raises:
        ConfigurationError: `value` contains a lone surrogate. The check is here because the error of the UTF-8
            encoder would hold the whole text.
    """
    text = value.to_json()
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigurationError(f"a {type(value).__name__} that contains a lone surrogate cannot be stored")
    return text


def from_text(text: str | None, kind: type[Stored]) -> Stored | None:
    """Return the value in `text`; None if `text` is None or damaged."""
    if text is None:
        return None
    try:
        return kind.from_json(text)
    except ConfigurationError:
        return None
