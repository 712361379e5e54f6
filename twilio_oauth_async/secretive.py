"""What every value that holds a secret has in common: it does not travel by pickle."""

from __future__ import annotations

from typing import Any, Self


class Secretive:
    """Refuses to be pickled, so that no cache, queue or crash dump writes its secrets down unasked.

    ``to_json()``, where a class has it, is the way to store one on purpose. Copies are the object itself,
    since these values never change.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"{type(self).__name__} holds secrets and refuses to be pickled")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self
