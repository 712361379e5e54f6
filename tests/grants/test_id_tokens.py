"""A grant with a verifier: what it returns, and which tokens are revoked, after a sign-in and a refresh."""

import contextlib
import logging

import attrs
import pytest

from tests.helpers.verified_grant import OTHER_USER, verified_grant
from twilio_oauth_async import (
    Approved,
    CodeIssued,
    ConfigurationError,
    IdTokenError,
    IdTokenVerifier,
    OAuthSession,
    VirtualClock,
)

KINDS = pytest.mark.parametrize("kind", ["device", "v1", "v2"])
ANOTHER = {"sub": OTHER_USER, "iss": "https://other.example", "aud": "OQ" + "0" * 32}

pytestmark = pytest.mark.asyncio


class TestSignIn:
    @KINDS
    async def test_sign_in_with_valid_id_token_returns_the_token_as_received(self, kind):
        async with verified_grant(kind) as setup:
            token = await setup.sign_in()
            assert token.id_token is not None
            assert setup.received == [token]
            assert len(setup.emulator.requests.to("certs")) == 1

    @KINDS
    @pytest.mark.parametrize(
        ("forgery", "claim"),
        [
            ({"signed_by": "other_key"}, None),
            ({"signed_by": "none"}, "alg"),
            ({"claims": {"aud": "OQ" + "0" * 32}}, "aud"),
            ({"claims": {"at_hash": "other"}}, "at_hash"),
            ({"claims": {"exp": 1}}, "exp"),
        ],
    )
    async def test_sign_in_with_invalid_id_token_raises_and_revokes_the_tokens(self, kind, forgery, claim):
        async with verified_grant(kind) as setup:
            setup.sign_in_fault().id_token(**forgery)
            assert (await setup.rejected(setup.sign_in())).claim == claim
            assert await setup.is_revoked(setup.received[0])

    @KINDS
    async def test_sign_in_with_openid_and_no_id_token_raises_and_revokes_the_tokens(self, kind):
        async with verified_grant(kind) as setup:
            setup.sign_in_fault().omit("id_token")
            error = await setup.rejected(setup.sign_in())
            assert error.claim is None
            assert "openid" in str(error)
            assert await setup.is_revoked(setup.received[0])

    @KINDS
    async def test_sign_in_without_openid_needs_no_id_token(self, kind):
        async with verified_grant(kind, scopes=["offline_access"]) as setup:
            assert (await setup.sign_in()).id_token is None
            assert setup.revocations == 0

    @KINDS
    async def test_sign_in_without_verifier_is_not_verified(self, kind):
        async with verified_grant(kind, verifier=None) as setup:
            setup.sign_in_fault().id_token(signed_by="other_key")
            assert (await setup.sign_in()).id_token is not None
            assert setup.emulator.requests.to("certs") == []

    @pytest.mark.parametrize("kind", ["v1", "v2"])
    async def test_finish_with_nonce_of_another_request_raises(self, kind):
        async with verified_grant(kind) as setup:
            setup.sign_in_fault().id_token(claims={"nonce": "other"})
            assert (await setup.rejected(setup.sign_in())).claim == "nonce"

    @KINDS
    async def test_sign_in_while_keys_cannot_be_fetched_leaves_the_id_token_out(self, kind, caplog):
        async with verified_grant(kind) as setup:
            outage = setup.faults.on("certs").always().respond(503)
            with caplog.at_level(logging.WARNING, "twilio_oauth_async.grants"):
                token = await setup.sign_in()
            assert token == attrs.evolve(setup.received[0], id_token=None)
            assert "left out" in caplog.text
            assert token.access_token not in caplog.text
            # The ID token of a later refresh is verified like a first one.
            setup.faults.remove(outage)
            refreshed = await setup.flow.refresh(token)
            assert refreshed.id_token is not None
            assert refreshed == setup.received[1]

    @KINDS
    @pytest.mark.parametrize("changes", [{"aud": "OQ" + "0" * 32}, {"iss": "https://other.example"}, {"exp": 1}])
    async def test_sign_in_while_keys_cannot_be_fetched_checks_everything_else(self, kind, changes):
        async with verified_grant(kind) as setup:
            setup.faults.on("certs").always().reset()
            setup.sign_in_fault().id_token(claims=changes)
            assert (await setup.rejected(setup.sign_in())).claim == next(iter(changes))

    @pytest.mark.parametrize("kind", ["v1", "v2"])
    async def test_finish_while_keys_cannot_be_fetched_checks_the_nonce(self, kind):
        async with verified_grant(kind) as setup:
            setup.faults.on("certs").always().reset()
            setup.sign_in_fault().id_token(claims={"nonce": "other"})
            assert (await setup.rejected(setup.sign_in())).claim == "nonce"

    async def test_sign_in_with_verifier_whose_session_is_not_open_raises(self):
        async with verified_grant() as setup:
            closed = OAuthSession(base_url=setup.emulator.base_url)
            setup.flow.verifier = IdTokenVerifier(closed, client_sid=setup.emulator.client_sid)
            with pytest.raises(ConfigurationError, match="not open"):
                await setup.sign_in()


