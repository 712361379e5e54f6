"""`quietest`: repeats a measurement that needs a quiet machine, and uses the rounds that were disturbed least.

Only what other programs do decides which rounds are used, never the result of a round.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import TypeVar

from harness.machine import cpu_of_process

T = TypeVar("T")

QUIET = 0.3
"""A round is quiet if other programs use at most so much CPU time per second, on all cores together."""


async def quietest(
    run: Callable[[], Awaitable[T]], *, rounds: int, attempts: int, servers: Collection[int] = ()
) -> tuple[list[T], float]:
    """Await `run` until `rounds` of its rounds were quiet, but at most `attempts` times.

    Args:
        run: one round.
        rounds: how many are needed.
        attempts: how often `run` is awaited at most; at least `rounds`.
        servers: ids of processes that belong to the measurement, as this process does.

    Returns:
        The results of the quietest `rounds`, and the CPU time per second that other programs used in the least quiet of
        them. Where it is not known (not Linux), the first `rounds` are used, and it is NaN.
    """
    done: list[tuple[float, int, T]] = []
    while len(done) < attempts and sum(others <= QUIET for others, _, _ in done) < rounds:
        before, started = _cpu_of_others(servers), time.perf_counter()
        result = await run()
        after = _cpu_of_others(servers)
        if before is None or after is None:
            return [result, *[await run() for _ in range(rounds - 1)]], float("nan")
        # The clock of the kernel for the whole machine has steps of 10 ms, so a difference may be below 0.
        done.append((max(0.0, after - before) / (time.perf_counter() - started), len(done), result))
    used = sorted(done, key=lambda each: each[:2])[:rounds]
    return [result for _, _, result in used], used[-1][0]


def _cpu_of_others(servers: Collection[int]) -> float | None:
    """Return the CPU time that this machine has spent on other programs, in seconds, including what its host took."""
    try:
        line = Path("/proc/stat").read_text().partition("\n")[0]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
    busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return busy - time.process_time() - sum(cpu_of_process(pid) or 0.0 for pid in servers)
