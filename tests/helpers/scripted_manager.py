"""A `TokenManager` without a network: its grant follows a script, and its store can be made to fail."""

from datetime import timedelta

from tests.helpers.faulty_store import FaultyStore
from twilio_oauth_async import LoginRequired, Token, VirtualClock
from twilio_oauth_async.grants.base import refresh_with
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens.manager import TokenManager


class ScriptedGrant:
    """A grant. Each `obtain` and `refresh` takes the next step of `script`: an error to raise, or fields of the token.

    Its tokens are ``acc-canary-1``, ``acc-canary-2``, ... with the refresh tokens ``ref-canary-1``, ...; where the
    script has ended, it returns one after the other. With `gate` set to an event, it waits for that before each step.
    """

    def __init__(self, clock, *script, interactive=True, lifetime=3600):
        self.clock = clock
        self.script = list(script)
        self.interactive = interactive
        self.lifetime = lifetime
        self.obtained = 0
        self.refreshed = []
        """The refresh tokens that were sent."""
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


class ScriptedManager:
    """A `manager` of the token under `key`, with its `grant`, its `store` (a `FaultyStore`) and its `clock`.

    `script` is that of the `ScriptedGrant`; the clock moves only with ``clock.advance``. Options that are not named
    here are those of `TokenManager`.
    """

    def __init__(self, *script, interactive=True, lifetime=3600, store=None, key="me", clock=None, **options):
        self.clock = clock or VirtualClock(auto=False)
        self.grant = ScriptedGrant(self.clock, *script, interactive=interactive, lifetime=lifetime)
        self.store = FaultyStore(MemoryTokenStore(clock=self.clock) if store is None else store)
        self.key = key
        self.manager = self.another(**options)

    def another(self, **options):
        """Return a second manager of the same stored token, as another process would have."""
        return TokenManager(self.grant, store=self.store, key=self.key, clock=self.clock, **options)

    async def stored(self):
        """Return what is stored, past the faults of the store."""
        return await self.store.inner.load(self.key)


async def scripted_manager_near_expiry(*script, **options):
    """Return a `ScriptedManager` that is signed in and whose token expires in 50 s, within the leeway of 60 s."""
    setup = ScriptedManager({}, *script, **options)
    await setup.manager.login()
    setup.clock.advance(3550)
    return setup


async def login_required(manager):
    """Return whether the manager asks for a login."""
    try:
        await manager.token()
    except LoginRequired:
        return True
    return False