class TestDeviceFlowSteps:
    async def test_poll_and_events_verify_within_the_poll(self):
        async with verified_grant() as setup:
            setup.faults.on("poll").on_success().times(2).id_token(signed_by="other_key")
            state = await setup.flow.start()
            await setup.emulator.approve(state.user_code)
            setup.clock.advance(10)
            await setup.rejected(setup.flow.poll(state))
            kinds = []
            async with contextlib.aclosing(setup.flow.events()) as events:
                with pytest.raises(IdTokenError):
                    async for event in events:
                        kinds.append(type(event))
                        await setup.emulator.approve(event.authorization.user_code)
            assert kinds == [CodeIssued]

    async def test_poll_while_keys_cannot_be_fetched_is_approved_without_id_token(self):
        async with verified_grant() as setup:
            setup.faults.on("certs").always().respond(503)
            state = await setup.flow.start()
            await setup.emulator.approve(state.user_code)
            setup.clock.advance(10)
            step = await setup.flow.poll(state)
            assert step == Approved(attrs.evolve(setup.received[0], id_token=None))

    async def test_pool_stores_no_token_with_an_invalid_id_token(self):
        async with verified_grant() as setup:
            setup.faults.on("poll").on_success().id_token(signed_by="other_key")
            async with setup.world.pool(flow=setup.flow) as pool:
                sign_in = await pool.submit("me")
                await setup.emulator.approve(sign_in.user_code)
                with pytest.raises(IdTokenError):
                    await pool.result(sign_in.id)
            assert await setup.world.stored("me") is None
            assert await setup.is_revoked(setup.received[0])


