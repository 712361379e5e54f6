"""What every value has in common that is stored on purpose: a text form, secrets included."""

from __future__ import annotations

from typing import Self

from twilio_oauth_async import codec
from twilio_oauth_async.secretive import Secretive


class Storable(Secretive):
    """Written and read as JSON, for a place that is as well guarded as the secrets within need."""

    __slots__ = ()

    def to_json(self) -> str:
        """One line of JSON, secrets included."""
        return codec.encode_json(codec.unstructure(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The reverse of `to_json`.

        Raises:
            ConfigurationError: `text` is not what `to_json` writes.
        """
        return codec.restore(text, cls)
