"""`logout` (fault 42): the newest token is revoked, then deleted; what could not be revoked is not forgotten."""

import asyncio
import logging

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedManager, login_required, scripted_manager_expired
from tests.helpers.world import emulated
from twilio_oauth_async import (
    ConfigurationError,
    RevocationUnsupported,
    ServerError,
    StoreError,
    TransportError,
    TwilioOAuthError,
)
from twilio_oauth_async.tokens import worker

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def servers(monkeypatch):
    """The servers of which the log says that they have no revocation, as in a new process."""
    monkeypatch.setattr(worker, "_servers_without_revocation", set())


async def test_token_is_revoked_and_deleted():
    setup = ScriptedManager()
    token = await setup.manager.login()
    await setup.manager.logout()
    assert setup.grant.revoked == [token]
    assert await setup.is_deleted()
    assert await login_required(setup.manager) == "signed_out"
    assert await login_required(setup.another()) == "signed_out"


async def test_logout_without_a_sign_in_revokes_nothing():
    setup = ScriptedManager()
    await setup.manager.logout()
    assert setup.grant.revoked == []


async def test_logout_before_the_store_was_read_revokes_the_stored_token():
    setup = ScriptedManager()
    token = await setup.manager.login()
    await setup.another().logout()
    assert setup.grant.revoked == [token]
    assert await setup.is_deleted()


async def test_expired_token_is_revoked_without_a_refresh():
    setup = await scripted_manager_expired()
    await setup.manager.logout()
    assert [token.refresh_token for token in setup.grant.revoked] == ["ref-canary-1"]
    assert setup.grant.refreshed == []


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ServerError(status=503), ServerError),
        (TransportError("no connection"), TransportError),
        (ConfigurationError("the session is not open"), ConfigurationError),
        (KeyError("acc-canary"), TwilioOAuthError),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_token_that_could_not_be_revoked_is_kept(error, raised):
    setup = ScriptedManager()
    token = await setup.manager.login()
    setup.grant.script = [error]
    with pytest.raises(raised) as caught:
        await setup.manager.logout()
    assert "canary" not in str(caught.value)
    assert (await setup.stored()).token == token
    assert await setup.manager.token() == token
    await setup.manager.logout()
    assert await setup.is_deleted()


async def test_logout_with_a_closed_session_forgets_nothing():
    async with emulated() as setup:
        manager = setup.manager()
        token = await manager.login()
        await setup.session.close()
        with pytest.raises(ConfigurationError):
            await manager.logout()
        assert (await setup.stored("me")).token == token
        assert await manager.token() == token
        assert setup.emulator.requests.to("revoke") == []


async def test_server_without_revocation_deletes_and_logs_once_per_process(caplog):
    setup = ScriptedManager()
    other = ScriptedManager()
    for each in (setup, setup, other):
        each.grant.script = []
        await each.manager.login()
        each.grant.script = [RevocationUnsupported("the server has no revocation_endpoint")]
        await each.manager.logout()
        assert await each.is_deleted()
        assert await login_required(each.manager) == "signed_out"
    assert [record.levelno for record in caplog.records if "no revocation endpoint" in record.message] == [
        logging.WARNING
    ]


@pytest.mark.parametrize("failing", ["lock", "load"])
async def test_store_that_fails_before_the_revocation_raises_and_keeps_the_token(failing):
    setup = ScriptedManager()
    token = await setup.manager.login()
    setup.store.fail(failing)
    with pytest.raises(StoreError):
        await setup.manager.logout()
    assert setup.grant.revoked == []
    assert await setup.manager.token() == token
    setup.store.repair()
    await setup.manager.logout()
    assert await setup.is_deleted()


async def test_store_that_cannot_delete_raises_and_the_next_logout_deletes():
    setup = ScriptedManager()
    await setup.manager.login()
    setup.store.fail("delete", times=1)
    with pytest.raises(StoreError):
        await setup.manager.logout()
    await setup.manager.logout()
    assert await setup.is_deleted()


