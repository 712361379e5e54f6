"""Bytes to values and back: strict JSON, dates, and the one cattrs converter. It knows no model.

What Python's own parser lets through and a careful reader must not: a repeated member, ``NaN``, a number of
thousands of digits, nesting that runs into the recursion limit, half a surrogate pair, a byte order mark. And what
cattrs would turn silently into something else: True into 1, 3599.9 into 3599, a list into its text.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin

from twilio_oauth_async.errors import ConfigurationError

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

MAX_DEPTH = 32
"""Objects and arrays inside each other; the API's answers use three."""

MAX_NUMBER_LENGTH = 64
"""Characters of one number; int64 needs 20."""

_MAX_DATE_LENGTH = 64
_WHITE_SPACE = " \t\n\r"  # RFC 8259 2

# A string is taken out as a whole, so that brackets inside of it do not count. The possessive quantifiers and the
# optional closing quote keep the scan linear on hostile input.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_A_BRACKET = bytes(set(range(256)) - set(b"[{]}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Malformed(ValueError):  # noqa: N818 - says what the input is
    """Input that cannot be taken. The message names the place and the rule, never the value."""


def decode_json(data: bytes) -> object:
    """Read one JSON value (RFC 8259) from UTF-8 bytes.

    Raises:
        Malformed: anything but one well-formed value within the limits of this module.
    """
    try:
        text = data.decode("utf-8").strip(_WHITE_SPACE)
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise Malformed("not UTF-8")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(data)
    reason: str | None = None
    value: object = None
    try:
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            reason = "not JSON"
        elif b"\\u" in data:
            # Only an escape can bring half a surrogate pair into text that was valid UTF-8.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except Malformed as error:
        reason = str(error)
    except UnicodeEncodeError:
        reason = "half a surrogate pair in a string"
    except ValueError:
        reason = "not JSON"
    if reason is not None:
        # Raised out here: inside of the handler the parser's error, which quotes the input, would be its context.
        raise Malformed(reason)
    return value


def encode_json(value: object) -> str:
    """One line of JSON text for plain values.

    Raises:
        ValueError: NaN or infinity.
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_date(text: str) -> datetime:
    """Read a date in RFC 2822 or ISO 8601 form; the result is aware and in UTC.

    Where no time zone is named it is UTC: the contract says GMT, and RFC 2822 3.3 and 4.3 read ``-0000`` and
    unknown zones in that way.

    Raises:
        Malformed: neither form, or no instant that a ``datetime`` can hold.
    """
    date: datetime | None = None
    if len(text) <= _MAX_DATE_LENGTH:
        try:
            date = datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
            date = date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
        except (ValueError, TypeError, OverflowError, IndexError):
            date = None
    if date is None:
        raise Malformed("not a date in RFC 2822 or ISO 8601 form")
    return date


def read_number(value: object) -> float | None:
    """A finite number, also one that stands as text ("5", "5.5"); None for everything else, True included."""
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
    """Build `kind`, an attrs class, from plain values, with no coercion.

    Raises:
        Malformed: a member is missing or of another type; the message is its path.
    """
    from cattrs import BaseValidationError, StructureHandlerNotFoundError

    # Built here, outside of the handler: a mistake in a class of ours must not look like the server's.
    build = converter()
    build.get_structure_hook(kind)
    reason: str | None = None
    result: T | None = None
    try:
        result = build.structure(value, kind)
    except (BaseValidationError, StructureHandlerNotFoundError, ValueError, TypeError, KeyError) as error:
        reason = _first_reason(error)
    if reason is not None:
        raise Malformed(reason)
    return cast("T", result)


def restore(text: str | bytes, kind: type[T]) -> T:
    """Build `kind` from the JSON that its own ``to_json`` wrote.

    Raises:
        ConfigurationError: `text` is something else; the message names the field, never its value.
    """
    reason: str | None = None
    try:
        return structure(decode_json(_encoded(text)), kind)
    except (Malformed, UnicodeEncodeError) as error:
        reason = str(error) if isinstance(error, Malformed) else "not UTF-8"
    raise ConfigurationError(f"this is not a stored {kind.__name__}: {reason}")


def _encoded(text: object) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise Malformed("not even text")


def unstructure(value: object) -> Any:
    """Plain values of an attrs object, ready for `encode_json`; dates become ISO 8601 text in UTC."""
    return converter().unstructure(value)


@functools.cache
def converter() -> Converter:
    """The package's one converter, made when first needed since importing cattrs takes its time."""
    from cattrs import Converter

    made = Converter(prefer_attrib_converters=False)
    made.register_structure_hook(str, _structure_str)
    made.register_structure_hook(bool, _structure_bool)
    made.register_structure_hook(int, _structure_int)
    made.register_structure_hook(float, _structure_float)
    made.register_structure_hook(datetime, _structure_datetime)
    made.register_unstructure_hook(datetime, lambda date: date.astimezone(UTC).isoformat())
    made.register_structure_hook_factory(_is_tuple, _tuple_hook)
    made.register_structure_hook_func(_is_mapping, _structure_mapping)
    return made


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a repeated member")
    return found


def _constant(_: str) -> object:
    raise Malformed("NaN or infinity")


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise Malformed("a number that is too long")
    return int(text)


def _real(text: str) -> float:
    if len(text) > MAX_NUMBER_LENGTH:
        raise Malformed("a number that is too long")
    number = float(text)
    if not math.isfinite(number):
        raise Malformed("a number that is too large")
    return number


def _check_depth(data: bytes) -> None:
    brackets = _STRING.sub(b"", data).translate(None, delete=_NOT_A_BRACKET)
    # Loops of C only: a body may hold hundreds of thousands of brackets.
    if max(itertools.accumulate(map(_STEP.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise Malformed("nested too deeply")


# Made once: json.loads makes one for each call that has hooks, and that takes longer than reading a token's claims.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_real)


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
        raise Malformed("not a whole number")
    return value


def _structure_float(value: object, _: object) -> float:
    if isinstance(value, str) or (number := read_number(value)) is None:
        raise Malformed("not a number")
    return number


def _structure_datetime(value: object, _: object) -> datetime:
    # A parse function that is lenient with dates has read them already.
    return value if isinstance(value, datetime) else parse_date(_structure_str(value, _))


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _tuple_hook(_: Any, build: Converter) -> Callable[[object, Any], tuple[Any, ...]]:
    return functools.partial(_structure_tuple, build)


def _structure_tuple(build: Converter, value: object, kind: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise Malformed("not a list")
    return tuple(build.structure(item, get_args(kind)[0]) for item in cast("list[object]", value))


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is Mapping


def _structure_mapping(value: object, _: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Malformed("not an object")
    return cast("dict[str, object]", value)


def _first_reason(error: BaseException) -> str:
    """Walk down cattrs' group of errors to the first one and give the path of the field that it stands at."""
    path: list[str] = []
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        path.extend(str(note.name) for note in getattr(error, "__notes__", ()) if hasattr(note, "name"))
    if isinstance(error, KeyError):
        # cattrs reads members by subscription: the key is the name of a required one.
        return f"{'.'.join(path)}: missing" if path else "a member is missing"
    # A ConfigurationError comes from a model's own validator, written as carefully as ours.
    rule = str(error) if isinstance(error, (Malformed, ConfigurationError)) else "of the wrong type"
    return f"{'.'.join(path)}: {rule}" if path else rule
