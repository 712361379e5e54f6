"""The kind of option that takes a number of seconds."""

from __future__ import annotations

import math

import click


class Seconds(click.ParamType[float]):
    """A finite number of seconds, zero included; click's own range lets NaN through."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read one; anything else is wrong usage."""
        try:
            seconds = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        if not 0 <= seconds < math.inf:
            self.fail(f"{value!r} is not zero or a positive number of seconds.", param, ctx)
        return seconds
