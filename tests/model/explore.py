"""Visits every world that can be reached, breadth first, and prints the shortest way to a violation.

::

    python -m tests.model.explore --minutes 10

explores one scenario after the other, each with greater budgets than the one before, until the time is over.
"""

import argparse
import itertools
import sys
import time

import attrs

from tests.model.invariants import INVARIANTS
from tests.model.machine import Machine
from tests.model.moves import moments, successors, usual_step
from tests.model.search import Search, explore_all
from tests.model.world import Budget, Draft, first_world
from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.tokens.state import AskForLogin, Work

MAX_WORK = 60
"""Steps without waiting, of two processes that start with nothing."""
MAX_WAITS = 20


@attrs.frozen
class Scenario:
    """Where an exploration starts."""

    budget: Budget
    refresh_lifetime: float | None = None
    is_signed_in: bool = True

    def __str__(self):
        start = "signed in" if self.is_signed_in else "nothing stored"
        lifetime = "" if self.refresh_lifetime is None else f", refresh tokens of {self.refresh_lifetime:g} s"
        return ", ".join(f"{name} {value}" for name, value in self.budget._asdict().items()) + f"; {start}{lifetime}"


class Explorer:
    """One exploration of the life of a token."""

    def __init__(self, scenario, machine=None, *, checks_progress=True):
        self._scenario = scenario
        self._machine = machine or Machine()
        self._checks_progress = checks_progress
        self._progressing = set()

    def run(self, *, until=float("inf")):
        """Explore until everything was visited, an invariant is violated, or `until` (``time.monotonic``)."""
        scenario = self._scenario
        start = first_world(
            self._machine, scenario.budget, scenario.refresh_lifetime, is_signed_in=scenario.is_signed_in
        )
        return Search(start, self._successors, self._progress).run(until=until)

    def _successors(self, world):
        return successors(world, self._machine, self._scenario.refresh_lifetime)

    def _progress(self, world):
        """Return what is violated if nothing fails any more, and the steps to that."""
        if not self._checks_progress:
            return None, ()
        violation, steps = self._follow(world._replace(budget=Budget()))
        return violation, ("nothing fails any more", *steps)

    def _follow(self, world):
        machine, steps, visited = self._machine, [], []
        work = waits = 0
        while True:
            identity = hash(world)
            if identity in self._progressing:
                break
            visited.append(identity)
            moved = False
            for p in (0, 1):
                usual = usual_step(world, machine, self._scenario.refresh_lifetime, p)
                if usual is not None and not self._is_resting(world.processes[p]):
                    label, draft = usual
                    draft.end_rounds()
                    processes = tuple(draft.processes)
                    steps.append(f"process {p}: {label}")
                    moved = True
                    if processes == world.processes:
                        return "the work has no end", steps
                    world = draft.world(keeps_names=True)[0]
            if moved:
                work += 1
                if work > MAX_WORK:
                    return "the work has no end", steps
                continue
            if all(self._has_come_to_an_end(process) for process in world.processes):
                break
            ahead = moments(world, machine)
            waits += 1
            if not ahead or waits > MAX_WAITS:
                return "a process comes neither to a valid token nor to a login", steps
            were_well = [self._is_well(world, process) for process in world.processes]
            world, work = _after(world, machine, self._scenario.refresh_lifetime, ahead[0]), 0
            steps.append(f"{ahead[0]:g} s pass")
            for was_well, process in zip(were_well, world.processes, strict=True):
                if was_well and machine.decide(process.state).use is None:
                    return "a token has expired that could be refreshed before", steps
        self._progressing.update(visited)
        return None, steps

    def _is_resting(self, process):
        return not process.is_working and not isinstance(self._machine.decide(process.state).next, Work)

    def _is_well(self, world, process):
        """Return whether nothing has failed that would delay the refresh of the token that the process uses."""
        state, stored = self._machine.values[process.state], self._machine.values[world.record]
        held = state.held
        is_shared = held is not None and isinstance(stored, StoredToken) and held.stored == stored
        return (
            is_shared
            and self._machine.decide(process.state).use is not None
            and Draft(world, self._machine).accepts(stored)
            and not (stored.unanswered or state.failures or state.store_failures or state.rejected)
        )

    def _has_come_to_an_end(self, process):
        decision = self._machine.decide(process.state)
        is_usable = decision.use is not None or isinstance(decision.next, AskForLogin)
        return is_usable and not process.is_working and not isinstance(decision.next, Work)


def _after(world, machine, refresh_lifetime, seconds):
    draft = Draft(world, machine, refresh_lifetime)
    draft.pass_time(monotonic=seconds, wall=seconds, true=seconds)
    draft.end_rounds()
    return draft.world(keeps_names=True)[0]


def scenarios():
    """Yield scenarios with greater and greater budgets."""
    for total in itertools.count(1):
        for faults, events, steps in sorted(itertools.product(range(total + 1), repeat=3), reverse=True):
            if faults + events + steps == total:
                budget = Budget(faults, events, jumps=total, steps=steps)
                yield Scenario(budget)
                if events:
                    yield Scenario(budget, is_signed_in=False)
                yield Scenario(budget, refresh_lifetime=250.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    until = time.monotonic() + parser.parse_args().minutes * 60
    print("Invariants:", *INVARIANTS, sep="\n- ")
    return explore_all(scenarios(), Explorer, until)


if __name__ == "__main__":
    sys.exit(main())
