"""Visits every world that can be reached from a first one, breadth first, and keeps the shortest way to a violation."""

import gc
import time
from array import array

import attrs

NO_PROCESS = -1
"""In place of the number of a process: a move comes from outside."""


@attrs.define
class Explored:
    """What a search has found."""

    worlds: int = 0
    transitions: int = 0
    depth: int = 0
    is_complete: bool = False
    seconds: float = 0.0
    violation: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self):
        end = "complete" if self.is_complete else "not complete"
        line = (
            f"{self.worlds:,} worlds, {self.transitions:,} transitions, depth {self.depth}, {end}, {self.seconds:.1f} s"
        )
        steps = "".join(f"\n  {number}. {step}" for number, step in enumerate(self.trace, 1))
        return line if self.violation is None else f"{line}\nVIOLATED: {self.violation}{steps}"


class Search:
    """One search. It keeps the hashes of the worlds that it has visited (64 bits), and for each how it came."""

    def __init__(self, first, successors, progress):
        """Create it.

        Args:
            first: the first world.
            successors: returns the next worlds of a world: tuples of the label, the process, the world, whether the
                processes were swapped in it, and what is violated.
            progress: returns what is violated if nothing fails any more, or None, and the steps to that.
        """
        self._first, self._successors, self._progress = first, successors, progress
        self._visited = set()
        self._parents, self._moves = array("q"), array("q")
        self._labels = {}

    def run(self, *, until=float("inf")):
        """Explore until everything was visited, an invariant is violated, or `until` (``time.monotonic``)."""
        gc.freeze()  # what is kept has no cycles
        started = time.monotonic()
        found = Explored()
        self._visited.add(hash(self._first))
        self._add(-1, "", NO_PROCESS, False)
        level = [(0, self._first)]
        while level and found.violation is None and time.monotonic() < until:
            level = self._next_level(level, found, until)
            if level:
                found.depth += 1
        found.is_complete = not level
        found.worlds = len(self._visited)
        found.seconds = time.monotonic() - started
        return found

    def _next_level(self, level, found, until):
        following = []
        for number, (index, world) in enumerate(level):
            if number % 1024 == 0 and time.monotonic() >= until:
                return following or level
            for label, p, after, is_swapped, violation in self._successors(world):
                found.transitions += 1
                identity = hash(after)
                if identity in self._visited and violation is None:
                    continue
                self._visited.add(identity)
                at = self._add(index, label, p, is_swapped)
                following.append((at, after))
                further = ()
                if violation is None:
                    violation, further = self._progress(after)
                if violation is not None:
                    found.violation, found.trace = violation, (*self._trace(at), *further)
                    return following
        return following

    def _add(self, parent, label, p, is_swapped):
        self._parents.append(parent)
        number = self._labels.setdefault(label, len(self._labels))
        self._moves.append(number * 8 + (p + 1) * 2 + is_swapped)
        return len(self._parents) - 1

    def _trace(self, at):
        labels = list(self._labels)
        moves = []
        while at > 0:
            moves.append(self._moves[at])
            at = self._parents[at]
        steps, swapped = [], 0
        for move in reversed(moves):
            p = move // 2 % 4 - 1
            who = "" if p == NO_PROCESS else f"process {p ^ swapped}: "
            steps.append(who + labels[move // 8])
            swapped ^= move % 2
        return tuple(steps)


def explore_all(scenarios, search_of, until, longest=float("inf")):
    """Search one scenario after the other until `until`, print what was found, and return the exit status.

    Args:
        scenarios: yields scenarios.
        search_of: returns the search of a scenario.
        until: the end, by ``time.monotonic``.
        longest: seconds for one scenario, so that one with many worlds does not take all of the time.
    """
    worlds = transitions = number = 0
    for scenario in scenarios:
        found = search_of(scenario).run(until=min(until, time.monotonic() + longest))
        print(f"{scenario}: {found}", flush=True)
        number, worlds, transitions = number + 1, worlds + found.worlds, transitions + found.transitions
        if found.violation is not None:
            return 1
        if time.monotonic() >= until:
            break
    print(f"{number} scenarios, {worlds:,} worlds, {transitions:,} transitions, 0 violations")
    return 0
