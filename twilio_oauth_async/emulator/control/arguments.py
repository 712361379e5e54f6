"""Strict parsing of the JSON arguments of control commands, so that a mistake in a test is reported at once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn, cast
from urllib.parse import parse_qsl

_MAX_DEPTH = 64
"""Levels of nesting. No command needs more, and `json` fails to encode values that are nested much deeper."""

_MAX_NUMBER = 1e300
"""Small enough that sums stay finite floats."""


class ControlError(Exception):
    """A command that cannot be run. The message says what is expected and quotes no value."""

    def __init__(self, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`; an empty body is an empty object.

    Raises:
        ControlError: the body is not a JSON object, contains a number or string that cannot be written as JSON, or is
            nested too deeply.
    """
    if not body.strip():
        return {}
    try:
        content: Any = json.loads(
            body.decode("utf-8"), parse_constant=_reject_constant, object_pairs_hook=_reject_duplicates
        )
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not _is_encodable(cast("dict[str, Any]", content)):
        raise ControlError("the body must be a JSON object in UTF-8")
    return cast("dict[str, Any]", content)


def read_form(body: bytes, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the arguments in a form, converted to the types of `schemas`: a list has its items separated by spaces.

    Raises:
        ControlError: the body is not a form, or an argument is repeated.
    """
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise ControlError("the body must be a form in UTF-8, or a JSON object") from None
    given = dict(pairs)
    if len(given) < len(pairs):
        raise ControlError("an argument of the form is repeated")
    return {name: _from_text(value, schemas.get(name, {}).get("type")) for name, value in given.items()}


def _from_text(value: str, kind: Any) -> Any:
    if kind == "array":
        return value.split()
    if kind in {"integer", "number", "boolean"}:
        try:
            return json.loads(value, parse_constant=_reject_constant)
        except ValueError:
            return value  # the command says which type it expects
    return value


def _reject_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError
    return content


def _is_encodable(content: dict[str, Any]) -> bool:
    """Whether all numbers are finite, no string has a lone surrogate, and the nesting is not too deep."""
    left: list[tuple[object, int]] = [(content, 1)]
    while left:
        value, depth = left.pop()
        if isinstance(value, dict):
            pairs = cast("dict[str, object]", value).items()
            left += [(inner, depth + 1) for pair in pairs for inner in pair]
        elif isinstance(value, list):
            left += [(inner, depth + 1) for inner in cast("list[object]", value)]
        elif isinstance(value, float) and not math.isfinite(value):
            return False  # for example 1e999
        elif isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            return False
        if depth > _MAX_DEPTH:
            return False
    return True


def integer(name: str, value: Any) -> int:
    """Return `value`; it must be an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ControlError(f"{name} must be an integer")
    return value


def number(name: str, value: Any) -> float:
    """Return `value`; it must be a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _MAX_NUMBER:
        raise ControlError(f"{name} must be a number")
    return value


def not_negative(name: str, value: Any) -> float:
    """Return `value`; it must be zero or a positive number."""
    if number(name, value) < 0:
        raise ControlError(f"{name} must be zero or a positive number")
    return cast("float", value)


def text(name: str, value: Any) -> str:
    """Return `value`; it must be a string."""
    if not isinstance(value, str):
        raise ControlError(f"{name} must be a string")
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Return `value` as a tuple; it must be a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise ControlError(f"{name} must be a list of strings")
    return tuple(cast("list[str]", value))


def flag(name: str, value: Any) -> bool:
    """Return `value`; it must be true or false."""
    if not isinstance(value, bool):
        raise ControlError(f"{name} must be true or false")
    return value


def json_object(name: str, value: Any) -> dict[str, Any]:
    """Return `value`; it must be an object."""
    if not isinstance(value, dict):
        raise ControlError(f"{name} must be an object")
    return cast("dict[str, Any]", value)


def anything(name: str, value: Any) -> Any:  # noqa: ARG001 - same signature as the others
    """Return `value`."""
    return value


class Arguments:
    """The arguments of one command. A null counts as not given."""

    def __init__(
        self, command: str, given: Mapping[str, Any], required: tuple[str, ...], optional: tuple[str, ...]
    ) -> None:
        """Check which arguments are `given` to `command`.

        Raises:
            ControlError: a required argument is missing, or the command has no argument of a given name.
        """
        self.command = command
        self.given: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        allowed = (*required, *optional)
        if not self.given.keys() <= set(allowed):
            takes = ", ".join(allowed) or "no arguments"
            raise ControlError(f"{command} takes {takes}; the request has another argument")
        missing = [name for name in required if name not in self.given]
        if missing:
            raise ControlError(f"{command} needs {', '.join(missing)}")

    def text(self, name: str) -> str:
        """Return a string; the argument is required."""
        return text(name, self.given.get(name))

    def optional_text(self, name: str) -> str | None:
        """Return a string, or None if not given."""
        return self.text(name) if name in self.given else None

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """Return strings, or None if not given."""
        return texts(name, self.given[name]) if name in self.given else None

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer; without `default`, the argument is required."""
        return integer(name, self.given.get(name, default))

    def seconds(self, name: str, default: float | None = None) -> float:
        """Return zero or a positive number; without `default`, the argument is required."""
        return not_negative(name, self.given.get(name, default))

    def flag(self, name: str, *, default: bool) -> bool:
        """Return true or false."""
        return flag(name, self.given.get(name, default))
