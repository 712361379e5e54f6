"""`World`: an emulator and clients of it in one simulated event loop, with stores that all of them share."""

import asyncio
import contextlib
import functools
import ssl
from datetime import UTC, datetime, timedelta

import aiohttp
import attrs
import detangle

from tests.helpers.faulty_store import FaultyStore
from twilio_oauth_async import DeviceFlow, OAuthSession
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.rules.model import Now
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore

FAST, SLOW = 0.001, 2.0
"""Seconds that bytes are under way. They are slow where a run deviates."""

INTERVAL = 7
"""Seconds between two polls. More than those for which a pool that takes a flow up leaves it alone."""

LIFETIME = 600.0
"""Seconds of an access token."""

START = datetime(2026, 1, 1, tzinfo=UTC)


class LoopClock:
    """The time of the running event loop, which is simulated."""

    def monotonic(self):
        return asyncio.get_running_loop().time()

    def now(self):
        return START + timedelta(seconds=self.monotonic())

    async def sleep(self, seconds):
        # Not asyncio.sleep, with which tests/conftest.py finds tests that wait in real time.
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        timer = loop.call_later(max(seconds, 0.0), ended.set_result, None)
        try:
            await ended
        finally:
            timer.cancel()


class SimulatedConnector(aiohttp.TCPConnector):
    """Connects through the event loop, whose network is simulated; aiohttp would open a socket and resolve a name."""

    async def _create_connection(self, req, traces, timeout):
        _, protocol = await self._loop.create_connection(self._factory, req.url.raw_host, req.port)
        return protocol


@functools.cache
def ssl_context():
    """Return the context that a session would load in a thread, because its connector is lent. No run uses TLS."""
    return ssl.create_default_context()


@attrs.define
class World:
    """What one run consists of. It is made anew for each."""

    clock: LoopClock = attrs.field(factory=LoopClock)
    _first: int | None = None
    _last: int | None = None
    emulator: Emulator = attrs.field(init=False)
    tokens: FaultyStore = attrs.field(init=False)
    flows: FaultyStore = attrs.field(init=False)
    _cleanup: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack)

    @contextlib.asynccontextmanager
    async def opened(self):
        """Start the emulator; stop everything at the end."""
        async with self._cleanup:
            self.emulator = await self._cleanup.enter_async_context(
                Emulator(
                    clock=self.clock,
                    seed=0,
                    interval=INTERVAL,
                    expires_in=3 * INTERVAL + 4,
                    access_token_lifetime=LIFETIME,
                )
            )
            self.tokens = _in_turns(MemoryTokenStore(clock=self.clock), "load", "save", "delete", "lock", "unlock")
            self.flows = _in_turns(MemoryFlowStore(clock=self.clock), "create", "load", "save", "lease", "grant", "end")
            yield self
            self.explore_until_here()

    def explore_from_here(self):
        """Begin with the deviations. What comes before is the same in all runs."""
        self._first = len(detangle.current_loop().decisions)

    def explore_until_here(self):
        """End the deviations. What follows goes its usual way, for example checks."""
        if self._last is None:
            self._last = len(detangle.current_loop().decisions)

    def explored_decisions(self, count):
        """Return the first decision of this run that may deviate, and the one after the last. The run made `count`."""
        if self._first is None:
            return count, count
        return self._first, count if self._last is None else self._last

    async def device_flow(self, *, prompt=None):
        """Return the `DeviceFlow` of a process of its own: with its own session and connections."""
        http = await self._cleanup.enter_async_context(aiohttp.ClientSession(connector=SimulatedConnector()))
        session = await self._cleanup.enter_async_context(
            OAuthSession(
                self.emulator.account_sid,
                self.emulator.auth_token,
                base_url=self.emulator.base_url,
                clock=self.clock,
                http=http,
                ssl_context=ssl_context(),
            )
        )
        return DeviceFlow(
            session,
            client_sid=self.emulator.client_sid,
            client_secret=self.emulator.client_secret,
            scopes=["openid"],
            prompt=prompt,
        )

    def closes(self, opened):
        """Close a manager or pool at the end, before the sessions."""
        self._cleanup.push_async_callback(opened.close)

    def is_valid(self, access_token):
        """Return whether a resource server would accept the token now."""
        now = Now(seconds=self.clock.monotonic(), wall=self.clock.now())
        return self.emulator._backend.server.tokens.find_access_token(access_token, now) is not None

    def valid_tokens(self):
        """Return the number of access tokens that are valid now."""
        tokens, now = self.emulator._backend.server.tokens, self.clock.monotonic()
        issued = tokens._access.values()
        return sum(not (each.revoked or each.grant.revoked or each.expires_at <= now) for each in issued)

    def check_requests(self):
        """Check what must be true of the requests of every run."""
        requests = self.emulator.requests
        assert not requests.polled_faster_than(self.emulator.policy.interval), "an early poll"
        sent = [entry.form["RefreshToken"] for entry in requests.to("refresh")]
        assert len(sent) == len(set(sent)), "a refresh token is used twice"
        errors = {entry.error for entry in requests} - {None, "authorization_pending", "access_denied", "expired_token"}
        assert not errors, f"the server responds with {errors}"


def _in_turns(store, *methods):
    """Return `store` with calls before and after which other tasks can run, as with a store over a network."""
    shared = FaultyStore(store)
    shared.slow_down(*methods)
    return shared
