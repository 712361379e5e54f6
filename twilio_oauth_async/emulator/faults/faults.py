"""`Faults`: the faults of one emulator, in the order in which they were added."""

from __future__ import annotations

import random
from collections.abc import Iterator

from twilio_oauth_async.emulator.faults.fault import TARGETS, Fault, Target
from twilio_oauth_async.emulator.messages.journal import RecordedRequest


class Faults:
    """The faults of one emulator."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._count = 0
        self._faults: list[Fault] = []

    def on(self, *targets: Target) -> Fault:
        """Add a fault for these endpoints, or for all endpoints of the API if none is given.

        Raises:
            ValueError: one of `targets` does not exist.
        """
        unknown = set(targets) - TARGETS
        if unknown:
            raise ValueError(f"no such endpoint: {', '.join(sorted(unknown))}; use {', '.join(sorted(TARGETS))}")
        # Each fault has its own random numbers, so that adding a fault does not change which requests the others hit.
        fault = Fault(self._count, frozenset(targets) or TARGETS, random.Random(f"{self._seed}:{self._count}"))  # noqa: S311 - tests
        self._count += 1
        self._faults.append(fault)
        return fault

    def __iter__(self) -> Iterator[Fault]:
        return iter(list(self._faults))

    def remove(self, fault: Fault) -> None:
        """Remove `fault` if it is there."""
        if fault in self._faults:
            self._faults.remove(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    @property
    def unused(self) -> list[Fault]:
        """Faults that have hit less often than configured. A test can check at its end that there are none."""
        return [fault for fault in self._faults if fault.is_unused]

    def select(self, record: RecordedRequest) -> Fault | None:
        """Return the fault that hits this request, or None. Must be called once per request, as `Fault.applies_to`."""
        return next((fault for fault in self._faults if fault.applies_to(record)), None)

    def __repr__(self) -> str:
        return f"<Faults {self._faults}>"
