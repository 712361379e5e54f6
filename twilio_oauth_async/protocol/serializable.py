"""Base classes of the values that hold secrets: never pickled, and written as JSON only on purpose."""

from __future__ import annotations

from typing import Any, Self

from twilio_oauth_async.protocol import codec


class Secretive:
    """Refuses to be pickled, so that no cache, queue or crash dump stores its secrets by accident.

    ``to_json()``, where a class has it, is the way to store one on purpose. Copies are the object itself, since these
    values never change.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"{type(self).__name__} holds secrets and refuses to be pickled")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class Storable(Secretive):
    """A value that can be written as JSON, for a place that protects it as well as its secrets need."""

    __slots__ = ()

    def to_json(self) -> str:
        """Return one line of JSON, secrets included."""
        return codec.encode_json(codec.unstructure(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the value that `to_json` has written as `text`.

        Raises:
            ConfigurationError: `text` is not what `to_json` writes.
        """
        return codec.restore(text, cls)
