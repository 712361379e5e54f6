"""Explores all scenarios, and prints how many runs there were, and whether they were all.

::

    python -m tests.schedules.explore --deviations 3 --minutes 20

The minutes are those of one scenario. The scenarios are explored in as many processes as there are processors. Before
that, each planted fault has to be found.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.schedules import device_flows, managers, pools
from tests.schedules.explorer import explore
from tests.schedules.planted_faults import PLANTED, find

SCENARIOS = (
    device_flows.two_flows,
    managers.expiry,
    managers.logout,
    pools.submit,
    pools.cancel,
    pools.close,
)


def main():
    """Return the exit status: 1 if a scenario fails, or a fault is not found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--deviations", type=int, default=3, help="the most deviations of a run")
    parser.add_argument("--minutes", type=float, default=20.0, help="the longest time for a scenario")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="the number of processes")
    options = parser.parse_args()
    are_found = [_report_fault(fault) for fault in PLANTED]
    with ProcessPoolExecutor(options.jobs) as executor:
        explorations = [
            executor.submit(_explore, scenario, options.deviations, options.minutes * 60) for scenario in SCENARIOS
        ]
        failed = [_report(*pair) for pair in zip(SCENARIOS, explorations, strict=True)]
    return 0 if all(are_found) and not any(failed) else 1


def _report_fault(fault):
    """Print when a planted fault is found; return whether it is."""
    found = find(fault)
    where = PLANTED[fault][0].__name__
    name = fault.__name__.replace("_", " ")
    if found.failed is None:
        print(f"planted in {where}: {name}: NOT FOUND in {found.runs:,} runs", flush=True)
        return False
    print(
        f"planted in {where}: {name}: found in run {found.runs:,}, with {found.failed.deviations} deviations",
        flush=True,
    )
    return True


def _explore(scenario, deviations, seconds):
    found = explore(scenario, deviations, until=time.monotonic() + seconds)
    return str(found), found.failed is not None


def _report(scenario, exploration):
    """Print what an exploration has found; return whether a run has failed."""
    text, has_failed = exploration.result()
    print(f"{scenario.__name__}: {text}", flush=True)
    return has_failed


if __name__ == "__main__":
    sys.exit(main())
