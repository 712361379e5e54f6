"""Revocation of rejected tokens, the first ID token of a refresh, and a grant and a manager that both verify."""

import asyncio
import logging

import attrs
import pytest

from tests.helpers.scripted_manager import ScriptedGrant
from tests.helpers.verified_grant import OTHER_USER, verified_grant
from twilio_oauth_async import IdTokenError, OAuthSession, Token, TokenManager, TwilioOAuthError, VirtualClock
from twilio_oauth_async.grants.client_credentials import ClientCredentials
from twilio_oauth_async.grants.id_tokens import (
    accept_refreshed,
    accept_sign_in,
    check_refreshed,
    check_sign_in,
    revoke_quietly,
    scopes_to_check,
)

pytestmark = pytest.mark.asyncio


class TestRevocation:
    @pytest.mark.parametrize(
        "fail",
        [
            lambda faults: faults.on("revoke").respond(503),
            lambda faults: faults.on("revoke").drop_response(),
            lambda faults: faults.on("discovery").omit("revocation_endpoint"),
        ],
    )
    async def test_refresh_whose_revocation_fails_raises_id_token_error_and_logs(self, fail, caplog):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            fail(setup.faults)
            setup.faults.on("refresh").id_token(claims={"sub": OTHER_USER})
            with caplog.at_level(logging.WARNING, "twilio_oauth_async.grants"):
                assert (await setup.rejected(setup.flow.refresh(token))).claim == "sub"
            assert "could not be revoked" in caplog.text
            assert setup.received[1].refresh_token not in caplog.text

    async def test_refresh_cancelled_while_it_revokes_raises_cancelled_error(self):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            setup.faults.on("revoke").stall()
            setup.faults.on("refresh").id_token(claims={"sub": OTHER_USER})
            task = asyncio.create_task(setup.flow.refresh(token))
            while not setup.revocations:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def test_refresh_token_that_was_not_rotated_is_not_revoked(self):
        async with verified_grant(world={"rotate_refresh_tokens": False}) as setup:
            token = await setup.sign_in()
            setup.faults.on("refresh").id_token(claims={"sub": OTHER_USER})
            await setup.rejected(setup.flow.refresh(token))
            with pytest.raises(TwilioOAuthError):
                await setup.world.session.fetch_user_info(access_token=setup.received[1].access_token)
            assert (await setup.flow.refresh(token)).refresh_token == token.refresh_token

    async def test_revoke_quietly_of_foreign_grant_logs_no_text_of_its_exception(self, caplog):
        grant = ScriptedGrant(VirtualClock(), ValueError("ref-canary-1 is unknown"))
        await revoke_quietly(grant, grant.token())
        assert "could not be revoked: ValueError" in caplog.text
        assert "canary" not in caplog.text


class TestFirstIdTokenOfARefresh:
    """The token that is refreshed has no ID token, because it could not be verified at the sign-in."""

    @pytest.mark.parametrize(
        ("changes", "claim"),
        [
            ({"iss": "https://other.example"}, "iss"),
            ({"aud": "OQ" + "0" * 32}, "aud"),
            ({"azp": "OQ" + "0" * 32}, "azp"),
            ({"at_hash": "other"}, "at_hash"),
        ],
    )
    async def test_first_id_token_of_another_issuer_or_client_raises_and_revokes(self, changes, claim):
        async with verified_grant() as setup:
            token = attrs.evolve(await setup.sign_in(), id_token=None)
            setup.faults.on("refresh").id_token(claims=changes)
            assert (await setup.rejected(setup.flow.refresh(token))).claim == claim
            assert await setup.is_revoked(setup.received[1])

    @pytest.mark.parametrize("forgery", [{"claims": {"exp": 1}}, {"signed_by": "other_key"}, {"header": {"kid": "x"}}])
    async def test_first_id_token_that_is_invalid_is_left_out(self, forgery):
        async with verified_grant() as setup:
            token = attrs.evolve(await setup.sign_in(), id_token=None)
            setup.faults.on("refresh").id_token(**forgery)
            refreshed = await setup.flow.refresh(token)
            assert refreshed == attrs.evolve(setup.received[1], id_token=None)

    async def test_first_id_token_while_keys_cannot_be_fetched_is_left_out(self):
        async with verified_grant() as setup:
            token = attrs.evolve(await setup.sign_in(), id_token=None)
            setup.clock.advance(4000)
            setup.faults.on("certs").always().respond(503)
            assert (await setup.flow.refresh(token)).id_token is None

    async def test_id_token_after_an_unreadable_one_is_verified_as_a_first_one(self):
        async with verified_grant() as setup:
            token = attrs.evolve(await setup.sign_in(), id_token="opaque")
            assert (await setup.flow.refresh(token)).id_token == setup.received[1].id_token


