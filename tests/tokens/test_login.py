"""`login` and ``token(login=True)``: one sign-in for all callers, and what becomes of it (fault 40)."""

import asyncio

import pytest

from tests.helpers.event_loop import other_tasks, run_turns
from tests.helpers.scripted_manager import ScriptedManager, login_required, scripted_manager_expired
from tests.helpers.world import emulated
from twilio_oauth_async import (
    AccessDeniedError,
    InvalidClientError,
    TwilioOAuthError,
    UnauthorizedClientError,
)

pytestmark = pytest.mark.asyncio


async def errors_of(calls):
    """Await all `calls`; return what each of them raised."""
    return await asyncio.gather(*calls, return_exceptions=True)


def are_separate(errors):
    """Return whether each error is an object of its own that does not lead to another one."""
    return len({id(error) for error in errors}) == len(errors) and not any(
        error.__context__ or error.__cause__ for error in errors
    )


async def test_token_with_login_runs_the_grant_and_saves_the_token():
    setup = ScriptedManager()
    token = await setup.manager.token(login=True)
    assert token.access_token == await setup.manager.access_token() == "acc-canary-1"
    assert (await setup.stored()).token == token
    assert (setup.grant.obtained, (await setup.stored()).generation) == (1, 1)


async def test_many_callers_share_one_login():
    setup = ScriptedManager()
    tokens = await asyncio.gather(*(setup.manager.token(login=True) for _ in range(50)))
    assert {token.access_token for token in tokens} == {"acc-canary-1"}
    assert setup.grant.obtained == 1


async def test_denied_login_raises_an_error_of_its_own_for_each_of_twenty_callers():
    async with emulated(auto=False) as setup:
        prompts = []

        async def deny(authorization):
            prompts.append(authorization)
            await setup.emulator.deny(authorization.user_code)

        manager = setup.manager(flow=setup.device_flow(prompt=deny))
        calls = [asyncio.ensure_future(manager.token(login=True)) for _ in range(20)]
        setup.clock.auto = True
        errors = await errors_of(calls)
        assert {type(error) for error in errors} == {AccessDeniedError}
        assert len(prompts) == 1
        assert are_separate(errors)
        assert await setup.stored("me") is None
        # The user is asked again only by a new call.
        assert await login_required(manager) == "never_signed_in"
        assert len(prompts) == 1


async def test_caller_that_comes_while_the_user_is_asked_shares_the_end():
    setup = ScriptedManager(AccessDeniedError(status=400))
    setup.grant.gate = asyncio.Event()
    calls = [asyncio.create_task(setup.manager.token(login=True))]
    await run_turns()
    calls += [asyncio.create_task(setup.manager.login()), asyncio.create_task(setup.manager.token(login=True))]
    await run_turns()
    setup.grant.gate.set()
    errors = await errors_of(calls)
    assert {type(error) for error in errors} == {AccessDeniedError}
    assert are_separate(errors)
    assert setup.grant.obtained == 1


async def test_grant_that_raises_something_unexpected_names_only_its_type():
    """Fault 38. The exception of a grant of the caller's own may contain a secret."""
    setup = ScriptedManager(KeyError("acc-canary"))
    errors = await errors_of(setup.manager.token(login=True) for _ in range(3))
    assert {type(error) for error in errors} == {TwilioOAuthError}
    assert str(errors[0]) == "the grant raised KeyError"
    assert are_separate(errors)
    assert (await setup.manager.login()).access_token == "acc-canary-1"


async def test_login_whose_callers_are_all_cancelled_is_cancelled():
    setup = ScriptedManager()
    setup.grant.gate = asyncio.Event()
    calls = [asyncio.create_task(setup.manager.login()) for _ in range(2)]
    await run_turns()
    calls[0].cancel()
    await run_turns()
    assert setup.manager.is_busy
    calls[1].cancel()
    await errors_of(calls)
    await run_turns()
    assert not setup.manager.is_busy
    assert await other_tasks() == set()
    setup.grant.gate.set()
    await run_turns()
    assert await setup.stored() is None


async def test_caller_that_is_left_gets_the_token():
    setup = ScriptedManager()
    setup.grant.gate = asyncio.Event()
    calls = [asyncio.create_task(setup.manager.login()) for _ in range(2)]
    await run_turns()
    calls[0].cancel()
    await run_turns()
    setup.grant.gate.set()
    assert (await calls[1]).access_token == "acc-canary-1"


async def test_token_of_a_cancelled_login_is_saved_once_it_was_received():
    setup = ScriptedManager()
    pause = setup.store.pause("save")
    call = asyncio.create_task(setup.manager.login())
    await pause.reached.wait()
    call.cancel()
    await run_turns()
    assert call.cancelled()
    assert setup.manager.is_busy
    pause.resume()
    await run_turns()
    assert (await setup.stored()).token.access_token == "acc-canary-1"
    assert not setup.manager.is_busy


async def test_login_replaces_the_token_that_was_in_use():
    setup = ScriptedManager()
    await setup.manager.login()
    first = await setup.stored()
    await setup.manager.login()
    assert await setup.manager.access_token() == "acc-canary-2"
    assert (await setup.stored()).signed_in_at > first.signed_in_at


async def test_token_with_login_runs_the_grant_if_the_server_refuses_the_client():
    """Fault 34: a client that may not refresh any more may still be allowed to sign users in."""
    setup = await scripted_manager_expired(UnauthorizedClientError(status=400, error="unauthorized_client"))
    await setup.fails(0, UnauthorizedClientError)
    assert (await setup.manager.token(login=True)).access_token == "acc-canary-2"
    assert (len(setup.grant.refreshed), setup.grant.obtained) == (1, 2)
    # The waits of the earlier token do not apply to this one.
    setup.clock.advance(3600)
    assert await setup.manager.access_token() == "acc-canary-3"


async def test_token_with_login_asks_no_user_while_the_server_is_down():
    setup = await scripted_manager_expired()
    setup.grant.is_down = True
    errors = await errors_of([setup.manager.token(login=True)])
    assert errors[0].status == 503
    assert setup.grant.obtained == 1


async def test_login_while_the_server_refuses_the_client_raises_its_error():
    setup = ScriptedManager(InvalidClientError(status=401))
    with pytest.raises(InvalidClientError):
        await setup.manager.token(login=True)


async def test_login_during_a_logout_is_kept_and_the_earlier_token_revoked():
    setup = ScriptedManager()
    first = await setup.manager.login()
    pause = setup.store.pause("delete")
    leaving = asyncio.create_task(setup.manager.logout())
    await pause.reached.wait()
    login = asyncio.create_task(setup.manager.login())
    await run_turns()
    assert setup.grant.obtained == 2
    assert not login.done()
    pause.resume()
    await leaving
    token = await login
    assert setup.grant.revoked == [first]
    assert (await setup.stored()).token == token == await setup.manager.token()
