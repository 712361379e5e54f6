"""`invalidate` and `user_info`: a resource server has rejected the access token (RFC 6750 3.1)."""

import asyncio
import itertools

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedManager, login_required
from tests.helpers.world import emulated
from twilio_oauth_async import ApiError, ConfigurationError, IdTokenError, LoginRequired

pytestmark = pytest.mark.asyncio


async def refreshed(setup):
    """Return a manager whose token comes from a refresh, a moment ago."""
    await setup.manager.login()
    setup.clock.advance(3600)
    assert await setup.manager.access_token() == "acc-canary-2"


class TestInvalidate:
    async def test_many_callers_that_were_rejected_cause_one_refresh(self):
        setup = ScriptedManager()
        await setup.manager.login()
        for _ in range(100):
            setup.manager.invalidate("acc-canary-1")
        tokens = await asyncio.gather(*(setup.manager.token() for _ in range(100)))
        assert {token.access_token for token in tokens} == {"acc-canary-2"}
        setup.manager.invalidate("acc-canary-1")  # too late: another token is in use
        assert await setup.manager.access_token() == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_token_of_a_login_is_refreshed_at_once(self):
        setup = ScriptedManager()
        setup.manager.invalidate((await setup.manager.login()).access_token)
        assert await setup.manager.access_token() == "acc-canary-2"

    async def test_token_of_a_refresh_is_used_for_a_second_and_then_refreshed(self):
        """A resource server that rejects every token must not cause a loop of refreshes."""
        setup = ScriptedManager()
        await refreshed(setup)
        for _ in range(20):
            setup.manager.invalidate(await setup.manager.access_token())
            await run_turns(5)
        assert len(setup.grant.refreshed) == 1
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-3"

    async def test_gap_grows_while_the_server_rejects_one_new_token_after_the_other(self):
        setup = ScriptedManager()
        await refreshed(setup)
        times = []
        for _ in range(4_000):
            before = len(setup.grant.refreshed)
            setup.manager.invalidate(await setup.manager.access_token())
            await run_turns(3)
            if len(setup.grant.refreshed) > before:
                times.append(setup.clock.monotonic())
            setup.clock.advance(0.5)
        gaps = [round(later - earlier) for earlier, later in itertools.pairwise(times)]
        assert gaps[:9] == [2, 4, 8, 16, 32, 64, 128, 256, 300]

    async def test_gap_is_short_again_after_a_token_was_not_rejected(self):
        setup = ScriptedManager()
        await refreshed(setup)
        for seconds in (1, 2, 4):
            setup.manager.invalidate(await setup.manager.access_token())
            setup.clock.advance(seconds)
            await setup.manager.token()
        assert len(setup.grant.refreshed) == 4
        setup.clock.advance(3600)
        await setup.manager.token()  # it had expired, and was not rejected
        setup.manager.invalidate(await setup.manager.access_token())
        setup.clock.advance(1)
        await setup.manager.token()
        assert len(setup.grant.refreshed) == 6

    async def test_gap_is_short_again_after_a_sign_in(self):
        setup = ScriptedManager()
        await refreshed(setup)
        for seconds in (1, 2, 4):
            setup.manager.invalidate(await setup.manager.access_token())
            setup.clock.advance(seconds)
            await setup.manager.token()
        await setup.manager.login()
        setup.manager.invalidate(await setup.manager.access_token())  # at once, as that of each sign-in
        setup.manager.invalidate(await setup.manager.access_token())
        setup.clock.advance(1)
        before = len(setup.grant.refreshed)
        await setup.manager.token()
        assert len(setup.grant.refreshed) == before + 1

    async def test_grant_without_user_is_run_at_growing_gaps_too(self):
        setup = ScriptedManager(interactive=False)
        obtained = []
        for _ in range(60):
            setup.manager.invalidate(await setup.manager.access_token())
            await run_turns(3)
            obtained.append(setup.grant.obtained)
            setup.clock.advance(0.5)
        assert obtained[-1] == 5  # at 0, 1, 3, 7 and 15 s

    async def test_callers_who_need_a_token_for_some_time_cause_no_loop_of_refreshes_either(self):
        setup = ScriptedManager()
        await refreshed(setup)
        for _ in range(20):
            setup.manager.invalidate((await setup.manager.token(min_valid_for=600)).access_token)
            await run_turns(5)
        assert len(setup.grant.refreshed) == 1
        setup.clock.advance(1)
        assert (await setup.manager.token(min_valid_for=600)).access_token == "acc-canary-3"

    async def test_is_not_returned_while_the_new_token_is_saved(self):
        setup = ScriptedManager()
        await setup.manager.login()
        setup.store.slow_down("lock", "load", "save")
        other = setup.another()
        await other.token()
        for manager in (setup.manager, other):
            manager.invalidate("acc-canary-1")
        tokens = await asyncio.gather(*(manager.access_token() for manager in (setup.manager, other, setup.manager)))
        assert set(tokens) == {"acc-canary-2"}
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_newer_token_of_another_process_is_used(self):
        setup = ScriptedManager()
        await setup.manager.login()
        other = setup.another()
        await other.token()
        other.invalidate("acc-canary-1")
        assert await other.access_token() == "acc-canary-2"
        setup.manager.invalidate("acc-canary-1")
        assert await setup.manager.access_token() == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_before_the_store_was_read(self):
        setup = ScriptedManager()
        await setup.manager.login()
        other = setup.another()
        other.invalidate("acc-canary-1")
        assert await other.access_token() == "acc-canary-2"

    async def test_without_a_refresh_token_a_login_is_required(self):
        setup = ScriptedManager({"refresh_token": None})
        await setup.manager.login()
        setup.manager.invalidate("acc-canary-1")
        assert await login_required(setup.manager) == "expired"
        assert (await setup.manager.token(login=True)).access_token == "acc-canary-2"

    async def test_without_an_event_loop(self):
        setup = ScriptedManager()
        await setup.manager.login()
        await asyncio.to_thread(setup.manager.invalidate, "another token")
        assert await setup.manager.access_token() == "acc-canary-1"


