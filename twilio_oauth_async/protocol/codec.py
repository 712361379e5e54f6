"""Dates and numbers, and conversion between plain values and attrs classes.

The conversion is stricter than the defaults of cattrs, which silently convert True to 1, 3599.9 to 3599, and a list to
a string. The module does not depend on any model.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, get_args, get_origin

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.strict_json import MAX_NUMBER_LENGTH, Malformed, decode_json

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

_MAX_DATE_LENGTH = 64

_WEEKDAYS: Final = frozenset({"Mon, ", "Tue, ", "Wed, ", "Thu, ", "Fri, ", "Sat, ", "Sun, "})
_MONTHS: Final = {
    " Jan ": "-01-",
    " Feb ": "-02-",
    " Mar ": "-03-",
    " Apr ": "-04-",
    " May ": "-05-",
    " Jun ": "-06-",
    " Jul ": "-07-",
    " Aug ": "-08-",
    " Sep ": "-09-",
    " Oct ": "-10-",
    " Nov ": "-11-",
    " Dec ": "-12-",
}
_ZONES: Final = frozenset({" GMT", " +0000"})


def parse_date(text: str) -> datetime:
    """Parse a date in RFC 2822 or ISO 8601 format; the result is aware and in UTC.

    A date without a time zone is taken as UTC: the contract says GMT, and RFC 2822 3.3 and 4.3 treat ``-0000`` and
    unknown zones the same way.

    Raises:
        Malformed: `text` has neither format, or is outside the range of ``datetime``.
    """
    date = _parse_fixed_date(text)
    if date is None and len(text) <= _MAX_DATE_LENGTH:
        try:
            date = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
            date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            date = None
    if date is None:
        raise Malformed("not a date in RFC 2822 or ISO 8601 format")
    return date


def _parse_fixed_date(text: str) -> datetime | None:
    """Parse "Fri, 31 Jul 2015 04:00:00 +0000", the form that is sent, six times as fast; None for any other form."""
    month = _MONTHS.get(text[7:12])
    # A year before 1000 has a meaning of its own (RFC 2822 4.3).
    if month is None or text[:5] not in _WEEKDAYS or text[25:] not in _ZONES or text[12] == "0":
        return None
    # Later versions of Python read 24:00 as the next day.
    if text[19] != ":" or text[22] != ":" or text[16] != " " or text[17:19] == "24":
        return None
    try:
        return datetime.fromisoformat(f"{text[12:16]}{month}{text[5:7]}T{text[17:25]}+00:00")
    except ValueError:
        return None


def read_number(value: object) -> float | None:
    """Return `value` as a float if it is a finite number or the text of one ("5.5"); else None. A bool gives None."""
    if isinstance(value, str):
        if len(value) > MAX_NUMBER_LENGTH or not value.isascii():
            return None
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def structure(value: object, kind: type[T]) -> T:
    """Build an instance of the attrs class `kind` from plain values, without type coercion.

    Raises:
        Malformed: a member is missing or has a wrong type. The message contains its path.
    """
    # Found before the try block: it raises if `kind` itself is wrong, which must not be reported as malformed input.
    hook = _hook_of(cast("Hashable", kind))
    reason: str | None = None
    result: T | None = None
    try:
        result = hook(value, kind)
    except Exception as error:
        if not _is_about_the_input(error):
            raise
        reason = _first_error(error)
    if reason is not None:
        raise Malformed(reason)
    return cast("T", result)


@functools.cache
def _hook_of(kind: Any) -> Callable[[object, Any], Any]:
    return converter().get_structure_hook(kind)


def _is_about_the_input(error: Exception) -> bool:
    from cattrs import BaseValidationError, StructureHandlerNotFoundError

    kinds = (BaseValidationError, StructureHandlerNotFoundError, ValueError, TypeError, KeyError)
    return isinstance(error, kinds)


def restore(text: str | bytes, kind: type[T]) -> T:
    """Build an instance of `kind` from JSON that was written by its ``to_json``.

    Raises:
        ConfigurationError: `text` is not such JSON. The message names the field, never its value.
    """
    reason: str | None = None
    try:
        return structure(decode_json(_to_bytes(text)), kind)
    except (Malformed, UnicodeEncodeError) as error:
        reason = str(error) if isinstance(error, Malformed) else "not UTF-8"
    raise ConfigurationError(f"cannot restore a {kind.__name__} from JSON: {reason}")


def _to_bytes(text: object) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise Malformed("neither str nor bytes")


def unstructure(value: object) -> Any:
    """Return the plain values of an attrs object, for `encode_json`. Dates become ISO 8601 text in UTC."""
    return converter().unstructure(value)


@functools.cache
def converter() -> Converter:
    """Return the converter that the whole package uses. Created on first use because importing cattrs is slow."""
    from cattrs import Converter

    new = Converter(prefer_attrib_converters=False)
    new.register_structure_hook(str, _structure_str)
    new.register_structure_hook(bool, _structure_bool)
    new.register_structure_hook(int, _structure_int)
    new.register_structure_hook(float, _structure_float)
    new.register_structure_hook(datetime, _structure_datetime)
    new.register_unstructure_hook(datetime, lambda date: date.astimezone(UTC).isoformat())
    new.register_structure_hook_factory(_is_tuple, _tuple_hook)
    new.register_structure_hook_func(_is_mapping, _structure_mapping)
    for kind, types in _prepared_types.items():
        generated = new.get_structure_hook(kind)
        new.register_structure_hook(kind, functools.partial(_structure_prepared, types, generated))
    return new


def expect_prepared(kind: type, **types: type) -> None:
    """Let `structure` build `kind` at once from values that have the types of its fields already.

    The parse function of the token endpoint prepares such values. Others, such as dates in stored JSON, and wrong ones
    are structured by cattrs as for any other class, which takes three times as long.

    Args:
        kind: an attrs class.
        types: the type of each field; the first one is required.
    """
    _prepared_types[kind] = types


_prepared_types: dict[type, dict[str, type]] = {}


def _structure_prepared(
    types: dict[str, type], generated: Callable[[object, Any], Any], value: object, kind: Any
) -> Any:
    if not isinstance(value, dict):
        return generated(value, kind)
    members = cast("dict[str, object]", value)
    for name, item in members.items():
        if type(item) is not types.get(name):
            return generated(members, kind)
    if next(iter(types)) not in members:
        return generated(members, kind)
    return kind(**members)


def _structure_str(value: object, _: object) -> str:
    if not isinstance(value, str):
        raise Malformed("not a string")
    return value


def _structure_bool(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise Malformed("not true or false")
    return value


def _structure_int(value: object, _: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Malformed("not an integer")
    return value


def _structure_float(value: object, _: object) -> float:
    if isinstance(value, str) or (number := read_number(value)) is None:
        raise Malformed("not a number")
    return number


def _structure_datetime(value: object, _: object) -> datetime:
    # It is already a datetime if the parse function of the endpoint has converted it.
    return value if isinstance(value, datetime) else parse_date(_structure_str(value, _))


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _tuple_hook(_: Any, cattrs_converter: Converter) -> Callable[[object, Any], tuple[Any, ...]]:
    return functools.partial(_structure_tuple, cattrs_converter)


def _structure_tuple(cattrs_converter: Converter, value: object, kind: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise Malformed("not a list")
    items = cast("list[object]", value)
    return tuple(cattrs_converter.structure(item, get_args(kind)[0]) for item in items)


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is Mapping


def _structure_mapping(value: object, _: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Malformed("not an object")
    return cast("dict[str, object]", value)


def _first_error(error: BaseException) -> str:
    """Return the path and the rule of the first error in cattrs' exception group."""
    path: list[str] = []
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        path.extend(str(note.name) for note in getattr(error, "__notes__", ()) if hasattr(note, "name"))
    if isinstance(error, KeyError):
        # cattrs reads members by subscription: the key is the name of a missing required member.
        return f"{'.'.join(path)}: missing" if path else "a member is missing"
    # A ConfigurationError comes from the validator of a model; its message holds no secret either.
    rule = str(error) if isinstance(error, (Malformed, ConfigurationError)) else "has the wrong type"
    return f"{'.'.join(path)}: {rule}" if path else rule
