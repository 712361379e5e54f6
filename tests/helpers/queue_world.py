"""``queue_world``: an emulator and queues on one NATS server, in real time. Each queue has a connection of its own."""

import contextlib

from tests.helpers.faulty_store import FaultyStore
from tests.helpers.shared_clock import SharedClock
from twilio_oauth_async import DeviceFlow, OAuthSession, RetryPolicy
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.sign_in.nats import DeviceFlowQueue
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens.identity import key_of

INTERVAL = 1
"""Seconds between two polls: the shortest that the package accepts."""


class QueueWorld:
    """What `queue_world` opens. The token store `tokens` is shared by the queues, as storage is by processes."""

    def __init__(self, emulator, session, server):
        self.emulator, self.session, self.server, self.clock = emulator, session, server, emulator.clock
        self.tokens = FaultyStore(MemoryTokenStore(clock=self.clock))
        self.flow = self.device_flow()
        self.clients = []

    def device_flow(self, *, session=None, **options):
        """Return a `DeviceFlow` of the emulator's client."""
        emulator = self.emulator
        client = {"client_sid": emulator.client_sid, "client_secret": emulator.client_secret, "scopes": ["openid"]}
        return DeviceFlow(session or self.session, **{**client, **options})

    async def connect(self, url=None, **options):
        """Return a new client of NATS, which is closed at the end."""
        client = await self.server.connect(url, **options)
        self.clients.append(client)
        return client

    async def queue(self, *, client=None, **options):
        """Return a `DeviceFlowQueue` on a connection of its own, as each process would make one."""
        client = client or await self.connect()
        flow = options.pop("flow", self.flow)
        return DeviceFlowQueue(client.jetstream(), flow, **{"tokens": self.tokens, "ack_wait": 2.0, **options})

    @contextlib.asynccontextmanager
    async def queues(self, *each, **options):
        """Open one queue for each of `each`, which are options; `options` are those of all."""
        async with contextlib.AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(await self.queue(**{**options, **own})) for own in (each or ({}, {}))
            ]

    async def stored(self, user, flow=None):
        """Return the stored token of `user`."""
        return await self.tokens.inner.load(key_of(flow or self.flow, user))

    def polls(self):
        """Return the statuses of the polls that the emulator has received."""
        return [entry.status for entry in self.emulator.requests.to("poll")]

    def codes(self):
        """Return the number of codes that the emulator has issued."""
        return len([entry for entry in self.emulator.requests if entry.path == "/v1/device/code"])

    def revocations(self):
        """Return the statuses of the revocations that the emulator has received."""
        return [entry.status for entry in self.emulator.requests if "revoke" in entry.path]


@contextlib.asynccontextmanager
async def queue_world(server, folder, **options):
    """Open an emulator and a session; yield the `QueueWorld`. Options are those of the `Emulator`."""
    clock = SharedClock(folder / "clock")
    async with (
        Emulator(**{"clock": clock, "interval": INTERVAL, **options}) as emulator,
        OAuthSession(
            emulator.account_sid,
            emulator.auth_token,
            base_url=emulator.base_url,
            clock=clock,
            retry=RetryPolicy.none(),
        ) as session,
    ):
        world = QueueWorld(emulator, session, server)
        try:
            yield world
        finally:
            for client in world.clients:
                await client.close()
