"""`close` in every order with everything else: it waits for what must not be lost, and the manager is usable after."""

import asyncio

import pytest

from tests.helpers.event_loop import other_tasks, run_turns
from tests.helpers.scripted_manager import ScriptedManager, scripted_manager_expired
from twilio_oauth_async import StoreError, Token

pytestmark = pytest.mark.asyncio


async def test_block_waits_for_the_refresh_under_way():
    setup = ScriptedManager()
    await setup.manager.login()
    async with setup.manager:
        await run_turns()
        setup.grant.gate = asyncio.Event()
        await setup.pass_time(3545)
        assert setup.manager.is_busy
        asyncio.get_running_loop().call_soon(setup.grant.gate.set)
    assert (await setup.stored()).token.access_token == "acc-canary-2"
    assert not setup.manager.is_busy
    assert await other_tasks() == set()


@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_close_at_any_moment_of_a_refresh_loses_nothing(steps):
    setup = await scripted_manager_expired()
    setup.store.slow_down("lock", "load", "save")
    waiting = asyncio.create_task(setup.manager.token())
    await run_turns(steps)
    await setup.manager.close()
    token = await waiting
    await setup.manager.close()
    assert (await setup.stored()).token == token
    assert (await setup.stored()).unanswered == 0
    assert await other_tasks() == set()


@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_cancelled_caller_and_close_at_any_moment_of_a_refresh(steps):
    setup = await scripted_manager_expired()
    setup.store.slow_down("lock", "load", "save")
    waiting = asyncio.create_task(setup.manager.token())
    await run_turns(steps)
    waiting.cancel()
    await setup.manager.close()
    assert await other_tasks() == set()
    stored = await setup.stored()
    assert stored.unanswered == 0
    assert stored.generation == 1 + len(setup.grant.refreshed)


async def test_close_before_the_first_use_and_twice():
    setup = ScriptedManager()
    await setup.manager.close()
    await setup.manager.close()
    assert setup.store.calls == []


async def test_two_at_once():
    setup = await scripted_manager_expired()
    waiting = asyncio.create_task(setup.manager.token())
    await run_turns(3)
    await asyncio.gather(setup.manager.close(), setup.manager.close())
    assert isinstance(await waiting, Token)


async def test_manager_can_be_used_after_close():
    setup = await scripted_manager_expired()
    for number in (2, 3):
        async with setup.manager:
            assert await setup.manager.access_token() == f"acc-canary-{number}"
        setup.clock.advance(3600)
    assert await setup.manager.access_token() == "acc-canary-4"


async def test_close_during_a_logout():
    setup = await scripted_manager_expired()
    pause = setup.store.pause("delete")
    leaving = asyncio.create_task(setup.manager.logout())
    await pause.reached.wait()
    closing = asyncio.create_task(setup.manager.close())
    await run_turns()
    assert not closing.done()
    pause.resume()
    await asyncio.gather(closing, leaving)
    assert await setup.is_deleted()


async def test_logout_after_close():
    setup = await scripted_manager_expired()
    await setup.manager.close()
    await setup.manager.logout()
    assert await setup.is_deleted()


async def test_close_while_the_user_is_asked_does_not_wait_for_the_user():
    setup = ScriptedManager()
    setup.grant.gate = asyncio.Event()
    login = asyncio.create_task(setup.manager.login())
    await run_turns()
    await setup.manager.close()
    setup.grant.gate.set()
    assert (await login).access_token == "acc-canary-1"


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_close_waits_for_the_token_of_a_login_that_was_received(is_cancelled):
    setup = ScriptedManager()
    verifying = asyncio.Event()
    reached = asyncio.Event()

    async def verify(token):
        reached.set()
        await verifying.wait()
        return token

    setup.manager._worker.accept_sign_in = verify
    login = asyncio.create_task(setup.manager.login())
    await reached.wait()
    if is_cancelled:
        login.cancel()
        await run_turns()
    closing = asyncio.create_task(setup.manager.close())
    await run_turns()
    assert not closing.done()
    verifying.set()
    await closing
    assert (await setup.stored()).token.access_token == "acc-canary-1"
    await asyncio.gather(login, return_exceptions=True)


async def test_close_during_adopt_waits_for_the_save():
    setup = ScriptedManager()
    pause = setup.store.pause("save")
    adopting = asyncio.create_task(setup.manager.adopt(setup.grant.token()))
    await pause.reached.wait()
    closing = asyncio.create_task(setup.manager.close())
    await run_turns()
    assert not closing.done()
    pause.resume()
    await closing
    await adopting
    assert (await setup.stored()).token.access_token == "acc-canary-1"


async def test_close_while_the_store_is_down_tries_once_more_and_ends():
    setup = await scripted_manager_expired()
    setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
    with pytest.raises(StoreError):
        await setup.manager.token()
    setup.store.calls.clear()
    await setup.manager.close()
    assert setup.store.calls.count("save") == 1
    assert await other_tasks() == set()
    assert await setup.manager.access_token() == "acc-canary-2"
    await setup.manager.close()


async def test_cancelled_close_can_be_repeated():
    setup = await scripted_manager_expired()
    setup.grant.gate = asyncio.Event()
    waiting = asyncio.create_task(setup.manager.token())
    await run_turns()
    closing = asyncio.create_task(setup.manager.close())
    await run_turns()
    closing.cancel()
    await run_turns()
    assert closing.cancelled()
    setup.grant.gate.set()
    await setup.manager.close()
    assert (await setup.stored()).token == await waiting