class TestUserInfo:
    async def test_rejected_token_is_refreshed_once_and_the_request_sent_again(self):
        async with emulated() as setup:
            manager = setup.manager(verifier=setup.verifier())
            first = await manager.login()
            subject = (await manager.user_info()).user_sid
            setup.emulator.faults.on("userinfo").respond(401)
            assert (await manager.user_info()).user_sid == subject
            assert await manager.token() != first
            assert len(setup.emulator.requests.to("userinfo")) == 3
            assert len(setup.emulator.requests.to("refresh")) == 1

    async def test_second_401_is_raised(self):
        async with emulated() as setup:
            manager = setup.manager()
            await manager.login()
            setup.emulator.faults.on("userinfo").always().respond(401)
            with pytest.raises(ApiError) as caught:
                await manager.user_info()
            assert caught.value.status == 401
            assert len(setup.emulator.requests.to("userinfo")) == 2
            assert len(setup.emulator.requests.to("refresh")) == 1

    async def test_other_error_causes_no_refresh(self):
        async with emulated() as setup:
            manager = setup.manager()
            await manager.login()
            setup.emulator.faults.on("userinfo").respond(403)
            with pytest.raises(ApiError) as caught:
                await manager.user_info()
            assert caught.value.status == 403
            assert setup.emulator.requests.to("refresh") == []

    async def test_claims_about_another_user_are_refused(self):
        """OpenID Connect Core 5.3.2, after a first 401 too."""
        async with emulated() as setup:
            manager = setup.manager(verifier=setup.verifier())
            await manager.login()
            setup.emulator.faults.on("userinfo").respond(401)
            setup.emulator.faults.on("userinfo").always().change(user_sid="US" + "0" * 32)
            with pytest.raises(IdTokenError) as caught:
                await manager.user_info()
            assert caught.value.claim == "sub"

    async def test_without_a_sign_in_a_login_is_required(self):
        async with emulated() as setup:
            with pytest.raises(LoginRequired):
                await setup.manager().user_info()
            assert setup.emulator.requests.to("userinfo") == []

    async def test_grant_without_session_raises(self):
        with pytest.raises(ConfigurationError, match="session"):
            await ScriptedManager().manager.user_info()
