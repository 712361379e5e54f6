"""Faults described in JSON: each member of the object is a call of the method of `Fault` with the same name.

``{"on": ["token"], "times": 2, "respond": {"status": 503, "retry_after": 3}}`` is
``faults.on("token").times(2).respond(503, retry_after=3)``.

The value of a member is the method's first argument, an object with its arguments by name, or true for a call without
arguments. The order of members has no meaning; members that exclude each other are rejected. Arguments that are
functions are not supported: the method ``when``, and functions in ``change``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast, get_args

from attrs import frozen

from twilio_oauth_async.emulator.control.arguments import (
    ControlError,
    anything,
    flag,
    integer,
    json_object,
    not_negative,
    number,
    text,
    texts,
)
from twilio_oauth_async.emulator.faults.fault import Fault, Target
from twilio_oauth_async.emulator.faults.faults import Faults

Read = Callable[[str, Any], Any]

_MAX_BYTES = 256 << 20
"""Limit for `pad` and `gzip_bomb`, so that a test does not exhaust the memory of the emulator."""


@frozen
class _Method:
    """A method of `Fault`: how to call it, and how to read each of its arguments."""

    call: Callable[..., Fault]
    parameters: Mapping[str, Read]
    required: int = 0
    """Number of parameters that must be given, counted from the first."""
    group: str = ""
    """A fault can have at most one method of each group."""
    whole: bool = False
    """Whether the value is always the first argument, even if it is an object."""


def _byte_count(name: str, value: Any) -> int:
    size = integer(name, value)
    if not 0 <= size <= _MAX_BYTES:
        raise ControlError(f"{name} must be between 0 and {_MAX_BYTES}")
    return size


def _number_or_text(name: str, value: Any) -> float | str:
    if isinstance(value, str):
        return value
    try:
        return number(name, value)
    except ControlError:
        raise ControlError(f"{name} must be a number or a string") from None


def _base64(name: str, value: Any) -> bytes:
    try:
        return base64.b64decode(text(name, value), validate=True)
    except (binascii.Error, ValueError):
        raise ControlError(f"{name} must be base64") from None


def _date(name: str, value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text(name, value))
    except ValueError:
        raise ControlError(f"{name} must be a date in ISO 8601 format") from None
    if moment.tzinfo is None:
        raise ControlError(f"{name} must have a time zone")
    return moment


def _headers(name: str, value: Any) -> dict[str, str]:
    return {key: text(f"{name}.{key}", inner) for key, inner in json_object(name, value).items()}


def _respond(fault: Fault, status: int, *, body_base64: bytes | None = None, **more: Any) -> Fault:
    return fault.respond(status, body=body_base64, **more)


def _change(fault: Fault, members: Mapping[str, Any]) -> Fault:
    return fault.change(**members)


def _omit(fault: Fault, names: tuple[str, ...]) -> Fault:
    return fault.omit(*names)


def _header(fault: Fault, headers: Mapping[str, str | None]) -> Fault:
    for name, value in headers.items():
        fault.header(name, None if value is None else text(name, value))
    return fault


METHODS: Mapping[str, _Method] = {
    # In the order of the methods in `Fault`. They are called in this order.
    "times": _Method(Fault.times, {"count": integer}, 1, "count"),
    "always": _Method(Fault.always, {}, group="count"),
    "after": _Method(Fault.after, {"count": integer}, 1),
    "chance": _Method(Fault.chance, {"probability": number}, 1),
    "on_success": _Method(Fault.on_success, {}),
    "respond": _Method(
        _respond,
        {
            "status": integer,
            "json": anything,
            "text": text,
            "body_base64": _base64,
            "content_type": text,
            "headers": _headers,
            "retry_after": _number_or_text,
            "processed": flag,
        },
        1,
        "response",
    ),
    "error": _Method(Fault.error, {"code": text, "status": integer, "description": text}, 1, "response"),
    "throttle": _Method(Fault.throttle, {"until": _date, "status": integer}, 1, "response"),
    "html": _Method(Fault.html, {"status": integer}, group="response"),
    "redirect": _Method(Fault.redirect, {"location": text, "status": integer}, 1, "response"),
    "change": _Method(_change, {"members": json_object}, 1, whole=True),
    "omit": _Method(_omit, {"names": texts}, 1, whole=True),
    "garble": _Method(Fault.garble, {"how": text}, 1),
    "status": _Method(Fault.status, {"status": integer}, 1),
    "header": _Method(_header, {"headers": json_object}, 1, whole=True),
    "pad": _Method(Fault.pad, {"size": _byte_count}),
    "gzip_bomb": _Method(Fault.gzip_bomb, {"size": _byte_count}),
    "id_token": _Method(
        Fault.id_token, {"claims": json_object, "omit": texts, "header": json_object, "signed_by": text}
    ),
    "delay": _Method(Fault.delay, {"seconds": not_negative}, 1),
    "drip": _Method(Fault.drip, {"seconds": not_negative, "chunk": integer}),
    "truncate": _Method(Fault.truncate, {"keep": number}),
    "wrong_length": _Method(Fault.wrong_length, {"by": integer}, 1),
    "reset": _Method(Fault.reset, {"moment": text}, group="connection"),
    "hang_up": _Method(Fault.hang_up, {"moment": text}, group="connection"),
    "stall": _Method(Fault.stall, {"moment": text}, group="connection"),
    "drop_response": _Method(Fault.drop_response, {}, group="connection"),
}

_SCHEMAS: Mapping[Read, dict[str, Any]] = {
    anything: {},
    flag: {"type": "boolean"},
    integer: {"type": "integer"},
    json_object: {"type": "object"},
    not_negative: {"type": "number", "minimum": 0},
    number: {"type": "number"},
    text: {"type": "string"},
    texts: {"type": "array", "items": {"type": "string"}},
    _base64: {"type": "string", "contentEncoding": "base64"},
    _byte_count: {"type": "integer", "minimum": 0, "maximum": _MAX_BYTES},
    _date: {"type": "string", "format": "date-time"},
    _headers: {"type": "object", "additionalProperties": {"type": "string"}},
    _number_or_text: {"type": ["number", "string"]},
}
"""The JSON Schema of what each of these functions reads."""

FAULT_MEMBERS = ("on", *METHODS)
"""Names of all members of a fault."""


def fault_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each member of a fault."""
    on = {"enum": sorted(get_args(Target))}
    schemas: dict[str, dict[str, Any]] = {"on": {"anyOf": [on, {"type": "array", "items": on}]}}
    for name, method in METHODS.items():
        first = next(iter(method.parameters.values()), None)
        forms = [] if first is None else [_SCHEMAS[first]]
        if not method.whole:
            parameters = {parameter: _SCHEMAS[read] for parameter, read in method.parameters.items()}
            required = list(parameters)[: method.required]
            forms.append({"type": "object", "properties": parameters, "required": required})
            if not required:
                forms.append({"const": True})
        schemas[name] = {"anyOf": forms}
    return schemas


