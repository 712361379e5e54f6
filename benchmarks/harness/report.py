"""`Report`: the figures of one run and their limits, printed and written as JSON and Markdown."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from harness.machine import BUSY, cores, load_average, machine, versions
from harness.rounds import Spread

RESULTS = Path(__file__).parents[1] / "results"


@attrs.frozen
class Figure:
    """One number of the result."""

    group: str
    """What was measured, for example the name of a store."""
    name: str
    value: float
    unit: str
    spread: Spread | None
    at_most: float | None
    at_least: float | None

    @property
    def is_met(self) -> bool:
        """Whether the limit is met, or there is none."""
        if self.at_most is None and self.at_least is None:
            return True
        # A comparison with NaN is false, so a figure that could not be measured meets no limit.
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def text(self) -> str:
        """The value with its unit."""
        return f"{_number(self.value)} {self.unit}".strip()

    @property
    def limit(self) -> str:
        """The limit as text; empty if there is none."""
        limits = [f"at most {self.at_most:,g}"] if self.at_most is not None else []
        limits += [f"at least {self.at_least:,g}"] if self.at_least is not None else []
        return ", ".join(limits)

    def row(self) -> list[str]:
        """Return the cells of the table."""
        quartiles = "" if self.spread is None else f"{_number(self.spread.low)} to {_number(self.spread.high)}"
        limit = self.limit and self.limit + ("" if self.is_met else " **exceeded**")
        return [self.group, self.name, self.text, quartiles, limit]

    def as_json(self) -> dict[str, Any]:
        """Return the fields for the JSON file."""
        return {
            "group": self.group,
            "name": self.name,
            "value": None if math.isnan(self.value) else self.value,
            "unit": self.unit,
            "quartiles": None if self.spread is None else [self.spread.low, self.spread.high],
            "rounds": None if self.spread is None else self.spread.rounds,
            "at_most": self.at_most,
            "at_least": self.at_least,
            "met": self.is_met,
        }


class Report:
    """The result of one script. Create it before the measurements, and end the script with the value of `finish`."""

    def __init__(self, script: str, doc: str | None, *, packages: Iterable[str] = (), folder: Path = RESULTS) -> None:
        """Note the time and the load average.

        Args:
            script: the ``__file__`` of the script; its name without the extension is the name of the result.
            doc: the ``__doc__`` of the script, whose first line is the title.
            packages: that are measured too; their versions are in the result.
            folder: for the two files.
        """
        self.name = Path(script).stem
        self.title = (doc or self.name).strip().splitlines()[0]
        self.versions = versions(("twilio-oauth-async", *packages))
        """A script adds versions of other programs."""
        self.figures: list[Figure] = []
        self.notes: list[str] = []
        self._folder = folder
        self._started_at = datetime.now(UTC).replace(microsecond=0)
        self._started = time.monotonic()
        self._loads = [load_average()]

    def add(
        self,
        group: str,
        name: str,
        value: float | Spread,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Add a figure.

        Args:
            group: what was measured.
            name: which property of it.
            value: a number, or the spread of several rounds, whose median is compared with the limits.
            unit: of the value: ``us``, ``ms``, ``x`` for a ratio.
            at_most: the upper limit; None: none.
            at_least: the lower limit; None: none.
        """
        spread = value if isinstance(value, Spread) else None
        median = value.median if isinstance(value, Spread) else value
        self.figures.append(Figure(group, name, median, unit, spread, at_most, at_least))

    def note(self, text: str) -> None:
        """Add a sentence to the result: what was left out and why, or how something was measured."""
        self.notes.append(text)

    def finish(self, *, write: bool = True) -> int:
        """Print the table, write both files, and return the exit status: 1 if a limit is exceeded.

        Args:
            write: False: only a part was measured, which must not replace the result of the whole.
        """
        self._loads.append(load_average())
        self._note_load()
        exceeded = [figure for figure in self.figures if not figure.is_met]
        text = self._markdown()
        if write:
            self._write(text)
        print(text)
        for figure in exceeded:
            print(f"LIMIT EXCEEDED: {figure.group}: {figure.name}: {figure.text} ({figure.limit})")
        return int(bool(exceeded))

    def _write(self, markdown: str) -> None:
        result = {
            "name": self.name,
            "title": self.title,
            "started_at": self._started_at.isoformat(),
            "seconds": round(time.monotonic() - self._started, 1),
            "met": all(figure.is_met for figure in self.figures),
            "machine": machine(),
            "load_average": self._loads,
            "versions": self.versions,
            "notes": self.notes,
            "figures": [figure.as_json() for figure in self.figures],
        }
        self._folder.mkdir(exist_ok=True)
        (self._folder / f"{self.name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        (self._folder / f"{self.name}.md").write_text(markdown, encoding="utf-8")

    def _note_load(self) -> None:
        known = [load for load in self._loads if load is not None]
        if known and known[0] >= BUSY * cores():
            self.note(
                f"The machine was busy with other work when the run began (load average {known[0]} on {cores()} cores):"
                " times are longer than on an idle machine, and all figures vary more."
            )

    def _markdown(self) -> str:
        of = machine()
        loads = " to ".join(str(load) for load in self._loads)
        rows = [["Of", "Figure", "Value", "Quartiles", "Limit"], *(figure.row() for figure in self.figures)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_line(row, widths) for row in rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        place = f"{of['processor']}, {of['cores']} cores, {of['system']}, {of['python']}"
        facts = [
            f"{self._started_at:%Y-%m-%d %H:%M} UTC, {place}, load average {loads}",
            ", ".join(f"{name} {version}" for name, version in self.versions.items()),
            *self.notes,
        ]
        return "\n".join([f"# {self.title}", "", *lines, "", *(f"- {fact}" for fact in facts), ""])


def _line(cells: list[str], widths: list[int]) -> str:
    group, name, value, *others = zip(cells, widths, strict=True)
    padded = [cell.ljust(width) for cell, width in (group, name)]
    padded.append(value[0].rjust(value[1]))
    padded += [cell.ljust(width) for cell, width in others]
    return f"| {' | '.join(padded)} |"


def _number(value: float) -> str:
    """Return `value` with about three digits."""
    if math.isnan(value):
        return "unknown"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3g}"
