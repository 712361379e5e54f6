"""JSON that a test sends to `control`: read strictly, so that a mistake in the test is named where it was made."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn, cast

_DEEPEST = 64
"""Levels of nesting. No order needs more, and what is nested deeper could not be written out again."""

_LARGEST = 1e300
"""Comes through any sum as a finite float."""


class ControlError(Exception):
    """An order that cannot be carried out; the message tells a person what would be right, and quotes no value."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`; nothing at all stands for an empty one.

    Raises:
        ControlError: it is none, holds a number or a text that JSON cannot carry, or nests too deeply.
    """
    if not body.strip():
        return {}
    try:
        content: Any = json.loads(body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not _can_be_written_again(cast("dict[str, Any]", content)):
        raise ControlError("the body is one JSON object in UTF-8")
    return cast("dict[str, Any]", content)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError
    return content


def _can_be_written_again(content: dict[str, Any]) -> bool:
    """Whether no number is infinite, no text has half a surrogate pair, and nothing nests too deeply."""
    left: list[tuple[object, int]] = [(content, 1)]
    while left:
        value, depth = left.pop()
        if isinstance(value, dict):
            pairs = cast("dict[str, object]", value).items()
            left += [(inner, depth + 1) for pair in pairs for inner in pair]
        elif isinstance(value, list):
            left += [(inner, depth + 1) for inner in cast("list[object]", value)]
        elif isinstance(value, float) and not math.isfinite(value):
            return False  # 1e999
        elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            return False
        if depth > _DEEPEST:
            return False
    return True


def whole_number(name: str, value: Any) -> int:
    """`value` if it is an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ControlError(f"{name} must be a whole number")
    return value


def number(name: str, value: Any) -> float:
    """`value` if it is a number that can be reckoned with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _LARGEST:
        raise ControlError(f"{name} must be a number")
    return value


def not_negative(name: str, value: Any) -> float:
    """`value` if it is zero or a positive number."""
    if number(name, value) < 0:
        raise ControlError(f"{name} must be zero or a positive number")
    return cast("float", value)


def text(name: str, value: Any) -> str:
    """`value` if it is a string."""
    if not isinstance(value, str):
        raise ControlError(f"{name} must be a string")
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    """`value` if it is a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise ControlError(f"{name} must be a list of strings")
    return tuple(cast("list[str]", value))


def flag(name: str, value: Any) -> bool:
    """`value` if it is true or false."""
    if not isinstance(value, bool):
        raise ControlError(f"{name} must be true or false")
    return value


def json_object(name: str, value: Any) -> dict[str, Any]:
    """`value` if it is an object."""
    if not isinstance(value, dict):
        raise ControlError(f"{name} must be an object")
    return cast("dict[str, Any]", value)


def anything(name: str, value: Any) -> Any:  # noqa: ARG001 - a reader's signature
    """`value` as it is."""
    return value


class Arguments:
    """The members of one order; those that are null count as left out."""

    def __init__(
        self, order: str, given: Mapping[str, Any], needed: tuple[str, ...], optional: tuple[str, ...]
    ) -> None:
        """Take what is `given` to `order`.

        Raises:
            ControlError: something is missing, or there is something that the order does not have.
        """
        self.given = {name: value for name, value in given.items() if value is not None}
        allowed = (*needed, *optional)
        if not self.given.keys() <= set(allowed):
            takes = ", ".join(allowed) or "nothing"
            raise ControlError(f"{order} takes {takes}; there is something else in the request")
        missing = [name for name in needed if name not in self.given]
        if missing:
            raise ControlError(f"{order} needs {', '.join(missing)}")

    def text(self, name: str) -> str:
        """Return a string that is needed."""
        return text(name, self.given.get(name))

    def optional_text(self, name: str) -> str | None:
        """Return a string."""
        return self.text(name) if name in self.given else None

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """Return a list of strings."""
        return texts(name, self.given[name]) if name in self.given else None

    def whole_number(self, name: str, default: int | None = None) -> int:
        """Return an integer; without `default` it is needed."""
        return whole_number(name, self.given.get(name, default))

    def seconds(self, name: str, default: float | None = None) -> float:
        """Return zero or a positive number; without `default` it is needed."""
        return not_negative(name, self.given.get(name, default))

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        return flag(name, self.given.get(name, default))
