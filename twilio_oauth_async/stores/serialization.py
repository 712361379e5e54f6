"""Stored values as text and back, with the one kind of error that each way can have."""

from __future__ import annotations

from typing import TypeVar

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.stores.base import StoredFlow, StoredToken

Stored = TypeVar("Stored", StoredToken, StoredFlow)


def to_text(value: StoredToken | StoredFlow) -> str:
    """`value` as JSON that can be written as UTF-8.

    Raises:
        ConfigurationError: half a surrogate pair in it. Found here, where the error does not hang on to the text.
    """
    text = value.to_json()
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigurationError(f"a {type(value).__name__} with half a surrogate pair in it cannot be stored")
    return text


def from_text(text: str | None, kind: type[Stored]) -> Stored | None:
    """The value that `text` holds; None where there is no text, or it is damaged."""
    if text is None:
        return None
    try:
        return kind.from_json(text)
    except ConfigurationError:
        return None
