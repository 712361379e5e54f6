"""What callers of `TokenManager.token` see while all goes well: a valid token at once, and one refresh for all."""

import asyncio

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import (
    ScriptedGrant,
    ScriptedManager,
    login_required,
    scripted_manager_expired,
    scripted_manager_near_expiry,
)
from twilio_oauth_async import ConfigurationError, LoginRequired, OAuthSession, ServerError, Token, VirtualClock
from twilio_oauth_async.tokens.manager import TokenManager

pytestmark = pytest.mark.asyncio


async def test_manager_with_invalid_arguments_raises():
    grant = ScriptedGrant(VirtualClock())
    for options in (
        {"store": ScriptedManager().store},
        {"store": ScriptedManager().store, "key": ""},
        {"leeway": -1},
        {"leeway": float("nan")},
    ):
        with pytest.raises(ConfigurationError):
            TokenManager(grant, **options)
    async with OAuthSession() as session:
        with pytest.raises(ConfigurationError, match="DeviceFlow"):
            TokenManager(session)


async def test_token_before_the_first_sign_in_raises_login_required():
    setup = ScriptedManager()
    with pytest.raises(LoginRequired, match="has not signed in") as caught:
        await setup.manager.token()
    assert caught.value.reason == "never_signed_in"
    assert setup.grant.obtained == 0


async def test_fresh_token_is_returned_without_store_and_lock():
    setup = ScriptedManager()
    await setup.manager.login()
    setup.store.calls.clear()
    for _ in range(10):
        setup.clock.advance(300)
        await setup.manager.token()
    assert setup.store.calls == []


@pytest.mark.parametrize(("seconds", "refreshes"), [(3539.9, 0), (3540, 1), (3600, 1), (99_999, 1)])
async def test_refresh_is_due_one_leeway_before_expiry(seconds, refreshes):
    setup = ScriptedManager()
    await setup.manager.login()
    setup.clock.advance(seconds)
    await setup.manager.token()
    await run_turns()
    assert len(setup.grant.refreshed) == refreshes


async def test_valid_token_within_the_leeway_is_returned_at_once_and_refreshed_behind_it():
    setup = await scripted_manager_near_expiry()
    setup.grant.gate = asyncio.Event()
    assert await setup.manager.access_token() == "acc-canary-1"
    await run_turns()
    assert setup.grant.refreshed == ["ref-canary-1"]
    assert setup.manager.is_busy
    assert await setup.manager.access_token() == "acc-canary-1"
    setup.grant.gate.set()
    await run_turns()
    assert await setup.manager.access_token() == "acc-canary-2"
    assert not setup.manager.is_busy


async def test_expired_token_is_not_returned_and_the_caller_waits_for_the_refresh():
    setup = await scripted_manager_expired()
    setup.grant.gate = asyncio.Event()
    waiting = asyncio.create_task(setup.manager.access_token())
    await run_turns()
    assert not waiting.done()
    setup.grant.gate.set()
    assert await waiting == "acc-canary-2"


async def test_refresh_has_the_order_that_survives_a_crash():
    setup = await scripted_manager_expired()
    seen = []

    async def send(token, refresh=setup.grant.refresh):
        seen.append((await setup.stored()).unanswered)
        setup.store.calls.append("request")
        return await refresh(token)

    setup.grant.refresh = send
    setup.store.calls.clear()
    await setup.manager.token()
    await run_turns()
    assert setup.store.calls[-6:] == ["lock", "load", "save", "request", "save", "unlock"]
    assert seen == [1]
    stored = await setup.stored()
    assert (stored.generation, stored.unanswered, stored.token.refresh_token) == (2, 0, "ref-canary-2")


async def test_new_token_is_not_returned_before_it_is_saved():
    setup = await scripted_manager_expired()
    pause = setup.store.pause("save")
    waiting = asyncio.create_task(setup.manager.access_token())
    await run_turns()  # the mark
    assert not waiting.done()
    pause.resume()
    setup.store.repair()
    pause = setup.store.pause("save")
    await run_turns()
    assert setup.grant.refreshed == ["ref-canary-1"]
    assert not waiting.done()
    pause.resume()
    assert await waiting == "acc-canary-2"


async def test_hundred_tasks_at_expiry_cause_one_refresh():
    setup = await scripted_manager_expired()
    tokens = await asyncio.gather(*(setup.manager.token() for _ in range(100)))
    assert {token.access_token for token in tokens} == {"acc-canary-2"}
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_managers_on_one_store_share_one_refresh():
    setup = await scripted_manager_expired()
    others = [setup.another() for _ in range(8)]
    tokens = await asyncio.gather(*(manager.token() for manager in (setup.manager, *others)))
    assert {token.access_token for token in tokens} == {"acc-canary-2"}
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_refresh_response_without_refresh_token_keeps_the_old_one():
    setup = ScriptedManager({"scope": "openid"}, {"refresh_token": None})
    await setup.manager.login()
    setup.clock.advance(3600)
    token = await setup.manager.token()
    assert (token.refresh_token, token.scope) == ("ref-canary-1", "openid")
    assert (await setup.stored()).token == token