class TestManager:
    """Functions for a manager with a verifier of its own."""

    async def test_scopes_to_check_are_those_of_a_grant_that_does_not_verify(self):
        session = OAuthSession()
        async with verified_grant(verifier=None) as setup:
            assert scopes_to_check(setup.flow) == ("openid",)
            setup.flow.verifier = setup.world.verifier()
            assert scopes_to_check(setup.flow) == ()
        program = ClientCredentials(session, client_id="OQ1", client_secret="s", scope="openid")
        assert scopes_to_check(program) == ()
        assert scopes_to_check(ScriptedGrant(VirtualClock())) == ()

    async def test_token_that_the_grant_left_without_id_token_is_accepted(self):
        async with verified_grant() as setup:
            setup.faults.on("certs").always().respond(503)
            token, verifier = await setup.sign_in(), setup.world.verifier()
            assert await accept_sign_in(setup.flow, verifier, token, scopes=scopes_to_check(setup.flow)) == token

    async def test_token_manager_and_grant_that_both_verify_sign_in_and_refresh(self):
        async with verified_grant() as setup:
            manager = TokenManager(setup.flow, verifier=setup.flow.verifier)
            token = await manager.token(login=True)
            assert token.id_token is not None
            setup.clock.advance(4000)
            setup.faults.on("certs").always().respond(503)
            second = await manager.token()
            assert second == attrs.evolve(setup.received[1], id_token=token.id_token)
            setup.clock.advance(4000)
            setup.faults.clear()
            assert (await manager.token()).id_token == setup.received[2].id_token

    async def test_accept_functions_revoke_with_the_grant_and_raise(self):
        async with verified_grant(verifier=None) as setup:
            verifier = setup.world.verifier()
            setup.faults.on("refresh").id_token(claims={"sub": OTHER_USER})
            old = await setup.sign_in()
            new = await setup.flow.refresh(old)
            with pytest.raises(IdTokenError):
                await accept_refreshed(setup.flow, verifier, new, old)
            assert await setup.is_revoked(new)
            token = attrs.evolve(await setup.sign_in(), id_token=None)
            with pytest.raises(IdTokenError):
                await accept_sign_in(setup.flow, verifier, token, scopes=scopes_to_check(setup.flow))
            assert await setup.is_revoked(token)

    async def test_check_functions_send_no_revocation(self):
        async with verified_grant(verifier=None) as setup:
            verifier = setup.world.verifier()
            token = await setup.sign_in()
            other = attrs.evolve(await setup.sign_in(), access_token="other")
            with pytest.raises(IdTokenError):
                await check_sign_in(verifier, other, scopes=[])
            with pytest.raises(IdTokenError):
                await check_refreshed(verifier, other, token)
            assert setup.revocations == 0

    async def test_check_refreshed_fills_in_the_id_token_of_a_foreign_grant(self):
        async with verified_grant() as setup:
            old, new = Token(access_token="a", id_token="i"), Token(access_token="b")
            checked = await check_refreshed(setup.flow.verifier, new, old)
            assert checked == Token(access_token="b", id_token="i")
