"""Several processes that refresh one stored token, at an emulator and on a clock that the test moves."""

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

from tests.helpers.world import emulated

WORKER = Path(__file__).with_name("refresh_worker.py")
PROCESSES = 8
EXPIRIES = int(os.environ.get("TWILIO_OAUTH_EXPIRIES", "15"))
"""``nox -s crash`` sets 60."""


class Worker:
    """One process (see refresh_worker.py) with a token manager and a clock of its own."""

    def __init__(self, process):
        self.process = process

    def send(self, seconds):
        """Move the clock of the process and make it call ``token()``."""
        self.process.stdin.write(f"{seconds}\n".encode())

    async def result(self):
        """Return what ``token()`` returned or raised; None where the process was killed."""
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        return json.loads(line) if line else None

    async def call(self, seconds=0):
        self.send(seconds)
        return await self.result()

    async def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class RefreshProcesses:
    """An emulated `world`, the token under ``"me"`` in `store`, and the processes that share them."""

    def __init__(self, world, store, store_options):
        self.world, self.store, self.store_options = world, store, store_options
        self.emulator, self.clock = world.emulator, world.clock
        self.workers = []

    def manager(self):
        """Return a manager of the same token in this process."""
        return self.world.manager(store=self.store)

    async def stored(self):
        """Return the stored token."""
        return await self.store.load(self.world.key("me"))

    async def sign_in(self):
        """Let a user sign in; the token is stored."""
        authorization = await self.world.flow.start()
        await self.emulator.approve(authorization.user_code)
        self.clock.advance(6)
        step = await self.world.flow.poll(authorization)
        await self.manager().adopt(step.token)

    async def start_worker(self, kill=None):
        """Start a process that is killed at the point `kill` of its next refresh, or not at all."""
        options = {
            "base_url": self.emulator.base_url,
            "account_sid": self.emulator.account_sid,
            "auth_token": self.emulator.auth_token,
            "client_sid": self.emulator.client_sid,
            "client_secret": self.emulator.client_secret,
            "store": self.store_options,
            "kill": kill,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(WORKER),
            json.dumps(options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        worker = Worker(process)
        self.workers.append(worker)
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
        return worker

    def refresh_statuses(self):
        """Return the statuses of all refreshes that reached the server."""
        return [request.status for request in self.emulator.requests.to("refresh")]

    def is_redeemable(self, stored):
        """Return whether the server would accept the stored refresh token: it was not redeemed yet."""
        return not [
            request
            for request in self.emulator.requests
            if request.form.get("RefreshToken") == stored.token.refresh_token and request.status in {201, None}
        ]

    async def check_one_refresh_per_expiry(self):
        """Let the token expire again and again: one refresh each time, and every process returns the new token."""
        await self.sign_in()
        workers = await asyncio.gather(*(self.start_worker() for _ in range(PROCESSES)))
        first = await asyncio.gather(*(worker.call(self.clock.monotonic()) for worker in workers))
        assert first[0]["token"]
        assert len({result["token"] for result in first}) == 1
        for expiry in range(1, EXPIRIES + 1):
            self.clock.advance(3600)
            results = await asyncio.gather(*(worker.call(3600) for worker in workers))
            newest = (await self.stored()).token.access_token
            assert [result.get("token") for result in results] == [newest] * PROCESSES
            assert self.refresh_statuses() == [201] * expiry
        assert (await self.stored()).generation == EXPIRIES + 1


@contextlib.asynccontextmanager
async def refresh_processes(store, store_options=None):
    """Yield `RefreshProcesses`; `store_options` tell a worker how to open `store` (see refresh_worker.py)."""
    async with emulated(auto=False, access_token_lifetime=3600, refresh_token_lifetime=10**7) as world:
        processes = RefreshProcesses(world, store, store_options)
        try:
            yield processes
        finally:
            await asyncio.gather(*(worker.end() for worker in processes.workers))
