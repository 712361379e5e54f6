import asyncio

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedManager
from twilio_oauth_async import AnswerLostError, TransportError
from twilio_oauth_async.tokens import manager as module

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def middle(monkeypatch):
    """The random point in the last tenth: its middle."""
    monkeypatch.setattr(module.random, "random", lambda: 0.5)


async def test_nobody_has_to_wait_for_a_refresh():
    setup = ScriptedManager()
    await setup.manager.login()
    async with setup.manager:
        await run_turns()
        setup.clock.advance(3389.9)
        await run_turns()
        assert setup.grant.refreshed == []
        setup.clock.advance(0.2)
        await run_turns()
        assert setup.grant.refreshed == ["ref-canary-1"]
        assert (await setup.stored()).token.access_token == "acc-canary-2"
        setup.store.calls.clear()
        assert await setup.manager.access_token() == "acc-canary-2"
        assert setup.store.calls == []
        # And on: the next one too.
        setup.clock.advance(3390.1)
        await run_turns()
        assert setup.grant.refreshed == ["ref-canary-1", "ref-canary-2"]
    assert "sleepers=0" in repr(setup.clock)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_login_that_comes_later_is_noticed():
    setup = ScriptedManager()
    async with setup.manager:
        await run_turns()
        await setup.manager.login()
        await run_turns()
        setup.clock.advance(3400)
        await run_turns()
        assert setup.grant.refreshed == ["ref-canary-1"]


async def test_the_store_is_read_at_the_start():
    setup = ScriptedManager()
    await setup.manager.login()
    other = setup.another()
    async with other:
        await run_turns()
        setup.store.calls.clear()
        assert await other.access_token() == "acc-canary-1"
        assert setup.store.calls == []


async def test_failures_are_tried_again_ever_less_often(caplog):
    setup = ScriptedManager({}, *[TransportError("down")] * 20)
    await setup.manager.login()
    async with setup.manager:
        await run_turns()
        setup.clock.advance(3390.1)
        await run_turns()
        assert len(setup.grant.refreshed) == 1
        for pause, tries in ((1.9, 1), (0.1, 2), (3.9, 2), (0.1, 3), (8, 4), (16, 5)):
            setup.clock.advance(pause)
            await run_turns()
            assert len(setup.grant.refreshed) == tries
        assert await setup.manager.access_token() == "acc-canary-1"
    assert "could not be refreshed" in caplog.text


async def test_a_lost_answer_is_not_followed_by_another_try_while_the_token_works():
    setup = ScriptedManager({}, AnswerLostError("lost"))
    await setup.manager.login()
    async with setup.manager:
        await run_turns()
        for _ in range(5):
            setup.clock.advance(690)
            await run_turns()
        assert len(setup.grant.refreshed) == 1


async def test_a_person_free_grant_is_renewed_too():
    setup = ScriptedManager(interactive=False)
    async with setup.manager:
        await run_turns()
        assert setup.grant.obtained == 1
        setup.clock.advance(3400)
        await run_turns()
        assert setup.grant.obtained == 2


async def test_a_token_without_an_end_is_left_alone():
    setup = ScriptedManager({"access_token_expires_at": None})
    await setup.manager.login()
    async with setup.manager:
        await run_turns()
        setup.clock.advance(10**7)
        await run_turns()
    assert setup.grant.refreshed == []


async def test_leaving_waits_for_the_refresh_under_way():
    setup = ScriptedManager()
    await setup.manager.login()
    async with setup.manager:
        await run_turns()
        setup.grant.gate = asyncio.Event()
        setup.clock.advance(3400)
        await run_turns()
        asyncio.get_running_loop().call_soon(setup.grant.gate.set)
    assert (await setup.stored()).token.access_token == "acc-canary-2"