@pytest.mark.parametrize("cancelled", [1, 2])
async def test_cancelled_caller_stops_neither_the_refresh_nor_the_save(cancelled):
    setup = await scripted_manager_expired()
    setup.grant.gate = asyncio.Event()
    callers = [asyncio.create_task(setup.manager.token()) for _ in range(2)]
    await run_turns()
    for caller in callers[:cancelled]:
        caller.cancel()
    await run_turns()
    assert [caller.cancelled() for caller in callers] == [True, cancelled == 2]
    assert setup.manager.is_busy
    closing = asyncio.create_task(setup.manager.close())
    await run_turns()
    assert not closing.done()
    setup.grant.gate.set()
    await closing
    assert not setup.manager.is_busy
    assert (await setup.stored()).token.access_token == "acc-canary-2"
    assert setup.grant.refreshed == ["ref-canary-1"]


class TestMinValidFor:
    async def test_token_that_expires_sooner_is_refreshed_first(self):
        setup = ScriptedManager()
        await setup.manager.login()
        setup.clock.advance(3000)
        assert (await setup.manager.token(min_valid_for=600)).access_token == "acc-canary-1"
        tokens = await asyncio.gather(*(setup.manager.token(min_valid_for=601) for _ in range(20)))
        assert {token.access_token for token in tokens} == {"acc-canary-2"}
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_longer_than_the_server_issues_gives_a_token_that_was_just_issued(self):
        setup = ScriptedManager()
        await setup.manager.login()
        assert (await setup.manager.token(min_valid_for=7200)).access_token == "acc-canary-1"
        setup.clock.advance(361)
        for _ in range(3):
            assert (await setup.manager.token(min_valid_for=7200)).access_token == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_failed_refresh_raises_and_other_callers_get_the_valid_token(self):
        setup = ScriptedManager()
        await setup.manager.login()
        setup.clock.advance(3000)
        setup.grant.is_down = True
        with pytest.raises(ServerError):
            await setup.manager.token(min_valid_for=1200)
        assert await setup.manager.access_token() == "acc-canary-1"

    async def test_caller_joins_a_refresh_that_others_do_not_need(self):
        """While a round runs for a caller without a need, one with a need is counted too."""
        setup = ScriptedManager()
        await setup.manager.login()
        setup.clock.advance(3000)
        pause = setup.store.pause("load")
        first = asyncio.create_task(setup.manager.token(min_valid_for=601))
        await run_turns()
        second = asyncio.create_task(setup.manager.token(min_valid_for=1200))
        await run_turns()
        pause.resume()
        assert (await first).access_token == (await second).access_token == "acc-canary-2"


class TestAdopt:
    async def test_adopted_token_is_saved_as_a_new_sign_in(self):
        setup = ScriptedManager()
        await setup.manager.adopt(setup.grant.token(access_token="adopted"))
        assert await setup.manager.access_token() == "adopted"
        first = await setup.stored()
        setup.clock.advance(1)
        await setup.manager.adopt(setup.grant.token(access_token="again"))
        second = await setup.stored()
        assert (first.generation, second.generation) == (1, 1)
        assert first.epoch != second.epoch
        assert second.signed_in_at > first.signed_in_at

    async def test_cancelled_caller_does_not_stop_the_save(self):
        setup = ScriptedManager()
        pause = setup.store.pause("save")
        adopting = asyncio.create_task(setup.manager.adopt(setup.grant.token()))
        await pause.reached.wait()
        adopting.cancel()
        await run_turns()
        assert adopting.cancelled()
        assert setup.manager.is_busy
        pause.resume()
        await setup.manager.close()
        assert (await setup.stored()).token.access_token == "acc-canary-1"


class TestGrantWithoutUser:
    async def test_grant_is_run_whenever_a_token_is_needed(self):
        setup = ScriptedManager(interactive=False)
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.clock.advance(3600)
        assert await setup.manager.access_token() == "acc-canary-2"
        setup.clock.advance(1)
        setup.manager.invalidate("acc-canary-2")
        assert await setup.manager.access_token() == "acc-canary-3"
        assert setup.grant.refreshed == []

    async def test_many_callers_cause_one_request(self):
        setup = ScriptedManager(interactive=False)
        await asyncio.gather(*(manager.token() for manager in [setup.manager, setup.another()] for _ in range(50)))
        assert setup.grant.obtained == 1

    async def test_grant_that_fails_is_run_again_after_growing_waits(self):
        setup = ScriptedManager(*[ServerError(status=503)] * 4, interactive=False)
        for seconds, runs in ((0, 1), (0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3), (4, 4)):
            await setup.fails(seconds, ServerError)
            assert setup.grant.obtained == runs
        setup.clock.advance(8)
        assert await setup.manager.access_token() == "acc-canary-1"
        assert await login_required(setup.manager) is None


async def test_manager_without_store_keeps_the_token_in_memory_and_needs_no_key():
    manager = TokenManager(ScriptedGrant(VirtualClock(auto=False)))
    await manager.login()
    assert await manager.access_token() == "acc-canary-1"


async def test_no_secret_is_shown(caplog):
    setup = ScriptedManager()
    caplog.set_level(0)
    await setup.manager.login()
    setup.clock.advance(3600)
    await setup.manager.token()
    setup.manager.invalidate("acc-canary-2")
    state = repr(setup.manager._worker.state)
    assert "generation=2" in state
    assert "canary" not in repr(setup.manager) + state + caplog.text
    assert isinstance(await setup.manager.token(), Token)
