"""Rule 31 with the real verifier: a refresh must not turn one person into another."""

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import IdTokenError

pytestmark = pytest.mark.asyncio


async def test_a_login_and_many_refreshes_of_the_same_person():
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        tokens = [await manager.token(login=True)]
        for _ in range(3):
            setup.clock.advance(3600)
            setup.emulator.rotate_keys()
            tokens.append(await manager.token())
        assert len({token.access_token for token in tokens}) == 4
        assert all(token.id_token for token in tokens)


@pytest.mark.parametrize("claim", ["sub", "iss", "aud"])
async def test_a_refresh_that_is_about_something_else(claim):
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        first = await manager.token(login=True)
        value = {"sub": "US" + "0" * 32, "iss": "https://evil.example", "aud": "OQ" + "0" * 32}[claim]
        setup.emulator.faults.on("refresh").id_token(claims={claim: value})
        setup.clock.advance(3600)
        with pytest.raises(IdTokenError) as caught:
            await manager.token()
        assert caught.value.claim == claim
        assert manager._token == first


@pytest.mark.parametrize("signer", ["other_key", "hmac", "none"])
async def test_a_login_with_a_forged_id_token_is_none(signer):
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        setup.emulator.faults.on("poll").on_success().id_token(signed_by=signer)
        with pytest.raises(IdTokenError):
            await manager.token(login=True)
        assert await setup.stored("me") is None
