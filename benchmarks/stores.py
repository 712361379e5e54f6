"""What the memory, file and Redis stores cost: saves, leases, opening, and the delay of the event loop meanwhile.

    python benchmarks/stores.py [--seconds 10] [--only file] [--folder FOLDER]

The exit status is 1 if a limit is exceeded. ``benchmarks/README.md`` explains the figures. The files are on the disk of
``--folder``, by default the folder for temporary files: how long a save takes depends on how long that disk syncs.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import attrs
from harness import (
    LoopDelay,
    Report,
    Spread,
    Usage,
    cpu_of_process,
    cpu_ratios,
    in_turn,
    measured,
    percentile,
    quietest,
    ratios,
)
from harness.machine import file_system
from harness.store_backends import (
    STEP,
    Backend,
    FilledStore,
    file_backend,
    in_batches,
    memory_backend,
    redis_backend,
    stored_flow,
    stored_token,
    user_key,
)

from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.records import StoredFlow, StoredToken, TokenKey
from twilio_oauth_async.stores.serialization import to_text

FEW, MANY = 10, 10_000
ROUNDS = 21
TOGETHER = 400
"""Saves that wait at the same time."""
MAX_TOGETHER = {"file": 0.5}
"""Of a commit for each save. Only a file syncs the disk for each commit."""
RATE, RATE_REACHED = 1_000, 980
"""Saves that are due in one second, and how many must be done in one at least."""
LOAD_ROUNDS, LOAD_ATTEMPTS = 5, 20
"""Rounds that are used, and rounds that are run at most until as many were quiet."""
LEASES, RENEWAL_INTERVAL, LEASE = 2_000, 5.0, 15.0
OWNER = "process-1"

MAX_RATIO = 1.5
MAX_DELAY_P99, MAX_DELAY = 5.0, 20.0
MAX_CORE_SHARE = 0.1
MAX_OPENING = 50.0
"""All times are in milliseconds."""


async def check_saves(report: Report, backend: Backend, few: FilledStore, many: FilledStore) -> None:
    """One save with 10 and with 10,000 keys, and the bare write of the same text with 10,000 keys."""
    calls = backend.saves
    contestants: dict[str, Callable[[], Awaitable[Usage]]] = {
        "few": lambda: few.one_after_the_other(calls),
        "many": lambda: many.one_after_the_other(calls),
    }
    if backend.bare is not None:
        write = backend.bare.write
        text = to_text(stored_token(1))
        for number in range(MANY):
            await write(f"bare-{number}", text)
        written = 0

        async def bare() -> Usage:
            nonlocal written
            numbers = range(written, written + calls)
            rows = [(f"bare-{number * STEP % MANY}", to_text(stored_token(number))) for number in numbers]
            written += calls
            with measured() as usage:
                for row in rows:
                    await write(*row)
            return usage

        contestants["bare"] = bare
    series = await in_turn(contestants, rounds=ROUNDS, calls=calls, warm_up=3)
    report.add(backend.name, f"save with {FEW} keys", series["few"].wall, "us")
    report.add(backend.name, f"save with {MANY:,} keys", series["many"].wall, "us")
    report.add(backend.name, f"save with {MANY:,} keys, CPU", series["many"].cpu, "us")
    wall, cpu = (of(series["many"], series["few"]) for of in (ratios, cpu_ratios))
    report.add(backend.name, f"save: {MANY:,} keys / {FEW} keys", wall, "x", at_most=MAX_RATIO)
    report.add(backend.name, f"save: {MANY:,} keys / {FEW} keys, CPU", cpu, "x", at_most=MAX_RATIO)
    if backend.bare is not None:
        report.add(backend.name, f"{backend.bare.name} alone", series["bare"].wall, "us")
        report.add(backend.name, f"save / {backend.bare.name} alone", ratios(series["many"], series["bare"]), "x")


async def check_group_commit(report: Report, backend: Backend, filled: FilledStore) -> None:
    """400 saves that wait at the same time, compared with 400 saves one after the other."""
    contestants = {
        "together": lambda: filled.together(TOGETHER),
        "single": lambda: filled.one_after_the_other(TOGETHER),
    }
    series = await in_turn(contestants, rounds=7, calls=TOGETHER)
    limit = MAX_TOGETHER.get(backend.name)
    report.add(backend.name, f"{TOGETHER} saves together", series["together"].wall.scaled(TOGETHER / 1000), "ms")
    wall, cpu = (of(series["together"], series["single"]) for of in (ratios, cpu_ratios))
    report.add(backend.name, f"{TOGETHER} saves: together / one after the other", wall, "x", at_most=limit)
    report.add(backend.name, f"{TOGETHER} saves: together / one after the other, CPU", cpu, "x")


@attrs.frozen
class LoadRound:
    """One round of `check_load`: the loop without saves, then with them."""

    idle: LoopDelay
    loaded: LoopDelay
    latencies: list[float]
    """Milliseconds."""
    usage: Usage


async def check_load(report: Report, backend: Backend, filled: FilledStore, seconds: float) -> None:
    """1,000 saves a second, and the delay of the event loop with them and, in turn, without them."""

    async def run() -> LoadRound:
        idle, loaded = LoopDelay(), LoopDelay()
        async with idle:
            await asyncio.sleep(seconds / LOAD_ROUNDS)
        rotations = filled.rotations(round(RATE * seconds / LOAD_ROUNDS))
        gc.collect()
        gc.freeze()  # a collection of the garbage during the load does not look at the tokens of the benchmark
        async with loaded:
            with measured() as usage:
                latencies = await save_at_rate(filled, rotations)
        gc.unfreeze()
        return LoadRound(idle, loaded, latencies, usage)

    servers = () if backend.server is None else (backend.server,)
    rounds, others = await quietest(run, rounds=LOAD_ROUNDS, attempts=LOAD_ATTEMPTS, servers=servers)
    latencies = [each for one in rounds for each in one.latencies]
    took, cpu = sum(one.usage.wall for one in rounds), sum(one.usage.cpu for one in rounds)
    name = f"{RATE:,} saves a second"
    report.add(backend.name, f"{name}: reached", len(latencies) / took, "/s", at_least=RATE_REACHED)
    report.add(backend.name, f"{name}: latency, p50", percentile(latencies, 0.5), "ms")
    report.add(backend.name, f"{name}: latency, p99", percentile(latencies, 0.99), "ms")
    report.add(backend.name, f"{name}: share of one core", cpu / took, "")
    report.add(backend.name, f"{name}: other programs, cores used", others, "")
    _, p99, most = LoopDelay.figures([each for one in rounds for each in one.loaded.own])
    report.add(backend.name, f"{name}: loop delay, p99", p99, "ms", at_most=MAX_DELAY_P99)
    report.add(backend.name, f"{name}: loop delay, maximum", most, "ms", at_most=MAX_DELAY)
    for label, samples in (
        (f"{name}: loop delay with wait for a core", [each for one in rounds for each in one.loaded.all]),
        ("no saves: loop delay", [each for one in rounds for each in one.idle.own]),
        ("no saves: loop delay with wait for a core", [each for one in rounds for each in one.idle.all]),
    ):
        _, p99, most = LoopDelay.figures(samples)
        report.add(backend.name, f"{label}, p99", p99, "ms")
        report.add(backend.name, f"{label}, maximum", most, "ms")


async def save_at_rate(filled: FilledStore, rotations: Sequence[tuple[TokenKey, StoredToken]]) -> list[float]:
    """Start each save when it is due, whether the earlier ones are done or not.

    Returns:
        For each save, the milliseconds from when it was due until it was done.
    """
    started, latencies = time.perf_counter(), list[float]()

    async def save(number: int) -> None:
        await filled.save(rotations[number])
        latencies.append((time.perf_counter() - started - number / RATE) * 1e3)

    async with asyncio.TaskGroup() as group:
        first = 0
        while first < len(rotations):
            end = min(len(rotations), int((time.perf_counter() - started) * RATE) + 1)
            for number in range(first, end):
                group.create_task(save(number))
            first = end
            await asyncio.sleep(0.5 / RATE)
    return latencies


async def check_leases(report: Report, backend: Backend) -> None:
    """One process renews 2,000 leases every 5 s: the CPU time of one renewal, with that of the server, by 5 s."""
    flows = backend.flows("flows")
    ids = [f"flow-{number}" for number in range(LEASES)]
    await in_batches(functools.partial(create, flows, stored_flow(number)) for number in range(LEASES))
    of_server: list[float] = []

    async def renew() -> Usage:
        before = _cpu_of_server(backend)
        with measured() as usage:
            leased = await flows.lease(ids, OWNER, LEASE)
        assert len(leased) == LEASES
        of_server.append(_cpu_of_server(backend) - before)
        usage.children += of_server[-1]
        return usage

    renewals = (await in_turn({"": renew}, rounds=ROUNDS, warm_up=2))[""]
    delay = LoopDelay()
    for _ in range(ROUNDS):
        async with delay:
            await renew()
    name = f"{LEASES:,} leases renewed"
    share = renewals.cpu.scaled(1e-6 / RENEWAL_INTERVAL)
    report.add(backend.name, name, renewals.wall.scaled(1e-3), "ms")
    report.add(
        backend.name, f"{name} every {RENEWAL_INTERVAL:g} s: share of one core", share, "", at_most=MAX_CORE_SHARE
    )
    if backend.server is not None:
        report.add(backend.name, f"{name}: CPU of the server", Spread.of(of_server).scaled(1e3), "ms")
    report.add(backend.name, f"{name}: loop delay, maximum", max(delay.own), "ms")


def create(flows: FlowStore, flow: StoredFlow) -> Awaitable[StoredFlow]:
    return flows.create(flow, owner=OWNER, seconds=LEASE)


def _cpu_of_server(backend: Backend) -> float:
    return (cpu_of_process(backend.server) if backend.server is not None else None) or 0.0


async def check_opening(report: Report, backend: Backend, filled: FilledStore, copies: Path) -> None:
    """The first load of a new store object on 10,000 rows."""
    assert backend.folder is not None
    copy = functools.partial(shutil.copytree, backend.folder / "many")
    name = f"open with {MANY:,} rows and load"
    # The files of an open database are what a killed process leaves: the last changes are only in the log.
    await filled.together(TOGETHER)
    killed = [await first_load(backend, copy(copies / f"killed-{number}")) for number in range(ROUNDS)]
    await close(filled.store)
    closed = [await first_load(backend, copy(copies / f"closed-{number}")) for number in range(ROUNDS)]
    report.add(backend.name, name, Spread.of(closed), "ms", at_most=MAX_OPENING)
    report.add(backend.name, f"{name}, after kill -9", Spread.of(killed), "ms", at_most=MAX_OPENING)


async def first_load(backend: Backend, folder: Path) -> float:
    """Return the milliseconds until a new store object on the files in `folder` has loaded a token."""
    store = backend.tokens(folder.name)
    with measured() as usage:
        loaded = await store.load(user_key(MANY - 1))
    assert loaded is not None
    await close(store)
    shutil.rmtree(folder)
    return usage.wall * 1e3


async def close(store: object) -> None:
    """Close a store that has something to close."""
    method = getattr(store, "close", None)
    if method is not None:
        await method()


async def measure(report: Report, backend: Backend, seconds: float) -> None:
    """Add all figures of one kind of store."""
    print(f"{backend.name} ...", file=sys.stderr, flush=True)
    few = await FilledStore.of(backend.tokens("few"), FEW)
    many = await FilledStore.of(backend.tokens("many"), MANY)
    await check_saves(report, backend, few, many)
    await check_group_commit(report, backend, many)
    await check_load(report, backend, many, seconds)
    await check_leases(report, backend)
    if backend.folder is not None:
        await check_opening(report, backend, many, backend.folder)


async def main(only: str, seconds: float, folder: str | None) -> int:
    """Measure the stores one after the other, print the results and compare them with the limits."""
    report = Report(__file__, __doc__, packages=("redis",))
    report.versions["SQLite"] = sqlite3.sqlite_version
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        files = Path(temporary)
        report.note(
            f"The files were on {file_system(files)}. Redis ran on the same machine, with appendfsync everysec."
        )
        if only in {"", "memory"}:
            async with memory_backend() as backend:
                await measure(report, backend, seconds)
        if only in {"", "file"}:
            async with file_backend(files) as backend:
                await measure(report, backend, seconds)
        if only in {"", "redis"}:
            async with redis_backend(files, report.versions) as backend_or_none:
                if backend_or_none is None:
                    report.note("Redis was not measured: redis-server is not installed.")
                else:
                    await measure(report, backend_or_none, seconds)
    return report.finish(write=not only)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--only", choices=("memory", "file", "redis"), default="", help="measure only this store, and write no result"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of 1,000 saves a second on each store")
    parser.add_argument("--folder", help="where the files are written")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.only, arguments.seconds, arguments.folder)))