class TestRefresh:
    @KINDS
    async def test_refresh_with_valid_id_token_returns_the_new_one(self, kind):
        async with verified_grant(kind) as setup:
            token = await setup.sign_in()
            for _ in range(3):
                setup.clock.advance(3000)
                setup.emulator.rotate_keys()
                old, token = token, await setup.flow.refresh(token)
                assert token == setup.received[-1]
                assert token.id_token not in {None, old.id_token}
            assert setup.revocations == 0

    @KINDS
    @pytest.mark.parametrize("signed_by", ["emulator", "other_key", "none"])
    @pytest.mark.parametrize("claim", ["sub", "iss", "aud"])
    async def test_refresh_with_other_user_issuer_or_client_raises_and_revokes(self, kind, claim, signed_by):
        async with verified_grant(kind) as setup:
            token = await setup.sign_in()
            setup.faults.on("refresh").id_token(claims={claim: ANOTHER[claim]}, signed_by=signed_by)
            assert (await setup.rejected(setup.flow.refresh(token))).claim == claim
            assert await setup.is_revoked(setup.received[1])

    async def test_refresh_with_other_user_and_unknown_key_during_outage_raises_and_revokes(self):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            setup.clock.advance(4000)
            setup.faults.on("certs").always().reset()
            setup.faults.on("refresh").id_token(claims={"sub": OTHER_USER}, header={"kid": "new"})
            assert (await setup.rejected(setup.flow.refresh(token))).claim == "sub"
            assert await setup.is_revoked(setup.received[1])

    async def test_refresh_with_access_token_of_another_id_token_raises_and_revokes(self):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            setup.faults.on("refresh").id_token(claims={"at_hash": "other"})
            assert (await setup.rejected(setup.flow.refresh(token))).claim == "at_hash"
            assert await setup.is_revoked(setup.received[1])

    @KINDS
    @pytest.mark.parametrize(
        "forgery",
        [
            {"claims": {"exp": 1}},
            {"claims": {"iat": 9_999_999_999}},
            {"claims": {"nonce": "other", "auth_time": 1}, "signed_by": "other_key"},
            {"header": {"kid": "unknown"}},
            {"signed_by": "none"},
            {"signed_by": "hmac"},
            {"omit": ("sub",)},
        ],
    )
    async def test_refresh_with_invalid_id_token_of_the_same_user_keeps_tokens_and_identity(
        self, kind, forgery, caplog
    ):
        async with verified_grant(kind) as setup:
            token = await setup.sign_in()
            setup.faults.on("refresh").id_token(**forgery)
            with caplog.at_level(logging.WARNING, "twilio_oauth_async.grants"):
                refreshed = await setup.flow.refresh(token)
            assert refreshed == attrs.evolve(setup.received[1], id_token=token.id_token)
            assert "not accepted" in caplog.text
            assert token.id_token not in caplog.text
            assert setup.revocations == 0
            # The next ID token is compared with the one before the invalid one.
            setup.faults.on("refresh").id_token(claims={"sub": OTHER_USER})
            await setup.rejected(setup.flow.refresh(refreshed))

    @pytest.mark.parametrize("text", ["opaque", "a.b.c", "a.e30.c"])
    async def test_refresh_with_unreadable_id_token_keeps_tokens_and_identity(self, text):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            setup.faults.on("refresh").on_success().change(id_token=text)
            refreshed = await setup.flow.refresh(token)
            assert refreshed == attrs.evolve(setup.received[1], id_token=token.id_token)
            assert (await setup.flow.refresh(refreshed)).id_token not in {token.id_token, text}

    async def test_refresh_with_clock_two_minutes_slow_keeps_the_rotated_refresh_token(self, caplog):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            slow = VirtualClock()
            slow.shift_wall((setup.clock.now() - slow.now()).total_seconds() - 120)
            emulator = setup.emulator
            async with OAuthSession(
                emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=slow
            ) as session:
                setup.flow.verifier = IdTokenVerifier(session, client_sid=emulator.client_sid)
                refreshed = await setup.flow.refresh(token)
                assert "not valid yet" in caplog.text
                assert refreshed.refresh_token == setup.received[1].refresh_token
                assert refreshed.id_token == token.id_token
                slow.shift_wall(120)
                assert (await setup.flow.refresh(refreshed)).id_token == setup.received[2].id_token

    @KINDS
    async def test_refresh_while_keys_cannot_be_fetched_keeps_tokens_and_identity(self, kind):
        async with verified_grant(kind) as setup:
            token = await setup.sign_in()
            setup.clock.advance(4000)  # longer than cached keys are used
            setup.faults.on("certs").always().reset()
            refreshed = await setup.flow.refresh(token)
            assert refreshed == attrs.evolve(setup.received[1], id_token=token.id_token)

    async def test_refresh_with_closed_verifier_session_keeps_tokens_and_identity(self):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            closed = OAuthSession(base_url=setup.emulator.base_url)
            setup.flow.verifier = IdTokenVerifier(closed, client_sid=setup.emulator.client_sid)
            refreshed = await setup.flow.refresh(token)
            assert refreshed == attrs.evolve(setup.received[1], id_token=token.id_token)

    async def test_refresh_without_id_token_in_the_response_sends_nothing_more(self):
        async with verified_grant() as setup:
            token = await setup.sign_in()
            setup.faults.on("refresh").on_success().omit("id_token")
            refreshed = await setup.flow.refresh(token)
            assert refreshed == attrs.evolve(setup.received[1], id_token=token.id_token)
            assert len(setup.emulator.requests.to("certs")) == 1
