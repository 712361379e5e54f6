"""A manager over a store that can fail and a grant that answers by a script: token life without a network."""

import asyncio
import contextlib
from datetime import timedelta

from twilio_oauth_async import LoginRequired, StoreError, Token, VirtualClock
from twilio_oauth_async.grants.base import refresh_with
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens.manager import TokenManager


class ScriptedGrant:
    """Each `obtain` and `refresh` takes the next of `script`: an error to raise, or changes to a good token."""

    def __init__(self, clock, *script, interactive=True, lifetime=3600):
        self.clock = clock
        self.script = list(script)
        self.interactive = interactive
        self.lifetime = lifetime
        self.obtained = 0
        self.refreshed = []
        self.revoked = []
        self.gate = None
        self.number = 0

    def __repr__(self):
        return "ScriptedGrant()"

    def token(self, **changes):
        self.number += 1
        return Token(
            **{
                "access_token": f"acc-canary-{self.number}",
                "access_token_expires_at": self.clock.now() + timedelta(seconds=self.lifetime),
                "refresh_token": f"ref-canary-{self.number}",
                **changes,
            }
        )

    async def _next(self):
        if self.gate is not None:
            await self.gate.wait()
        step = self.script.pop(0) if self.script else {}
        if isinstance(step, BaseException):
            raise step
        return self.token(**step)

    async def obtain(self):
        self.obtained += 1
        return await self._next()

    async def refresh(self, token):
        async def send(refresh_token):
            self.refreshed.append(refresh_token)
            return await self._next()

        return await refresh_with(send, token)

    async def revoke(self, token):
        self.revoked.append(token)
        if self.script:
            raise self.script.pop(0)


class FailingStore(MemoryTokenStore):
    """Fails the operations named in `failing`, and counts all of them."""

    def __init__(self):
        super().__init__()
        self.failing = set()
        self.calls = []

    def _note(self, name):
        self.calls.append(name)
        if name in self.failing:
            raise StoreError(f"no {name}")

    async def load(self, key):
        self._note("load")
        return await super().load(key)

    async def save(self, key, stored):
        self._note("save")
        await super().save(key, stored)

    async def delete(self, key):
        self._note("delete")
        await super().delete(key)

    @contextlib.asynccontextmanager
    async def lock(self, key):
        self._note("lock")
        async with super().lock(key):
            yield
        self._note("unlock")


class Managed:
    """All of it, and what a test wants to know."""

    def __init__(self, *script, interactive=True, lifetime=3600, store=None, **options):
        self.clock = VirtualClock(auto=False)
        self.grant = ScriptedGrant(self.clock, *script, interactive=interactive, lifetime=lifetime)
        self.store = FailingStore() if store is None else store
        self.manager = self.another(**options)

    def another(self, **options):
        """A manager in another process, so to speak."""
        return TokenManager(self.grant, store=self.store, key="me", clock=self.clock, **options)

    async def stored(self):
        return await MemoryTokenStore.load(self.store, "me")


async def near_the_end(*script, **options):
    """Signed in, and within the leeway of the end."""
    setup = Managed({}, *script, **options)
    await setup.manager.login()
    setup.clock.advance(3550)
    return setup


async def login_required(manager):
    try:
        await manager.token()
    except LoginRequired:
        return True
    return False


async def turns(count=50):
    for _ in range(count):
        await asyncio.sleep(0)
