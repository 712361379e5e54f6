"""A `TokenManager` without a network: its grant follows a script, and its store can be made to fail."""

import asyncio
from datetime import timedelta

import attrs

from tests.helpers.event_loop import run_turns
from tests.helpers.faulty_store import FaultyStore
from twilio_oauth_async import LoginRequired, ServerError, Token, VirtualClock
from twilio_oauth_async.grants.base import refresh_with
from twilio_oauth_async.stores.base import StoredToken
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
        self.is_down = False
        """While it is True, `refresh` raises ``ServerError(status=503)``."""
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
            if self.is_down:
                raise ServerError(status=503)
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

    async def pass_time(self, seconds):
        """Advance the clock, and let the tasks run that this wakes."""
        self.clock.advance(seconds)
        await run_turns()

    async def fails(self, seconds, error):
        """Wait and check that the manager raises `error` then, without a look at what else happens."""
        self.clock.advance(seconds)
        raised = await asyncio.gather(self.manager.token(), return_exceptions=True)
        assert type(raised[0]) is error, raised

    def during_refresh(self, action):
        """Run `action` after the next refresh request was sent, before its response."""
        refresh = self.grant.refresh

        async def act_and_refresh(token):
            self.grant.refresh = refresh
            await action()
            return await refresh(token)

        self.grant.refresh = act_and_refresh

    async def sign_in_elsewhere(self, *, seconds=1):
        """Save the token of another sign-in past the lock, `seconds` after now; return what is stored."""
        present = await self.stored()
        now = self.clock.now()
        theirs = StoredToken(
            token=self.grant.token(access_token="theirs"),
            epoch="theirs",
            signed_in_at=now + timedelta(seconds=seconds),
            obtained_at=now,
        )
        await self.store.inner.save(self.key, theirs, replaces=present and present.epoch)
        return theirs

    async def sign_out_elsewhere(self):
        """Delete the token past the lock and the server, as another process does at the end of a logout."""
        await self.store.inner.delete(self.key)

    async def refresh_elsewhere(self, generation=7):
        """Save a later token of the same sign-in past the lock; return what is stored."""
        present = await self.stored()
        theirs = attrs.evolve(
            present,
            token=self.grant.token(access_token="theirs"),
            generation=generation,
            obtained_at=self.clock.now(),
        )
        await self.store.inner.save(self.key, theirs, replaces=present.epoch)
        return theirs

    async def is_deleted(self):
        """Return whether there is no token and the store knows that it was deleted."""
        return await self.stored() is None and await self.store.inner.is_deleted(self.key)


async def scripted_manager_near_expiry(*script, **options):
    """Return a `ScriptedManager` that is signed in and whose token expires in 50 s, within the leeway of 60 s."""
    setup = ScriptedManager({}, *script, **options)
    await setup.manager.login()
    setup.clock.advance(3550)
    return setup


async def scripted_manager_expired(*script, **options):
    """Return a `ScriptedManager` that is signed in and whose token has just expired."""
    setup = await scripted_manager_near_expiry(*script, **options)
    setup.clock.advance(50)
    return setup


async def login_required(manager):
    """Return the reason for which the manager requires a login; None if it has a token."""
    try:
        await manager.token()
    except LoginRequired as error:
        return error.reason
    return None
