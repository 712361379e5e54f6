"""Checks of arguments that constructors share: numbers, texts that are sent, and objects of the caller.

An argument of a wrong type is reported as any other wrong value is: by a `ConfigurationError` that names it. No message
contains the value, which may be a secret.
"""

from __future__ import annotations

import math

from twilio_oauth_async.errors import ConfigurationError


def number(value: object) -> float | None:
    """Return an int or float as a float; None for NaN, a bool, an int that is too large, and all other values."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return None if math.isnan(result) else result


def is_text(value: object) -> bool:
    """Return whether `value` is a string, whatever its annotation says."""
    return isinstance(value, str)


def is_printable(value: object) -> bool:
    """Return whether `value` is a string, not empty, without control characters and lone surrogates."""
    return isinstance(value, str) and value != "" and value.isprintable()


def check_seconds(name: str, value: object, *, may_be_infinite: bool = True) -> None:
    """Check that `value` is a positive number of seconds.

    Raises:
        ConfigurationError: it is not.
    """
    seconds = number(value)
    if seconds is None or seconds <= 0 or (seconds == math.inf and not may_be_infinite):
        raise ConfigurationError(f"{name} must be a positive number of seconds")


def check_count(name: str, value: object, least: int) -> None:
    """Check that `value` is an int and at least `least`.

    Raises:
        ConfigurationError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} must be at least {least}")


def check_callable(name: str, value: object, what: str) -> None:
    """Check that `value` is None or can be called; `what` completes "must be".

    Raises:
        ConfigurationError: it is neither.
    """
    if value is not None and not callable(value):
        raise ConfigurationError(f"{name} must be {what}")


def check_methods(name: str, value: object, methods: tuple[str, ...], what: str) -> None:
    """Check that `value` has all `methods`; `what` completes "must be".

    Raises:
        ConfigurationError: one is missing.
    """
    if not all(callable(getattr(value, method, None)) for method in methods):
        raise ConfigurationError(f"{name} must be {what}")


def check_clock(clock: object) -> None:
    """Check that `clock` is None or has the methods of a `Clock`.

    Raises:
        ConfigurationError: it is neither.
    """
    if clock is not None:
        check_methods("clock", clock, ("monotonic", "now", "sleep"), "a Clock, for example SystemClock()")


def check_no_line_break(name: str, value: object) -> None:
    """Check that a text does not end with a line break.

    Files and variables that hold a secret often end with one. It would be sent, and the server would only say that the
    secret is wrong.

    Raises:
        ConfigurationError: it does.
    """
    if isinstance(value, str) and value.endswith(("\n", "\r")):
        raise ConfigurationError(f"{name} ends with a line break: remove it, for example with str.strip()")
