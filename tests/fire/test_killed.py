"""Faults 26 and 27 (docs/reliability.md): ``kill -9`` at any point of a refresh.

The store stays whole, and the next process gets a token or raises `LoginRequired`. The environment variable
``TWILIO_OAUTH_CRASH_ROUNDS`` sets how many processes are killed at random points; ``nox -s crash`` sets 200.
"""

import asyncio
import os
import random

import pytest

from tests.helpers.refresh_processes import refresh_processes
from twilio_oauth_async.stores.file import FileTokenStore

LATEST_KILL = 0.02
"""Seconds; a refresh takes about half of that."""

ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "6"))


async def kill_worker(processes, point=None, after=0.0):
    """Kill a worker at `point` of a refresh, or `after` seconds; return its result, None where it was killed first."""
    worker = await processes.start_worker(kill=point)
    assert (await worker.call(processes.clock.monotonic())).get("token")
    processes.clock.advance(3600)
    worker.send(3600)
    if point is None:
        await asyncio.sleep(after)
        worker.process.kill()
    result = await worker.result()
    await worker.end()
    return result


async def start_again(processes):
    """Start a worker after a kill; return the stored token, whether it is redeemable, the results and the requests."""
    stored = await processes.stored()
    assert stored is not None, "the store is damaged"
    is_redeemable = processes.is_redeemable(stored)
    requests = len(processes.refresh_statuses())
    worker = await processes.start_worker()
    results = [await worker.call(processes.clock.monotonic())]
    results.extend([await worker.call(2) for _ in range(5)])
    await worker.end()
    processes.clock.advance(10)
    return stored, is_redeemable, results, len(processes.refresh_statuses()) - requests


async def check_next_start(processes):
    """Check that the next process works or asks for a login; return whether the stored refresh token was redeemable."""
    stored, is_redeemable, results, requests = await start_again(processes)
    if is_redeemable:
        assert all("token" in result for result in results), results
        assert requests <= 1
    else:
        # Fault 25: rotated at the server and never saved. One more request, then a login; never a loop.
        assert stored.unanswered == 1
        assert results[-1] == {"error": "LoginRequired"}
        assert requests == 1
        await processes.sign_in()
    return is_redeemable


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("point", "is_redeemable"),
    [("before the request", True), ("between response and save", False), ("inside the save", False)],
)
async def test_refresh_killed_at_each_point_next_process_works_or_requires_login(point, is_redeemable, tmp_path):
    path = str(tmp_path / "state" / "tokens.db")
    async with refresh_processes(FileTokenStore(path), {"file": path}) as processes:
        await processes.sign_in()
        assert await kill_worker(processes, point) is None
        assert await check_next_start(processes) is is_redeemable
        assert await check_next_start(processes) is True


@pytest.mark.asyncio
async def test_refresh_killed_at_random_points_next_process_works_or_requires_login(tmp_path):
    path = str(tmp_path / "state" / "tokens.db")
    rng = random.Random(20)
    async with refresh_processes(FileTokenStore(path), {"file": path}) as processes:
        await processes.sign_in()
        outcomes = {"finished first": 0, "redeemable": 0, "not redeemable": 0}
        for _ in range(ROUNDS):
            finished = await kill_worker(processes, after=rng.uniform(0.0, LATEST_KILL))
            is_redeemable = await check_next_start(processes)
            outcomes["finished first" if finished else "redeemable" if is_redeemable else "not redeemable"] += 1
    print(outcomes)
    # Kills that always come too late would show nothing.
    assert outcomes["finished first"] < ROUNDS, outcomes
