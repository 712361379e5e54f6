"""Visits every run of a scenario that differs from the usual one by at most so many deviations.

detangle runs the scenario, and records its decisions: which of the ready tasks runs next, whether bytes are slow, what
a scenario chooses, where a call is cancelled. The usual decision is 0, which is what asyncio would do. A deviation is
any other decision, whatever its number, so that the cancellation at the tenth await costs as much as one at the first.
(In detangle's own strategy DFS, it costs ten.)

The runs are visited in the order of their deviations. So the first failure is one with as few as possible.
"""

import collections
import time

import attrs
import detangle

from tests.schedules.numbered import number_futures, numbered_waiters
from tests.schedules.world import FAST, SLOW, World

CONFIG = detangle.SimConfig(
    max_steps=5_000,
    max_time=20_000.0,
    patch_time=True,  # the transport measures its time-outs with time.monotonic
    check_leaks=True,
    net=detangle.NetConfig(latency=(FAST, SLOW), latency_steps=2),
)


class NotRepeatableError(Exception):
    """The same decisions led to another run, so that the exploration may miss some."""


@attrs.frozen
class Failed:
    """A run that breaks a rule."""

    runs: int
    """The number of this run."""
    deviations: int
    message: str
    trace: str

    def __str__(self):
        return f"{self.message} (in run {self.runs:,}, with {self.deviations} deviations)\n{self.trace}"


@attrs.define
class Explored:
    """What an exploration has found."""

    runs: int = 0
    schedules: set[int] = attrs.field(factory=set, repr=len)
    """The orders in which the steps of tasks ran."""
    decisions: int = 0
    """In the longest run, without those before and after the part that is explored."""
    complete: int = -1
    """All runs with so many deviations, or fewer, were visited, and none has failed."""
    is_exhausted: bool = False
    seconds: float = 0.0
    failed: Failed | None = None

    def __str__(self):
        end = "" if self.is_exhausted else f", and a part of those with {self.complete + 1}"
        line = (
            f"{self.runs:,} runs, {len(self.schedules):,} orders of tasks, {self.decisions} decisions, "
            f"all with up to {self.complete} deviations{end}, {self.seconds:.1f} s"
        )
        return line if self.failed is None else f"{line}\nFAILED: {self.failed}"


def explore(scenario, deviations, *, until=float("inf")):
    """Explore `scenario` until all runs were visited, one has failed, or `until` (``time.monotonic``).

    Args:
        scenario: a coroutine function that takes a `World`.
        deviations: the most deviations of a run.
        until: the end.
    """
    started = time.monotonic()
    found = Explored()
    waiting = collections.deque([()])
    while waiting and found.failed is None and time.monotonic() < until:
        prefix = waiting.popleft()
        depth = sum(value > 0 for _, value in prefix)
        found.complete = depth - 1
        result, world = _run(scenario, prefix)
        _check_repeated(prefix, result.decisions)
        found.runs += 1
        found.schedules.add(result.schedule_key())
        failure = next(filter(_is_ours, filter(None, (result.failure, *result.secondary))), None)
        if failure is not None:
            found.failed = Failed(found.runs, depth, failure.headline(), _trace(scenario, prefix))
        first, last = world.explored_decisions(len(result.decisions))
        found.decisions = max(found.decisions, last - first)
        if depth < deviations:
            waiting.extend(_one_more(result.decisions, max(first, len(prefix)), last))
    found.is_exhausted = not waiting and found.failed is None
    if found.is_exhausted:
        found.complete = deviations
    found.seconds = time.monotonic() - started
    return found


def _run(scenario, prefix, *, trace=False):
    world = World()

    async def run():
        async with world.opened():
            try:
                await scenario(world)
            finally:
                world.check_requests()  # what a scenario raises may only follow from that

    strategy = detangle.Replay([value for _, value in prefix])
    with numbered_waiters():
        return detangle.execute(run, config=CONFIG, strategy=strategy, trace=trace, setup=number_futures), world


def _one_more(decisions, first, last):
    """Yield the beginnings of runs that are as this one up to some decision, and deviate there."""
    usual = [(each.n, each.value) for each in decisions]
    for number in range(first, last):
        if decisions[number].kind != "seed":
            for value in range(1, decisions[number].n):
                yield (*usual[:number], (decisions[number].n, value))


def _is_ours(failure):
    """Return whether a failure is one of this package.

    aiohttp's server relies on the order of an event loop: when a request arrives and its connection is lost in the same
    turn, the task of the connection must run before ``connection_lost``. Otherwise it ends with a TypeError, without
    consequences, because there is no client any more.
    """
    place = failure.location
    is_of_server = place is not None and place.filename.replace("\\", "/").endswith("aiohttp/web_protocol.py")
    return not (failure.kind == "unobserved-exception" and is_of_server and isinstance(failure.exception, TypeError))


def _check_repeated(prefix, decisions):
    """Raise unless a run began with `prefix`: with the same decisions, among as many possibilities."""
    began = tuple((each.n, each.value) for each in decisions[: len(prefix)])
    if began != prefix:
        raise NotRepeatableError(f"the decisions of a run are not those of its prefix: {began} instead of {prefix}")


def _trace(scenario, prefix):
    result, _ = _run(scenario, prefix, trace=True)
    return "" if result.trace is None else result.trace.render(limit=150)