async def test_newest_token_is_revoked_if_it_is_not_saved_yet():
    setup = await scripted_manager_expired()
    setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
    with pytest.raises(StoreError):
        await setup.manager.token()
    assert (await setup.stored()).token.refresh_token == "ref-canary-1"
    await setup.manager.logout()
    assert [token.refresh_token for token in setup.grant.revoked] == ["ref-canary-2"]
    setup.store.repair()
    await setup.pass_time(600)
    assert await setup.is_deleted()
    assert await login_required(setup.manager) == "signed_out"


async def test_newest_token_that_could_not_be_revoked_is_kept_although_it_is_not_saved_yet():
    setup = await scripted_manager_expired()
    setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
    with pytest.raises(StoreError):
        await setup.manager.token()
    setup.grant.script = [ServerError(status=503)]
    with pytest.raises(ServerError):
        await setup.manager.logout()
    assert await setup.manager.access_token() == "acc-canary-2"
    setup.store.repair()
    await setup.pass_time(1)
    assert (await setup.stored()).token.access_token == "acc-canary-2"


async def test_logout_during_a_refresh_revokes_the_new_token():
    setup = await scripted_manager_expired()
    setup.grant.gate = asyncio.Event()
    waiting = asyncio.create_task(login_required(setup.manager))
    await run_turns()
    leaving = asyncio.create_task(setup.manager.logout())
    await run_turns()
    assert not leaving.done()
    setup.grant.gate.set()
    await leaving
    assert [token.refresh_token for token in setup.grant.revoked] == ["ref-canary-2"]
    assert await setup.is_deleted()
    assert await waiting == "signed_out"


async def test_refresh_that_waits_for_the_lock_does_not_undo_the_logout():
    setup = await scripted_manager_expired()
    other = setup.another()
    setup.grant.gate = asyncio.Event()
    first = asyncio.create_task(other.access_token())  # holds the lock
    await run_turns()
    waiting = asyncio.create_task(login_required(setup.manager))
    leaving = asyncio.create_task(setup.manager.logout())
    await run_turns()
    setup.grant.gate.set()
    await leaving
    assert await first == "acc-canary-2"
    assert await waiting == "signed_out"
    assert [token.refresh_token for token in setup.grant.revoked] == ["ref-canary-2"]
    assert setup.grant.refreshed == ["ref-canary-1"]
    assert await setup.is_deleted()


async def test_two_logouts_at_once_revoke_once():
    setup = ScriptedManager()
    await setup.manager.login()
    await asyncio.gather(setup.manager.logout(), setup.manager.logout())
    assert len(setup.grant.revoked) == 1


async def test_two_logouts_that_fail_raise_errors_of_their_own():
    setup = ScriptedManager()
    await setup.manager.login()
    setup.grant.script = [ServerError(status=503)]
    errors = await asyncio.gather(setup.manager.logout(), setup.manager.logout(), return_exceptions=True)
    assert [type(error) for error in errors] == [ServerError] * 2
    assert errors[0] is not errors[1]


async def test_cancelled_logout_is_completed():
    setup = ScriptedManager()
    await setup.manager.login()
    pause = setup.store.pause("delete")
    leaving = asyncio.create_task(setup.manager.logout())
    await pause.reached.wait()
    leaving.cancel()
    await run_turns()
    pause.resume()
    await setup.manager.close()
    assert await setup.is_deleted()


async def test_token_during_a_logout_is_not_returned_once_it_is_revoked():
    setup = ScriptedManager()
    await setup.manager.login()
    pause = setup.store.pause("delete")
    leaving = asyncio.create_task(setup.manager.logout())
    await pause.reached.wait()
    waiting = asyncio.create_task(login_required(setup.manager))
    await run_turns()
    pause.resume()
    assert await waiting == "signed_out"
    await leaving


async def test_other_processes_notice_the_logout_at_their_next_refresh():
    setup = ScriptedManager()
    await setup.manager.login()
    other = setup.another()
    await other.token()
    await setup.manager.logout()
    setup.clock.advance(3600)
    assert await login_required(other) == "signed_out"
    assert setup.grant.refreshed == []


async def test_sign_in_after_a_logout_is_kept():
    setup = ScriptedManager()
    await setup.manager.login()
    await setup.manager.logout()
    token = await setup.manager.login()
    assert (await setup.stored()).token == token
    assert await setup.another().token() == token
