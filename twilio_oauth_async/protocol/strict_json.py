"""Strict JSON: what is written, and what is read.

The parser is stricter than Python's: it rejects repeated members, ``NaN``, very long numbers, deep nesting, tens of
thousands of values, lone surrogates, and a byte order mark; `decode_json_leniently` accepts some of them.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from typing import Final

MAX_DEPTH = 32
"""Levels of nested objects and arrays. Responses of the API use three."""

MAX_VALUES = 10_000
"""Values in one document, counted by commas and opening brackets. The largest response, a key set, has hundreds."""

MAX_NUMBER_LENGTH = 64
"""Characters of one number. An int64 needs 20."""

UNUSABLE: Final = object()
"""The value of a member for which `decode_json_leniently` has no value: of no type that a member can have."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITE_SPACE = " \t\n\r"  # RFC 8259 2

# Matches a complete string, so that brackets inside it are not counted. The possessive quantifiers and the optional
# closing quote keep the scan linear on hostile input.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NOT_A_BRACKET = bytes(set(range(256)) - set(b"[{]}"))
_DEPTH_CHANGE = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Malformed(ValueError):  # noqa: N818 - describes the input
    """Input that is not valid. The message names the field and the rule, never the value."""


def decode_json(data: bytes) -> object:
    """Parse one JSON value (RFC 8259) from UTF-8 bytes.

    Raises:
        Malformed: `data` is not exactly one well-formed value within the limits of this module.
    """
    if data.startswith(_BYTE_ORDER_MARK):
        raise Malformed("a byte order mark")  # RFC 8259 8.1
    return _decode(data, _DECODER, check_surrogates=True)


def decode_json_leniently(data: bytes) -> object:
    """Parse one JSON value as `decode_json` does, and accept what concerns only the value of one member.

    - A byte order mark is ignored (RFC 8259 8.1 allows that).
    - NaN, infinity, and a number that is too large for a float are `UNUSABLE`.
    - A repeated member with equal values has that value; with different ones it is `UNUSABLE`, because parsers disagree
      about it (RFC 8259 4).
    - Lone surrogates in strings are kept: the result may have strings that cannot be encoded.

    The limits on the depth and on the length of numbers hold here, too.

    Raises:
        Malformed: `data` is not one value within these rules.
    """
    return _decode(data.removeprefix(_BYTE_ORDER_MARK), _LENIENT_DECODER, check_surrogates=False)


def _decode(data: bytes, decoder: json.JSONDecoder, *, check_surrogates: bool) -> object:
    try:
        text = data.decode("utf-8").strip(_WHITE_SPACE)
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise Malformed("not UTF-8")
    if not _is_small_and_flat(text) and (
        data.count(b"[") + data.count(b"{") > MAX_DEPTH or data.count(b",") >= MAX_VALUES
    ):
        _check_structure(data)
    reason: str | None = None
    value: object = None
    try:
        value, end = decoder.raw_decode(text)
        if end != len(text):
            reason = "not JSON"
        elif check_surrogates and "\\" in text and "\\u" in text:  # to find one character takes a tenth of the time
            # In text that was valid UTF-8, only an escape can produce a lone surrogate.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except Malformed as error:
        reason = str(error)
    except UnicodeEncodeError:
        reason = "a lone surrogate in a string"
    except ValueError:
        reason = "not JSON"
    if reason is not None:
        # Raised after the except blocks. Inside, ``__context__`` would be the parser's error, which holds the input.
        raise Malformed(reason)
    return value


def encode_json(value: object) -> str:
    """Return plain values as one line of JSON.

    Raises:
        ValueError: `value` contains NaN or infinity.
    """
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _unique_members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("a repeated member")
    return members


def _mark_contradictions(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members: dict[str, object] = {}
    for name, value in pairs:
        first = members.setdefault(name, value)
        if type(first) is not type(value) or first != value:  # True == 1
            members[name] = UNUSABLE
    return members


def _reject_constant(_: str) -> object:
    raise Malformed("NaN or infinity")


def _parse_int(text: str) -> int:
    if len(text) > MAX_NUMBER_LENGTH:
        raise Malformed("a number that is too long")
    return int(text)


def _parse_float_leniently(text: str) -> object:
    if len(text) > MAX_NUMBER_LENGTH:
        raise Malformed("a number that is too long")
    number = float(text)
    return number if math.isfinite(number) else UNUSABLE


def _parse_float(text: str) -> object:
    number = _parse_float_leniently(text)
    if number is UNUSABLE:
        raise Malformed("a number that is too large")
    return number


def _is_small_and_flat(text: str) -> bool:
    """Return whether `text` has at most one object and no array, and too few characters for too many values.

    Nearly every response does. To find a character takes a tenth of the time that counting takes.
    """
    return len(text) < MAX_VALUES and "[" not in text and "{" not in text[1:]


def _count_values(data: bytes) -> int:
    """Return the largest number of values that `data` can have: each begins after a comma or an opening bracket."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def _check_structure(data: bytes) -> None:
    """Check the number of values and the depth, before anything is built of them."""
    # To remove the strings takes tens of milliseconds if there are very many: then commas in strings count as well.
    is_hopeless = _count_values(data) > 4 * MAX_VALUES
    structure = b"" if is_hopeless else _STRING.sub(b"", data)
    if is_hopeless or _count_values(structure) > MAX_VALUES:
        raise Malformed("too many values")
    brackets = structure.translate(None, delete=_NOT_A_BRACKET)
    if max(itertools.accumulate(map(_DEPTH_CHANGE.__getitem__, brackets)), default=0) > MAX_DEPTH:
        raise Malformed("nested too deeply")


# Created once: json.loads with hooks creates a decoder per call, which takes longer than parsing a token's claims.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_constant=_reject_constant, parse_int=_parse_int, parse_float=_parse_float
)
_LENIENT_DECODER = json.JSONDecoder(
    object_pairs_hook=_mark_contradictions,
    parse_constant=lambda _: UNUSABLE,
    parse_int=_parse_int,
    parse_float=_parse_float_leniently,
)
