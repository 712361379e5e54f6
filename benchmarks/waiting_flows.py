"""Thousands of device flows that wait in one process, compared with bare coroutines that sleep and post with aiohttp.

    python benchmarks/waiting_flows.py

Each measurement runs in a process of its own (`waiting_client.py`), in turn with the one that it is compared with. The
server responds with ``authorization_pending`` from another process, and counts the polls that come before the interval
has passed. A poll is late by the time between the moment for which it was scheduled and the moment when it begins.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import attrs
from constant_server import constant_server
from harness import RESULTS, Report, Spread, write_plot
from waiting_client import Task

CLIENT = Path(__file__).with_name("waiting_client.py")
ROUNDS = 3
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
LARGEST_INTERVAL = 60.0
MAX_CPU, MAX_LATE, MAX_MEMORY, MAX_STALL, MAX_GROWTH = 0.80, 1.0, 1.0, 50.0, 1.5
SLOW, SLOW_FLOWS = 2.0, 5_000
COLLECTOR = {
    "collector as it is": None,
    "collector with higher thresholds": (100_000, 50, 100),
    "collector off": (0, 0, 0),
}
"""Arguments of ``gc.set_threshold``."""

FIGURES = (
    ("cpu", "CPU of a poll", "us"),
    ("p99", "late, p99", "ms"),
    ("memory", "memory of a flow before the first poll", "KiB"),
    ("memory after", "memory of a flow after polls", "KiB"),
    ("full", "full garbage collections", ""),
)
Figures = dict[str, float]


async def measure(client: str, flows: int, interval: float, seconds: float, loop: str = "", **options: Any) -> Figures:
    """Run one process, and return what it has measured."""
    async with constant_server(interval=interval, delay=options.pop("delay", 0.0)) as url:
        task = Task(client=client, url=url, flows=flows, interval=interval, seconds=seconds, **options)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(CLIENT), json.dumps(attrs.asdict(task)), *([loop] if loop else [])),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        line = await process.stdout.readline()
        await process.wait()
    figures: Figures = json.loads(line)
    print(
        client, flows, interval, loop, options, {name: round(value, 2) for name, value in figures.items()}, flush=True
    )
    return figures


async def many(report: Report) -> None:
    """10,000 flows with an interval of 5 s."""
    pairs = [
        [await measure(client, 10_000, 5.0, 15.0, warm_up=5.0) for client in ("ours", "bare")] for _ in range(ROUNDS)
    ]
    group = "10,000 flows at 5 s"
    for name, index in (("this package", 0), ("bare coroutines", 1)):
        for figure, title, unit in FIGURES:
            report.add(group, f"{name}: {title}", Spread.of([pair[index][figure] for pair in pairs]), unit)
    cpu = Spread.of([ours["cpu"] / theirs["cpu"] for ours, theirs in pairs])
    late = Spread.of([ours["p99"] / theirs["p99"] for ours, theirs in pairs])
    report.add(group, "CPU of a poll / bare", cpu, "x", at_most=MAX_CPU)
    report.add(group, "late, p99 / bare", late, "x", at_most=MAX_LATE)
    report.add(group, "polls that were early", sum(ours["early"] for ours, _ in pairs), "", at_most=0)
    for title, figure in (("before the first poll", "memory"), ("after polls", "memory after")):
        more = Spread.of([ours[figure] - theirs[figure] for ours, theirs in pairs])
        report.add(group, f"memory of a flow {title} - bare", more, "KiB", at_most=MAX_MEMORY)
    uvloop = await measure("ours", 10_000, 5.0, 15.0, "uvloop", warm_up=5.0)
    report.add(group, "CPU of a poll with uvloop / asyncio", uvloop["cpu"] / pairs[-1][0]["cpu"], "x")


async def burst(report: Report) -> None:
    """10,000 flows that were started at the same moment."""
    for name, thresholds in COLLECTOR.items():
        figures = await measure("ours", 10_000, 5.0, 8.0, together=True, thresholds=thresholds)
        group = f"10,000 flows started together, {name}"
        report.add(group, "longest stall of the event loop", figures["stall"], "ms", at_most=MAX_STALL)
        report.add(group, "late, p99", figures["p99"], "ms")
        report.add(group, "polls that were early", figures["early"], "", at_most=0)


async def slow_server(report: Report) -> None:
    """5,000 flows at 5 s, whose server needs 2 s for each response."""
    group = "5,000 flows at 5 s, responses after 2 s"
    for name, client in (("this package", "ours"), ("bare coroutines", "bare")):
        figures = await measure(client, SLOW_FLOWS, 5.0, 15.0, delay=SLOW, connections=4096, warm_up=2 * (5.0 + SLOW))
        # The interval is lengthened by a hundredth for a clock that runs fast.
        limit = (5.0 + SLOW) * 1.01 if client == "ours" else None
        report.add(group, f"{name}: longest time between two polls", figures["longest"], "s", at_most=limit)
        report.add(group, f"{name}: late, p99", figures["p99"], "ms")


async def scaling(report: Report) -> None:
    """The same number of polls a second, from ever more flows."""
    lines: dict[str, list[tuple[float, float]]] = {"this package": [], "bare coroutines": []}
    for flows in SIZES:
        interval = LARGEST_INTERVAL * flows / SIZES[-1]
        for name, client in (("this package", "ours"), ("bare coroutines", "bare")):
            is_whole = client == "ours" and flows == SIZES[-1]
            figures = await measure(client, flows, interval, 60.0 if is_whole else 10.0, warm_up=2.0)
            lines[name].append((flows, figures["cpu"]))
            group = f"{flows:,} flows at {interval:g} s"
            report.add(group, f"{name}: CPU of a poll", figures["cpu"], "us")
            if client == "ours":
                report.add(group, f"{name}: late, p99", figures["p99"], "ms")
                report.add(group, f"{name}: polls that were early", figures["early"], "", at_most=0)
                report.add(group, f"{name}: memory of a flow", figures["memory"], "KiB")
    ours = lines["this package"]
    report.add("100,000 flows / 1,000 flows", "CPU of a poll", ours[-1][1] / ours[0][1], "x", at_most=MAX_GROWTH)
    write_plot(
        RESULTS / "waiting_flows.svg",
        "CPU time of a poll, at 1,667 polls a second",
        "flows that wait in one process",
        "microseconds",
        lines,
    )


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(__file__, __doc__, packages=("aiohttp", "uvloop"))
    for part in (many, burst, slow_server, scaling):
        await part(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
