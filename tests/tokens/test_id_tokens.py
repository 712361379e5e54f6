"""Rule 31 and fault 43 with a manager that has a verifier: a refresh must not change the user, nor lose the tokens."""

import asyncio

import pytest

from tests.helpers.event_loop import settle
from tests.helpers.scripted_manager import login_required
from tests.helpers.world import emulated
from twilio_oauth_async import IdTokenError, RetryPolicy

pytestmark = pytest.mark.asyncio

OTHER = {"sub": "US" + "0" * 32, "iss": "https://evil.example", "aud": "OQ" + "0" * 32}


def revocations(setup):
    """Return how many revocation requests the emulator has received."""
    return len(setup.emulator.requests.to("revoke"))


async def test_login_and_many_refreshes_of_the_same_user():
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        tokens = [await manager.token(login=True)]
        for _ in range(3):
            setup.clock.advance(3600)
            setup.emulator.rotate_keys()
            tokens.append(await manager.token())
        assert len({token.access_token for token in tokens}) == 4
        assert len({token.id_token for token in tokens}) == 4


@pytest.mark.parametrize("claim", ["sub", "iss", "aud"])
async def test_refresh_for_another_user_issuer_or_client_is_refused_and_its_token_revoked(claim):
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        first = await manager.token(login=True)
        setup.emulator.faults.on("refresh").id_token(claims={claim: OTHER[claim]})
        setup.clock.advance(3600)
        with pytest.raises(IdTokenError) as caught:
            await manager.token()
        assert caught.value.claim == claim
        assert (await setup.stored("me")).token == first
        assert revocations(setup) == 1
        # The server has rotated the earlier refresh token. Its refusal is a definite response.
        setup.clock.advance(1)
        assert await login_required(manager) == "refused"


@pytest.mark.parametrize("fault", [{"signed_by": "other_key"}, {"claims": {"exp": 1}}], ids=["unknown key", "clock"])
async def test_refresh_with_an_unverifiable_id_token_keeps_the_new_tokens_and_the_previous_id_token(fault):
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        first = await manager.token(login=True)
        setup.emulator.faults.on("refresh").id_token(**fault)
        setup.clock.advance(3600)
        second = await manager.token()
        assert second.refresh_token != first.refresh_token
        assert second.id_token == first.id_token
        assert (await setup.stored("me")).token == second
        assert revocations(setup) == 0
        # The next one is compared with the one before the rejected one.
        setup.emulator.faults.on("refresh").id_token(claims={"sub": OTHER["sub"]})
        setup.clock.advance(3600)
        with pytest.raises(IdTokenError) as caught:
            await manager.token()
        assert caught.value.claim == "sub"


@pytest.mark.parametrize("owner", ["manager", "grant"])
async def test_refresh_that_is_cancelled_while_its_id_token_is_verified_is_saved(owner):
    """The server has rotated: without the save, the user would have to sign in again."""
    async with emulated(retry=RetryPolicy.none()) as setup:
        if owner == "manager":
            manager = setup.manager(verifier=setup.verifier())
        else:
            manager = setup.manager(flow=setup.device_flow(verifier=setup.verifier()))
        first = await manager.token(login=True)
        setup.clock.advance(3600)
        setup.emulator.rotate_keys()
        setup.emulator.faults.on("certs").stall()
        setup.clock.auto = False
        waiting = asyncio.create_task(manager.token())
        while not setup.emulator.requests.to("refresh"):
            await asyncio.sleep(0)
        await settle()
        manager._rounds._round.cancel()  # as at the end of asyncio.run
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await settle()
        stored = await setup.stored("me")
        assert stored.token.refresh_token != first.refresh_token
        assert (stored.generation, stored.token.id_token) == (2, first.id_token)


@pytest.mark.parametrize("owner", ["manager", "grant"])
async def test_refresh_for_another_user_that_is_cancelled_while_it_is_revoked_is_not_saved(owner):
    async with emulated(retry=RetryPolicy.none()) as setup:
        options = {"verifier": setup.verifier()}
        manager = setup.manager(**options) if owner == "manager" else setup.manager(flow=setup.device_flow(**options))
        first = await manager.token(login=True)
        setup.emulator.faults.on("refresh").id_token(claims={"sub": OTHER["sub"]})
        setup.emulator.faults.on("revoke").stall()
        setup.clock.advance(3600)
        setup.clock.auto = False
        waiting = asyncio.create_task(manager.token())
        while not setup.emulator.requests.to("revoke"):
            await asyncio.sleep(0)
        manager._rounds._round.cancel()  # as at the end of asyncio.run
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await settle()
        stored = await setup.stored("me")
        assert (stored.token.access_token, stored.generation) == (first.access_token, 1)


@pytest.mark.parametrize("signer", ["other_key", "hmac", "none"])
async def test_login_with_a_forged_id_token_is_refused_and_its_token_revoked(signer):
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        setup.emulator.faults.on("poll").on_success().id_token(signed_by=signer)
        with pytest.raises(IdTokenError):
            await manager.token(login=True)
        assert await setup.stored("me") is None
        assert await login_required(manager) == "never_signed_in"
        assert revocations(setup) == 1


async def test_login_without_an_id_token_is_refused_although_openid_was_requested():
    """OpenID Connect Core 3.1.3.3."""
    async with emulated() as setup:
        setup.emulator.faults.on("poll").on_success().omit("id_token")
        with pytest.raises(IdTokenError):
            await setup.manager(verifier=setup.verifier()).login()
        assert await setup.stored("me") is None


async def test_login_while_the_keys_cannot_be_fetched_keeps_the_token_without_its_id_token(caplog):
    async with emulated(retry=RetryPolicy.none()) as setup:
        manager = setup.manager(verifier=setup.verifier())
        down = setup.emulator.faults.on("certs").always().respond(503)
        token = await manager.login()
        assert token.id_token is None
        assert (await setup.stored("me")).token == token
        assert "could not be verified and is left out" in caplog.text
        setup.emulator.faults.remove(down)
        setup.clock.advance(3600)
        assert (await manager.token()).id_token is not None


async def test_adopted_token_is_verified():
    async with emulated() as setup:
        manager = setup.manager(verifier=setup.verifier())
        setup.emulator.faults.on("poll").on_success().id_token(signed_by="other_key")
        with pytest.raises(IdTokenError):
            await manager.adopt(await setup.flow.run())
        assert await setup.stored("me") is None
