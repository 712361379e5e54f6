"""``emulated``: an emulator, a session on it, and the flows, managers and pools that a test needs, on one clock."""

import asyncio
import contextlib

from tests.helpers.faulty_store import FaultyStore
from twilio_oauth_async import (
    AuthorizationCodeFlow,
    ClientCredentials,
    DeviceFlow,
    DeviceFlowPool,
    IdTokenVerifier,
    OAuthSession,
    RetryPolicy,
    TokenManager,
    VirtualClock,
)
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore
from twilio_oauth_async.tokens.identity import key_of

CALLBACK = "http://127.0.0.1:8000/callback"
"""Redirect URI of the authorization code flows, unless another is given."""


class World:
    """What `emulated` opens.

    `flow` is a `DeviceFlow` whose user approves at once where ``flow.run()`` prompts. The stores `tokens` and `flows`
    are shared by the pools and managers made here, as storage is by processes, and outlive them.
    """

    def __init__(self, emulator, session):
        self.emulator, self.session, self.clock = emulator, session, emulator.clock
        self.tokens = FaultyStore(MemoryTokenStore(clock=self.clock))
        self.flows = FaultyStore(MemoryFlowStore(clock=self.clock))
        self.flow = self.device_flow()

    def device_flow(self, **options):
        """Return a `DeviceFlow` of the emulator's client."""
        return DeviceFlow(
            self.session,
            **{
                "client_sid": self.emulator.client_sid,
                "client_secret": self.emulator.client_secret,
                "scopes": ["openid"],
                "prompt": self._approve,
                **options,
            },
        )

    def code_flow(self, **options):
        """Return an `AuthorizationCodeFlow` of the emulator's client."""
        return AuthorizationCodeFlow(
            self.session,
            **{
                "client_sid": self.emulator.client_sid,
                "client_secret": self.emulator.client_secret,
                "redirect_uri": CALLBACK,
                "scopes": ["openid", "offline_access"],
                **options,
            },
        )

    def client_credentials(self, **options):
        """Return a `ClientCredentials` grant of the emulator's client."""
        emulator = self.emulator
        return ClientCredentials(
            self.session, **{"client_id": emulator.client_sid, "client_secret": emulator.client_secret, **options}
        )

    def verifier(self, **options):
        """Return an `IdTokenVerifier` of the emulator's client."""
        return IdTokenVerifier(self.session, **{"client_sid": self.emulator.client_sid, **options})

    def manager(self, **options):
        """Return a `TokenManager`, as each process would make one; `flow` and `tokens` unless others are given."""
        return TokenManager(options.pop("flow", self.flow), **{"store": self.tokens, "key": "me", **options})

    def pool(self, **options):
        """Return a `DeviceFlowPool` that is not open yet, as each process would make one."""
        flow = options.pop("flow", self.flow)
        return DeviceFlowPool(flow, **{"tokens": self.tokens, "flows": self.flows, **options})

    def key(self, user, flow=None):
        """Return the key under which a token of `flow` (the flow of this world where it is None) is stored."""
        return key_of(flow or self.flow, user)

    async def stored(self, user):
        """Return the stored token of `user`; None if there is none."""
        return await self.tokens.load(self.key(user))

    async def due(self):
        """Return the stored flows of the emulator's client that no process polls."""
        identity = self.flow.identity
        return await self.flows.list_due(1000, client_sid=identity.client_sid, server=identity.server)

    async def kill(self, pool):
        """Stop `pool` as ``kill -9`` does: its leases stay, and nothing is written any more."""
        tasks = {
            *pool._upkeep._tasks,
            *pool._members.tasks(),
            *pool._members._followers.values(),
            *pool._reporter.tasks.values(),
        }
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        pool._members.close_streams()
        pool._is_open = False

    async def submit_and_kill(self, user, **options):
        """Start a sign-in in a pool and kill that. Return the `SignIn`."""
        pool = self.pool()
        await pool.open()
        sign_in = await pool.submit(user, **options)
        await self.kill(pool)
        return sign_in

    async def wait_for_state(self, id, state):  # noqa: A002
        """Wait until the stored flow has `state`."""
        while (await self.flows.inner.load(id)).state != state:
            await asyncio.sleep(0)

    def polls(self):
        """Return the statuses of the polls that the emulator has received."""
        return [entry.status for entry in self.emulator.requests.to("poll")]

    def codes(self):
        """Return the number of codes that the emulator has issued."""
        return len([entry for entry in self.emulator.requests if entry.path == "/v1/device/code"])

    def revocations(self):
        """Return the statuses of the revocations that the emulator has received."""
        return [entry.status for entry in self.emulator.requests if "revoke" in entry.path]

    async def take_over(self, id, seconds=3600):  # noqa: A002
        """Give the lease of a flow to another process, as if its owner had been suspended for too long."""
        flow = await self.flows.inner.load(id)
        await self.flows.inner.release([id], flow.owner)
        assert await self.flows.inner.lease([id], "other", seconds) == {id}

    async def _approve(self, authorization):
        await self.emulator.approve(authorization.user_code)


@contextlib.asynccontextmanager
async def emulated(*, auto=True, retry=None, **options):
    """Open an emulator and a session on one `VirtualClock`; yield the `World`.

    `auto` is that of the clock, `retry` that of the session; other options are those of the `Emulator`.
    """
    async with (
        Emulator(clock=VirtualClock(auto=auto), **options) as emulator,
        OAuthSession(
            emulator.account_sid,
            emulator.auth_token,
            base_url=emulator.base_url,
            clock=emulator.clock,
            retry=retry or RetryPolicy(),
        ) as session,
    ):
        yield World(emulator, session)
