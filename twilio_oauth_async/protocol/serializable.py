"""Base classes of objects that hold secrets: they cannot be pickled, and only an explicit call writes JSON."""

from __future__ import annotations

from typing import Any, Self

from twilio_oauth_async.protocol import codec, strict_json


class HoldsSecrets:
    """Base class of objects that hold secrets and refuse to be pickled.

    So no cache, queue or crash report stores the secrets by accident. ``to_json()``, where a class has it, is the
    explicit way to store a value. ``copy.copy`` returns the same object: values never change, and sessions, stores and
    locks must not be duplicated.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"{type(self).__name__} holds secrets and refuses to be pickled")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Storable(HoldsSecrets):
    """Base class of values that can be written as JSON. The JSON contains the secrets: store it in a safe place."""

    __slots__ = ()

    def to_json(self) -> str:
        """Return one line of JSON, secrets included."""
        return strict_json.encode_json(codec.unstructure(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the value that `to_json` wrote as `text`.

        Raises:
            ConfigurationError: `text` is not output of `to_json`.
        """
        return codec.restore(text, cls)
