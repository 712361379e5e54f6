"""Faults 49 and 60 (docs/reliability.md): ``kill -9`` between the approval of a sign-in and the return of `on_end`.

Each process reports the end of the sign-in of the process before it, and is then killed itself. The variable
``TWILIO_OAUTH_CRASH_ROUNDS`` of the environment sets the number of processes; ``nox -s crash`` sets 200.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.helpers import pool_worker
from tests.helpers.pool_worker import POINTS, open_stores
from tests.helpers.shared_clock import SharedClock
from twilio_oauth_async import TokenKey
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "0"))
LATEST_KILL = 0.08
"""Seconds from the approval, for kills at random points."""

MAY_FAIL = {"the response has arrived", "the receipt is recorded", None}
"""Where the process holds the only copy of the token."""


class Process:
    """A worker (see pool_worker.py) and the lines that it prints."""

    def __init__(self, process, ends):
        self.process = process
        self.started = asyncio.get_running_loop().create_future()
        self.reading = asyncio.create_task(self._read(ends))

    async def _read(self, ends):
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if "end" in message:
                ends.setdefault(message["end"], []).append(message["state"])
            else:
                self.started.set_result(message)

    async def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self.reading


class Rounds:
    """The processes that are started one after the other."""

    def __init__(self, emulator, clock, options, stores):
        self.emulator, self.clock, self.options = emulator, clock, options
        self.tokens, self.flows = stores or open_stores(options, clock)
        self.ends = {}
        self.previous = None
        self.outcomes = Counter()

    async def start(self, number, point):
        options = {
            "base_url": self.emulator.base_url,
            "account_sid": self.emulator.account_sid,
            "auth_token": self.emulator.auth_token,
            "client_sid": self.emulator.client_sid,
            "client_secret": self.emulator.client_secret,
            "stores": self.options,
            "clock": str(self.clock.path),
            "user": f"user {number}",
            "point": point,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, pool_worker.__file__, json.dumps(options)),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        return Process(process, self.ends)

    async def until(self, condition):
        """Move the clock on until `condition` is true, slowly enough for processes to renew their leases."""
        async with asyncio.timeout(60):
            while not condition():
                self.clock.advance(1)
                await asyncio.sleep(0.04)

    async def round(self, number, point, kill_after=None):
        """Start a process and kill it at `point`; check that it has reported the end of the one before."""
        process = await self.start(number, None if kill_after is not None else point)
        try:
            async with asyncio.timeout(60):
                sign_in = await asyncio.shield(process.started)
            if self.previous is not None:
                await self.check_previous()
            if point is None and kill_after is None:
                return
            before = self.exchanges()
            await self.emulator.approve(sign_in["code"])
            if kill_after is None:
                await self.until(lambda: process.process.returncode is not None)
            else:
                await self.until(lambda: self.exchanges() > before)
                await asyncio.sleep(kill_after)
        finally:
            await process.end()
        flow = await self.flows.load(sign_in["id"])
        if flow is not None and flow.owner is not None:
            await self.flows.release([flow.id], flow.owner)  # as if the lease had ended
        self.previous = (sign_in, flow, point)

    def exchanges(self):
        """Return how many codes were exchanged for a token."""
        return [entry.status for entry in self.emulator.requests.to("poll")].count(201)

    async def check_previous(self):
        sign_in, flow, point = self.previous
        await self.until(lambda: sign_in["id"] in self.ends)
        states = set(self.ends[sign_in["id"]])
        assert len(states) == 1, "an end never changes"
        [state] = states
        assert state == "approved" or point in MAY_FAIL, (state, point)
        codes = Counter(e.form["DeviceCode"] for e in self.emulator.requests.to("poll") if e.status == 201)
        assert max(codes.values(), default=0) <= 1, "a code was exchanged twice"
        stored = await self.tokens.load(TokenKey(flow.user, self.emulator.client_sid, self.emulator.base_url))
        assert (stored is not None and stored.epoch == flow.epoch) is (state == "approved")
        self.outcomes[state] += 1


async def kill_many(rounds, number):
    """Kill a process at each point, then at random ones, `number` in all; the last one is not killed."""
    rng = random.Random(30)
    points = list(POINTS)
    for index in range(number):
        if index < len(points):
            await rounds.round(index, points[index])
        else:
            await rounds.round(index, None, kill_after=rng.uniform(0, LATEST_KILL))
    await rounds.round(number, None)
    print(dict(rounds.outcomes))


@contextlib.asynccontextmanager
async def rounds_with(tmp_path, options, stores=None):
    clock = SharedClock(tmp_path / "clock")
    async with Emulator(clock=clock, expires_in=3000) as emulator:
        yield Rounds(emulator, clock, options, stores)


@pytest.mark.asyncio
async def test_49_60_pool_on_a_file_killed_at_any_point_reports_each_end(tmp_path):
    async with rounds_with(tmp_path, {"folder": str(tmp_path / "state")}) as rounds:
        await kill_many(rounds, ROUNDS or 4)
        assert rounds.outcomes["approved"] >= 2


@pytest.mark.asyncio
async def test_49_60_pool_on_redis_killed_at_any_point_reports_each_end(tmp_path, own_redis, open_redis):
    client = open_redis(own_redis)
    stores = RedisTokenStore(client), RedisFlowStore(client)
    async with rounds_with(tmp_path, {"redis": own_redis.url}, stores) as rounds:
        await kill_many(rounds, ROUNDS or 1)
        assert sum(rounds.outcomes.values()) == (ROUNDS or 1)
