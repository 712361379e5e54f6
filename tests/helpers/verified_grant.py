"""``verified_grant``: a grant with a verifier, the tokens that it received, and what became of them at the emulator."""

import contextlib

import pytest

from tests.helpers.jose import assert_safe_to_log
from tests.helpers.world import emulated
from twilio_oauth_async import IdTokenError, InvalidGrantError, RetryPolicy, Token

OTHER_USER = "US" + "0" * 32


class VerifiedGrant:
    """A `flow` with a verifier, of one kind of grant, and the tokens that it has `received` from the emulator."""

    def __init__(self, world, kind, **options):
        self.world, self.kind, self.clock, self.emulator = world, kind, world.clock, world.emulator
        self.faults = world.emulator.faults
        options = {"verifier": world.verifier(), **options}
        self.flow = world.device_flow(**options) if kind == "device" else world.code_flow(api=kind, **options)
        self.received = []
        exchange = world.session.exchange

        async def spy(*args, **keywords):
            outcome = await exchange(*args, **keywords)
            if isinstance(outcome, Token):
                self.received.append(outcome)
            return outcome

        world.session.exchange = spy

    async def sign_in(self):
        if self.kind == "device":
            return await self.flow.run()
        pending = await self.flow.start()
        return await self.flow.finish(pending, await self.emulator.authorize(pending.url))

    def sign_in_fault(self):
        return self.faults.on("poll" if self.kind == "device" else "code").on_success()

    async def rejected(self, call):
        """Return the error of a call that must be rejected."""
        with pytest.raises(IdTokenError) as caught:
            await call
        assert_safe_to_log(caught.value)
        return caught.value

    async def is_revoked(self, token):
        """Return whether the emulator has revoked the refresh token of `token`; a valid one is used for this."""
        try:
            await self.world.device_flow().refresh(token)
        except InvalidGrantError as error:
            return "The refresh token is revoked." in str(error)
        return False

    @property
    def revocations(self):
        return len(self.emulator.requests.to("revoke"))


@contextlib.asynccontextmanager
async def verified_grant(kind="device", *, world=None, **options):
    """Yield a `VerifiedGrant`. `world` has options of `emulated`; other options are those of the grant."""
    async with emulated(retry=RetryPolicy.none(), **(world or {})) as opened:
        yield VerifiedGrant(opened, kind, **options)
