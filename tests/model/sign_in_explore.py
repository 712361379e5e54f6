"""Visits every world of two pools on one store that can be reached, and prints the shortest way to a violation.

::

    python -m tests.model.sign_in_explore --minutes 6

explores one scenario after the other, each with greater budgets than the one before, until the time is over.
"""

import argparse
import itertools
import sys
import time

import attrs

from tests.model.search import Search, explore_all
from tests.model.sign_in_invariants import CLOCKS, INVARIANTS, check_end
from tests.model.sign_in_moves import start, successors, urgent_process
from tests.model.sign_in_steps import PROCESSES, idle_step, perform, usual_step
from tests.model.sign_in_time import is_at_rest, moments, pass_time, wake
from tests.model.sign_in_world import NONE, Budget, Draft, Values, first_world

MAX_WORK = 60
"""Steps without waiting."""
MAX_WAITS = 120


@attrs.frozen
class Scenario:
    """Where an exploration starts."""

    budget: Budget
    interval: float = 10.0
    lifetime: float = 60.0
    callbacks: tuple[bool, bool] = (True, True)
    token: str = ""
    """What the token store has: nothing, or the token of an ``other`` sign-in."""

    def __str__(self):
        budget = ", ".join(f"{name} {value}" for name, value in self.budget._asdict().items())
        callbacks = {(True, True): "both", (True, False): "the first", (False, True): "the second"}[self.callbacks]
        stored = "another token" if self.token else "nothing"
        return f"{budget}; {self.interval:g} s of {self.lifetime:g} s, {callbacks} with on_end, {stored} stored"


class Explorer:
    """One exploration of the sign-in."""

    def __init__(self, scenario, rules=None):
        self._scenario, self._values = scenario, Values(rules)
        self._progressing = set()

    def run(self, *, until=float("inf")):
        """Explore until everything was visited, an invariant is violated, or `until` (``time.monotonic``)."""
        start_ = first_world(self._values, self._scenario)
        return Search(start_, self._successors, self._progress).run(until=until)

    def _successors(self, world):
        return successors(world, self._values)

    def _progress(self, world):
        """Return what is violated if nothing fails any more, and the steps to that."""
        works_since = world.works_since if world.outage is None else world.now
        world = world._replace(budget=Budget(), outage=None, works_since=works_since, late=())
        steps, visited, work, waits = [], [], 0, 0
        while hash(world) not in self._progressing and CLOCKS not in world.reasons:
            visited.append(hash(world))
            label, draft = self._next(world)
            if draft is None:
                violation = check_end(world, self._values)
                if violation is not None:
                    return violation, ("nothing fails any more", *steps)
                break
            if draft.now > world.now:
                work, waits = 0, waits + 1
            work += 1
            steps.append(label)
            if draft.violation:
                return draft.violation, ("nothing fails any more", *steps)
            if work > MAX_WORK or waits > MAX_WAITS:
                return "the work has no end", ("nothing fails any more", *steps)
            world = draft.world()
        self._progressing.update(visited)
        return None, ()

    def _next(self, world):
        values, urgent = self._values, urgent_process(world)
        if urgent is not None:
            return f"process {urgent}: {PROCESSES}", perform(Draft(world, values), urgent, PROCESSES)
        for p, process in enumerate(world.processes):
            if process.stopped_at is not None:
                return f"process {p} goes on", wake(Draft(world, values), p)
            if not process.is_up and world.flow != NONE:
                return f"process {p} starts", start(Draft(world, values), p)
            usual = usual_step(world, values, p)
            if usual is not None:
                return f"process {p}: {usual[0]}", usual[1]
        for p in (0, 1):
            draft = Draft(world, values)
            idle = idle_step(draft, p)
            if idle is not None:
                return f"process {p}: {idle}", perform(draft, p, idle)
        draft = Draft(world, values)
        assert all(is_at_rest(draft, p) for p in (0, 1))
        ahead = moments(world, values)
        is_over = world.flow == NONE and all(process.life == process.report == NONE for process in world.processes)
        if not ahead or is_over:
            return "", None
        return f"it becomes {ahead[0]:g} s", pass_time(draft, ahead[0])


def scenarios():
    """Yield scenarios with greater and greater budgets."""
    for total in itertools.count(1):
        for parts in sorted(itertools.product(range(total + 1), repeat=5), reverse=True):
            if sum(parts) == total:
                budget = Budget(*parts)
                yield Scenario(budget)
                yield Scenario(budget, lifetime=35.0, callbacks=(False, True), token="other")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    until = time.monotonic() + minutes * 60
    print("Invariants:", *INVARIANTS, sep="\n- ")
    return explore_all(scenarios(), Explorer, until, longest=minutes * 6)


if __name__ == "__main__":
    sys.exit(main())
