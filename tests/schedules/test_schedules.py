"""Each scenario with one deviation; ``nox -s schedules`` allows three. Planted faults show that the tests can fail."""

import asyncio
import itertools
import re

import detangle
import pytest

from tests.schedules.explore import SCENARIOS
from tests.schedules.explorer import NotRepeatableError, explore
from tests.schedules.planted_faults import PLANTED, find


@pytest.fixture(autouse=True, scope="module")
def locks_as_before():
    """Restore the locks of asyncio, which detangle wraps when its first event loop is created, for later tests."""
    methods = [
        (kind, name, getattr(kind, name))
        for kind in (asyncio.Lock, asyncio.Semaphore)
        for name in ("acquire", "release")
    ]
    yield
    for kind, name, method in methods:
        setattr(kind, name, method)
    detangle._instrument._installed = False


def name(function):
    return function.__name__


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_rules_hold_in_every_run_with_one_deviation(scenario):
    found = explore(scenario, 1)
    assert found.failed is None, str(found)
    assert found.is_exhausted
    assert found.runs > found.decisions / 2, "the decisions are explored"


@pytest.mark.parametrize("fault", PLANTED, ids=name)
def test_exploration_finds_planted_fault(fault):
    _, message = PLANTED[fault]
    found = find(fault)
    assert found.failed is not None, f"not found in {found.runs} runs"
    assert re.search(message, found.failed.message), found.failed.message
    assert found.failed.trace


async def in_turn(results, count):
    """Let `count` tasks append their numbers to `results`."""

    async def append(number):
        results.append(number)

    await asyncio.gather(*(append(number) for number in range(count)))


def test_failure_needs_as_few_deviations_as_possible():
    async def reads_last_first(world):
        world.explore_from_here()
        results = []
        await in_turn(results, 3)
        assert results != [2, 1, 0], "reversed"

    assert explore(reads_last_first, 1).is_exhausted
    found = explore(reads_last_first, 3)
    assert (found.failed.deviations, found.failed.message.splitlines()[0]) == (2, "AssertionError: reversed ...")


def test_every_order_of_three_tasks_is_visited_once():
    orders = []

    async def remember(world):
        world.explore_from_here()
        results = []
        await in_turn(results, 3)
        world.explore_until_here()
        orders.append(tuple(results))

    assert explore(remember, 2).is_exhausted
    assert set(orders) == set(itertools.permutations(range(3)))


def test_run_that_cannot_be_repeated_is_an_error():
    """An exploration that misses runs must not end as if it had visited all of them."""
    runs = []

    async def differs(world):
        runs.append(world)
        world.explore_from_here()
        await in_turn([], 5 - len(runs) % 3)

    with pytest.raises(NotRepeatableError):
        explore(differs, 3)
