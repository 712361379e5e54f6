"""Measures several things in turn, so that other programs on the machine disturb all of them alike."""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

import attrs

if sys.platform != "win32":
    import resource

MICROSECONDS = 1e6


@attrs.define
class Usage:
    """Seconds that a piece of work took."""

    wall: float = 0.0
    cpu: float = 0.0
    """CPU time of all threads of this process."""
    children: float = 0.0
    """CPU time of the child processes that have ended and were waited for meanwhile. Always 0 on Windows."""


Round = Callable[[], Awaitable[Usage | None]]
"""One round of a contestant. It returns what it has measured itself, or None: then the whole round is measured."""


@attrs.frozen
class Spread:
    """Median and quartiles of the values of all rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of `values`, at least one."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def scaled(self, factor: float) -> Spread:
        """Return the spread of all values multiplied by `factor`."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.rounds)


@attrs.define
class Series:
    """The rounds of one contestant."""

    calls: int
    """Per round."""
    usages: list[Usage] = attrs.Factory(list[Usage])

    @property
    def wall(self) -> Spread:
        """Microseconds per call."""
        return Spread.of([usage.wall / self.calls * MICROSECONDS for usage in self.usages])

    @property
    def cpu(self) -> Spread:
        """Microseconds of CPU time per call, with those of child processes that have ended."""
        return Spread.of([(usage.cpu + usage.children) / self.calls * MICROSECONDS for usage in self.usages])


@contextlib.contextmanager
def measured() -> Generator[Usage]:
    """Measure what runs inside; the result is complete after the end of the block."""
    usage = Usage()
    children, cpu, wall = _cpu_of_children(), time.process_time(), time.perf_counter()
    try:
        yield usage
    finally:
        usage.wall = time.perf_counter() - wall
        usage.cpu = time.process_time() - cpu
        usage.children = _cpu_of_children() - children


def _cpu_of_children() -> float:
    if sys.platform == "win32":
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def in_turn(
    contestants: Mapping[str, Round], *, rounds: int, calls: int = 1, warm_up: int = 1
) -> dict[str, Series]:
    """Run one round of each contestant, then the next round of each, and so on.

    Args:
        contestants: by name. Each round begins with another one, so that no place in the order is an advantage.
        rounds: that are measured.
        calls: the number of calls in one round of a contestant; the results are per call.
        warm_up: rounds before, which are not measured.
    """
    series = {name: Series(calls) for name in contestants}
    names = list(contestants)
    for number in range(-warm_up, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()  # the garbage of one contestant does not cost the next one time
            with measured() as usage:
                own = await contestants[name]()
            if number >= 0:
                series[name].usages.append(own or usage)
    return series


def repeat(call: Callable[[], Awaitable[object]], calls: int) -> Round:
    """Return a round that awaits `call` repeatedly."""

    async def run() -> Usage:
        with measured() as usage:
            for _ in range(calls):
                await call()
        return usage

    return run


def ratios(one: Series, other: Series) -> Spread:
    """Return how many times the time of `other` the time of `one` is, per call, round by round.

    A ratio of two times that were measured one after the other varies less than the times themselves.
    """
    pairs = zip(one.usages, other.usages, strict=True)
    return Spread.of([a.wall / one.calls / (b.wall / other.calls) for a, b in pairs])


def cpu_ratios(one: Series, other: Series) -> Spread:
    """Return the same as `ratios` for the CPU time, on which other programs have little influence."""
    pairs = zip(one.usages, other.usages, strict=True)
    return Spread.of([(a.cpu + a.children) / one.calls / ((b.cpu + b.children) / other.calls) for a, b in pairs])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that is at least as great as `share` (0 to 1) of all values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
