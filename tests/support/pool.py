"""Pools over one emulator and stores that outlive them."""

from twilio_oauth_async import DeviceFlow, OAuthSession, RetryPolicy, VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.flow_pool import DeviceFlowPool
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

    def pool(self, **options):
        return DeviceFlowPool(self.flow, tokens=self.tokens, flows=self.flows, **options)


async def collect(events):
    return [event async for event in events]
