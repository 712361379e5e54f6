"""Pools over one emulator and stores that outlive them."""

import asyncio

from twilio_oauth_async import DeviceFlow, OAuthSession, RetryPolicy, VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.sign_in.pool import DeviceFlowPool
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore


class Pooled:
    """Everything that a pool stands on; `pool` makes one, as a process would."""

    def __init__(self, *, auto=True):
        self.clock = VirtualClock(auto=auto)
        self.tokens = MemoryTokenStore()
        self.flows = MemoryFlowStore(clock=self.clock)

    async def __aenter__(self):
        self.emulator = await Emulator(clock=self.clock).__aenter__()
        self.session = OAuthSession(
            self.emulator.account_sid,
            self.emulator.auth_token,
            base_url=self.emulator.base_url,
            clock=self.clock,
            retry=RetryPolicy(attempts=2),
        )
        await self.session.open()
        self.flow = DeviceFlow(
            self.session,
            client_sid=self.emulator.client_sid,
            client_secret=self.emulator.client_secret,
            scopes=["openid"],
        )
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.emulator.__aexit__(None, None, None)

    def make_flows_wait(self):
        """Looks and claims take a while from here on, as they do over a network."""
        for name in ("list_due", "claim"):
            setattr(self.flows, name, _after_a_turn(getattr(self.flows, name)))

    def pool(self, **options):
        return DeviceFlowPool(self.flow, tokens=self.tokens, flows=self.flows, **options)


def _after_a_turn(method):
    async def call(*args):
        await asyncio.sleep(0)
        result = await method(*args)
        await asyncio.sleep(0)
        return result

    return call


async def collect(events):
    return [event async for event in events]


async def killed(setup, user):
    """A sign-in whose process was killed right after the code was issued: nothing is let go."""
    pool = setup.pool()
    await pool.open()
    sign_in = await pool.submit(user)
    for task in pool._tasks:
        task.cancel()
    await asyncio.sleep(0)
    return sign_in
