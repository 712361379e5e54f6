"""Workers and the server that they share, on one time that the test moves."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from twilio_oauth_async import DeviceFlow, OAuthSession, TokenManager, VirtualClock
from twilio_oauth_async.emulator import Emulator

WORKER = Path(__file__).with_name("fire_worker.py")


class Worker:
    """One process; `ask` moves its clock and gives what its manager came to."""

    def __init__(self, process):
        self.process = process

    def send(self, seconds):
        self.process.stdin.write(f"{seconds}\n".encode())

    async def answer(self):
        """None where it died."""
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        return json.loads(line) if line else None

    async def ask(self, seconds=0):
        self.send(seconds)
        return await self.answer()

    async def end(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class Fire:
    """An emulator, a store of real storage, and any number of workers."""

    def __init__(self, store_options, store, *, lifetime=3600):
        self.store_options, self.store = store_options, store
        self.clock = VirtualClock(auto=False)
        self.emulator = Emulator(clock=self.clock, access_token_lifetime=lifetime, refresh_token_lifetime=10**7)
        self.workers = []

    async def __aenter__(self):
        await self.emulator.__aenter__()
        self.session = OAuthSession(
            self.emulator.account_sid, self.emulator.auth_token, base_url=self.emulator.base_url, clock=self.clock
        )
        await self.session.open()
        return self

    async def __aexit__(self, *_):
        await asyncio.gather(*(worker.end() for worker in self.workers))
        await self.session.close()
        await self.emulator.__aexit__(None, None, None)

    async def sign_in(self):
        """A person signs in; the token is in the store."""
        flow = DeviceFlow(
            self.session,
            client_sid=self.emulator.client_sid,
            client_secret=self.emulator.client_secret,
            scopes=["openid"],
        )
        authorization = await flow.start()
        await self.emulator.approve(authorization.user_code)
        self.clock.advance(6)
        step = await flow.poll(authorization)
        await TokenManager(flow, store=self.store, key="me").adopt(step.token)

    async def worker(self, kill=None):
        """Start a process whose clock shows the same time."""
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

    def refreshes(self):
        """The statuses of all refreshes that reached the server."""
        return [
            request.status
            for request in self.emulator.requests
            if request.path == "/v1/token" and request.form.get("GrantType") == "refresh_token"
        ]

    def is_in_step(self, stored):
        """Whether the server would take the stored refresh token: it was not redeemed yet."""
        return not [
            request
            for request in self.emulator.requests
            if request.form.get("RefreshToken") == stored.token.refresh_token and request.status in {201, None}
        ]