def fault_from_json(faults: Faults, members: Mapping[str, Any]) -> Fault:
    """Add the fault that `members` describe to `faults`. Their names must be in `FAULT_MEMBERS`.

    Raises:
        ControlError: a member is not valid. No fault is added.
    """
    _check_groups(members)
    on = members.get("on", [])
    targets = (on,) if isinstance(on, str) else texts("on", on)
    try:
        fault = faults.on(*cast("tuple[Target, ...]", targets))
    except ValueError:
        raise ControlError(f"on must be a list with items from: {', '.join(get_args(Target))}") from None
    try:
        for name, method in METHODS.items():
            if name in members:
                _call(fault, name, method, members[name])
    except ControlError:
        faults.remove(fault)
        raise
    if not fault.has_effect:
        faults.remove(fault)
        raise ControlError("the fault has no effect: say what goes wrong, for example with respond or delay")
    return fault


def _check_groups(members: Mapping[str, Any]) -> None:
    groups: dict[str, str] = {}
    for name in members.keys() - {"on"}:
        group = METHODS[name].group
        if group in groups:
            first, second = sorted((name, groups[group]))
            raise ControlError(f"{first} and {second} exclude each other")
        if group:
            groups[group] = name


def _call(fault: Fault, name: str, method: _Method, value: Any) -> None:
    """Call a method of `fault` with the arguments in `value`.

    Raises:
        ControlError: the arguments are not valid.
    """
    try:
        method.call(fault, **_arguments(method, value))
    except (ControlError, ValueError) as error:  # ValueError: from the method itself
        raise ControlError(f"{name}: {error}") from None


def _arguments(method: _Method, value: Any) -> dict[str, Any]:
    if value is True and not method.whole:
        given: dict[str, Any] = {}
    elif isinstance(value, dict) and not method.whole:
        given = cast("dict[str, Any]", value)
    elif method.parameters:
        given = {next(iter(method.parameters)): value}
    else:
        raise ControlError("must be true, because it has no arguments")
    if not given.keys() <= method.parameters.keys():
        takes = ", ".join(method.parameters) or "no arguments"
        raise ControlError(f"takes {takes}; another argument is given")
    missing = [name for name in list(method.parameters)[: method.required] if name not in given]
    if missing:
        raise ControlError(f"{', '.join(missing)} is missing")
    return {name: method.parameters[name](name, inner) for name, inner in given.items()}
