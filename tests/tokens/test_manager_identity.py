"""Rule 31 with the real verifier: a refresh must not turn one person into another."""

import pytest

from twilio_oauth_async import DeviceFlow, IdTokenError, IdTokenVerifier, OAuthSession, TokenManager, VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


class Setup:
    async def __aenter__(self):
        self.clock = VirtualClock()
        self.emulator = await Emulator(clock=self.clock).__aenter__()
        self.session = OAuthSession(
            self.emulator.account_sid, self.emulator.auth_token, base_url=self.emulator.base_url, clock=self.clock
        )
        await self.session.open()
        flow = DeviceFlow(
            self.session,
            client_sid=self.emulator.client_sid,
            client_secret=self.emulator.client_secret,
            scopes=["openid"],
            prompt=lambda authorization: self.emulator.approve(authorization.user_code),
        )
        verifier = IdTokenVerifier(self.session, client_sid=self.emulator.client_sid)
        self.manager = TokenManager(flow, verifier=verifier)
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.emulator.__aexit__(None, None, None)


async def test_a_login_and_many_refreshes_of_the_same_person():
    async with Setup() as setup:
        tokens = [await setup.manager.token(login=True)]
        for _ in range(3):
            setup.clock.advance(3600)
            setup.emulator.rotate_keys()
            tokens.append(await setup.manager.token())
        assert len({token.access_token for token in tokens}) == 4
        assert all(token.id_token for token in tokens)


@pytest.mark.parametrize("claim", ["sub", "iss", "aud"])
async def test_a_refresh_that_is_about_something_else(claim):
    async with Setup() as setup:
        first = await setup.manager.token(login=True)
        value = {"sub": "US" + "0" * 32, "iss": "https://evil.example", "aud": "OQ" + "0" * 32}[claim]
        setup.emulator.faults.on("refresh").id_token(claims={claim: value})
        setup.clock.advance(3600)
        with pytest.raises(IdTokenError) as caught:
            await setup.manager.token()
        assert caught.value.claim == claim
        assert setup.manager._token == first


@pytest.mark.parametrize("signer", ["stranger", "hmac", "nobody"])
async def test_a_login_with_a_forged_id_token_is_none(signer):
    async with Setup() as setup:
        setup.emulator.faults.on("poll").on_success().id_token(signed_by=signer)
        with pytest.raises(IdTokenError):
            await setup.manager.token(login=True)
        assert await setup.manager._steps.store.load("default") is None
