"""Faults ordered in JSON: each member of the object stands for the method of `Fault` with the same name.

``{"on": ["token"], "times": 2, "answer": {"status": 503, "retry_after": 3}}`` is
``faults.on("token").times(2).answer(503, retry_after=3)``.

A member's value is the method's first argument, an object with its arguments by name, or true where it has none or
shall have none. A JSON object has no order, and needs none here: what excludes one another is refused. Not to be had
this way is what takes a function: ``when``, and functions in ``change``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, cast, get_args

from attrs import frozen

from twilio_oauth_async.emulator.control.arguments import (
    ControlError,
    anything,
    flag,
    json_object,
    not_negative,
    number,
    text,
    texts,
    whole_number,
)
from twilio_oauth_async.emulator.faults.fault import Fault, Faults, Target

Read = Callable[[str, Any], Any]

_MOST_BYTES = 256 << 20
"""What `pad` and `gzip_bomb` may be told: more would only hurt the emulator itself."""


@frozen
class _Step:
    """One method of `Fault`: how to call it, and how to read each of its arguments."""

    call: Callable[..., Fault]
    takes: Mapping[str, Read]
    needed: int = 0
    """How many of the first in `takes` must be there."""
    group: str = ""
    """Of the steps of one group a fault has one at most."""
    whole: bool = False
    """The value as it stands is the first argument, also where it is an object."""


def _byte_count(name: str, value: Any) -> int:
    size = whole_number(name, value)
    if not 0 <= size <= _MOST_BYTES:
        raise ControlError(f"{name} must be between 0 and {_MOST_BYTES}")
    return size


def _number_or_text(name: str, value: Any) -> float | str:
    if isinstance(value, str):
        return value
    try:
        return number(name, value)
    except ControlError:
        raise ControlError(f"{name} must be a number or a string") from None


def _decoded(name: str, value: Any) -> bytes:
    try:
        return base64.b64decode(text(name, value), validate=True)
    except (binascii.Error, ValueError):
        raise ControlError(f"{name} must be base64") from None


def _headers(name: str, value: Any) -> dict[str, str]:
    return {key: text(f"{name}.{key}", inner) for key, inner in json_object(name, value).items()}


def _answer(fault: Fault, status: int, *, body_base64: bytes | None = None, **more: Any) -> Fault:
    return fault.answer(status, body=body_base64, **more)


def _change(fault: Fault, members: Mapping[str, Any]) -> Fault:
    return fault.change(**members)


def _omit(fault: Fault, names: tuple[str, ...]) -> Fault:
    return fault.omit(*names)


def _header(fault: Fault, headers: Mapping[str, str | None]) -> Fault:
    for name, value in headers.items():
        fault.header(name, None if value is None else text(name, value))
    return fault


STEPS: Mapping[str, _Step] = {
    # In the order of the methods in `Fault`; this is also the order in which they are called.
    "times": _Step(Fault.times, {"count": whole_number}, 1, "how often"),
    "always": _Step(Fault.always, {}, group="how often"),
    "after": _Step(Fault.after, {"count": whole_number}, 1),
    "chance": _Step(Fault.chance, {"probability": number}, 1),
    "on_success": _Step(Fault.on_success, {}),
    "answer": _Step(
        _answer,
        {
            "status": whole_number,
            "json": anything,
            "text": text,
            "body_base64": _decoded,
            "content_type": text,
            "headers": _headers,
            "retry_after": _number_or_text,
            "processed": flag,
        },
        1,
        "answers",
    ),
    "error": _Step(Fault.error, {"code": text, "status": whole_number, "description": text}, 1, "answers"),
    "html": _Step(Fault.html, {"status": whole_number}, group="answers"),
    "redirect": _Step(Fault.redirect, {"location": text, "status": whole_number}, 1, "answers"),
    "change": _Step(_change, {"members": json_object}, 1, whole=True),
    "omit": _Step(_omit, {"names": texts}, 1, whole=True),
    "garble": _Step(Fault.garble, {"how": text}, 1),
    "status": _Step(Fault.status, {"status": whole_number}, 1),
    "header": _Step(_header, {"headers": json_object}, 1, whole=True),
    "pad": _Step(Fault.pad, {"size": _byte_count}),
    "gzip_bomb": _Step(Fault.gzip_bomb, {"size": _byte_count}),
    "id_token": _Step(Fault.id_token, {"claims": json_object, "omit": texts, "header": json_object, "signed_by": text}),
    "delay": _Step(Fault.delay, {"seconds": not_negative}, 1),
    "drip": _Step(Fault.drip, {"seconds": not_negative, "chunk": whole_number}),
    "truncate": _Step(Fault.truncate, {"keep": number}),
    "wrong_length": _Step(Fault.wrong_length, {"by": whole_number}, 1),
    "reset": _Step(Fault.reset, {"moment": text}, group="ends of the connection"),
    "hang_up": _Step(Fault.hang_up, {"moment": text}, group="ends of the connection"),
    "stall": _Step(Fault.stall, {"moment": text}, group="ends of the connection"),
    "drop_answer": _Step(Fault.drop_answer, {}, group="ends of the connection"),
}

ORDER_MEMBERS = ("on", *STEPS)


def order_fault(faults: Faults, order: Mapping[str, Any]) -> Fault:
    """Make the fault that `order` describes; its members are of `ORDER_MEMBERS`.

    Raises:
        ControlError: it describes none; no fault is left behind.
    """
    _demand_one_of_each_group(order)
    targets = texts("on", order.get("on", []))
    try:
        fault = faults.on(*cast("tuple[Target, ...]", targets))
    except ValueError:
        raise ControlError(f"on is a list of {', '.join(get_args(Target))}") from None
    try:
        for name, step in STEPS.items():
            if name in order:
                _take(fault, name, step, order[name])
    except ControlError:
        faults.remove(fault)
        raise
    return fault


def _demand_one_of_each_group(order: Mapping[str, Any]) -> None:
    groups: dict[str, str] = {}
    for name in order.keys() - {"on"}:
        group = STEPS[name].group
        if group in groups:
            first, second = sorted((name, groups[group]))
            raise ControlError(f"{first} and {second} exclude each other")
        if group:
            groups[group] = name


def _take(fault: Fault, name: str, step: _Step, value: Any) -> None:
    """Call one method with what stands for its arguments.

    Raises:
        ControlError: they are not what it takes.
    """
    try:
        step.call(fault, **_arguments(step, value))
    except (ControlError, ValueError) as error:  # ValueError: the method's own opinion of what it was given
        raise ControlError(f"{name}: {error}") from None


def _arguments(step: _Step, value: Any) -> dict[str, Any]:
    if value is True and not step.whole:
        given: dict[str, Any] = {}
    elif isinstance(value, dict) and not step.whole:
        given = cast("dict[str, Any]", value)
    elif step.takes:
        given = {next(iter(step.takes)): value}
    else:
        raise ControlError("it has no arguments, and true stands for it")
    if not given.keys() <= step.takes.keys():
        raise ControlError(f"it takes {', '.join(step.takes) or 'nothing'}; there is something else in it")
    missing = [name for name in list(step.takes)[: step.needed] if name not in given]
    if missing:
        raise ControlError(f"{', '.join(missing)} is missing")
    return {name: step.takes[name](name, inner) for name, inner in given.items()}
