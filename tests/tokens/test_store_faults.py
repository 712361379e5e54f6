"""Faults 24, 30, 38 and 44: the store or its lock fails, blocks or raises something unexpected."""

import asyncio

import attrs
import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import (
    ScriptedManager,
    login_required,
    scripted_manager_expired,
    scripted_manager_near_expiry,
)
from twilio_oauth_async import AnswerLostError, StoreConflict, StoreError, TransportError
from twilio_oauth_async.stores.file import FileTokenStore
from twilio_oauth_async.tokens import worker

pytestmark = pytest.mark.asyncio

SAVE_WAITS = [1, 2, 4, 8, 16, 30, 30, 30]
"""Seconds between two saves in the background: doubling, at most 30 s with a valid token."""


def is_second(_, stored):
    return stored.generation == 2


async def unsaved(setup):
    """Let the manager refresh, and fail to save the new token; `setup` has expired."""
    setup.store.fail("save", when=is_second)
    with pytest.raises(StoreError):
        await setup.manager.token()


class TestSavingFails:
    async def test_new_token_is_in_use_and_the_error_raised_once_to_each_caller_that_waited(self, caplog):
        setup = await scripted_manager_expired()
        setup.store.fail("save", when=is_second, error=StoreError("disk full"))
        errors = await asyncio.gather(*(setup.manager.token() for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in errors] == ["disk full"] * 3
        assert len({id(error) for error in errors}) == 3
        assert await setup.manager.access_token() == "acc-canary-2"
        assert (await setup.stored()).token.access_token == "acc-canary-1"
        assert "the token of 'me' could not be saved" in caplog.text
        await setup.manager.close()

    async def test_saving_goes_on_in_the_background_with_growing_waits(self, caplog):
        setup = await scripted_manager_expired()
        await unsaved(setup)
        await run_turns()
        for wait in SAVE_WAITS:
            setup.store.calls.clear()
            await setup.pass_time(wait - 0.1)
            assert "save" not in setup.store.calls
            await setup.pass_time(0.1)
            assert setup.store.calls.count("save") == 1
        setup.store.repair()
        await setup.pass_time(30)
        assert (await setup.stored()).token.access_token == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]
        errors = [record for record in caplog.records if record.levelname == "ERROR"]
        assert len(errors) == 1  # once for the outage, not for each save
        setup.store.calls.clear()
        await setup.pass_time(600)
        assert setup.store.calls == []
        assert not setup.manager.is_busy

    async def test_saving_goes_on_for_a_manager_in_an_async_with_block(self):
        setup = await scripted_manager_expired()
        setup.store.fail("save", when=is_second)
        async with setup.manager:
            await run_turns()
            assert await setup.manager.access_token() == "acc-canary-2"
            setup.store.repair()
            await setup.pass_time(1)
            assert (await setup.stored()).token.access_token == "acc-canary-2"

    async def test_no_refresh_before_the_token_is_saved(self):
        """The refresh token that the store has is used up: a second rotation would lose more."""
        setup = await scripted_manager_expired()
        await unsaved(setup)
        await setup.pass_time(3550)
        assert await setup.manager.access_token() == "acc-canary-2"
        await setup.fails(100, StoreError)
        assert len(setup.grant.refreshed) == 1
        setup.store.repair()
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-3"
        assert (await setup.stored()).generation == 3

    async def test_close_saves_at_once(self):
        setup = await scripted_manager_expired()
        await unsaved(setup)
        setup.store.repair()
        await setup.manager.close()
        assert (await setup.stored()).token.access_token == "acc-canary-2"

    async def test_file_that_can_be_written_again_gets_the_token(self, tmp_path):
        setup = await scripted_manager_expired(store=FileTokenStore(tmp_path / "tokens.db"))
        await unsaved(setup)
        setup.store.repair()
        await setup.manager.close()
        assert (await setup.stored()).token.access_token == "acc-canary-2"

    @pytest.mark.parametrize("failing", ["lock", "load", "save"])
    async def test_login_is_in_use_and_saved_later(self, failing):
        setup = ScriptedManager()
        setup.store.fail(failing)
        with pytest.raises(StoreError):
            await setup.manager.login()
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.store.repair()
        await setup.pass_time(1)
        assert (await setup.stored()).token.access_token == "acc-canary-1"

    @pytest.mark.parametrize("failing", ["lock", "load", "save"])
    async def test_login_does_not_lose_to_an_older_stored_token(self, failing):
        setup = ScriptedManager()
        await setup.manager.login()
        setup.manager = setup.another()
        setup.store.fail(failing)
        with pytest.raises(StoreError):
            await setup.manager.login()
        setup.store.repair()
        await setup.pass_time(1)
        assert await setup.manager.access_token() == "acc-canary-2"
        assert (await setup.stored()).token.access_token == "acc-canary-2"

    async def test_newer_token_of_another_process_replaces_the_unsaved_one(self):
        setup = await scripted_manager_expired()
        await unsaved(setup)
        await setup.refresh_elsewhere()
        setup.store.repair()
        await setup.pass_time(1)
        assert await setup.manager.access_token() == "theirs"
        assert (await setup.stored()).generation == 7

    async def test_store_that_always_reports_a_conflict_raises_it_after_three_saves(self):
        setup = ScriptedManager()
        setup.store.fail("save", error=StoreConflict("contradicts itself"))
        with pytest.raises(StoreConflict):
            await setup.manager.login()
        assert setup.store.calls.count("save") == 3
        assert await setup.manager.access_token() == "acc-canary-1"
        await setup.manager.close()


class TestStoreFails:
    @pytest.mark.parametrize("failing", ["lock", "load", "save"])
    async def test_no_refresh_is_sent_without_lock_and_mark(self, failing):
        setup = await scripted_manager_near_expiry()
        setup.store.fail(failing)
        assert await setup.manager.access_token() == "acc-canary-1"
        await setup.fails(60, StoreError)
        assert setup.grant.refreshed == []
        setup.store.repair()
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-2"

    @pytest.mark.parametrize("failing", ["lock", "load", "save"])
    async def test_exception_of_any_type_is_raised_as_store_error_that_names_only_its_type(self, failing, caplog):
        """Fault 38: the exception of a store of the caller's own may contain a secret."""
        setup = await scripted_manager_expired()
        setup.store.fail(failing, error=KeyError("ref-canary"))
        errors = await asyncio.gather(*(setup.manager.token() for _ in range(3)), return_exceptions=True)
        for error in errors:
            assert type(error) is StoreError
            assert str(error) == f"the token store raised KeyError in {failing}()"
            assert error.__context__ is None
            assert error.__cause__ is None
        assert "canary" not in caplog.text
        setup.store.repair()
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-2"

    @pytest.mark.parametrize("blocked", ["lock", "load", "save", "unlock"])
    async def test_valid_token_is_returned_at_once_while_the_store_blocks(self, blocked):
        """Fault 44: also while another process holds the lock, or a keyring waits for its password."""
        setup = await scripted_manager_near_expiry()
        pause = setup.store.pause(blocked)
        for _ in range(3):
            assert (await setup.manager.access_token()).startswith("acc-canary")
            await run_turns()
        assert pause.reached.is_set()
        setup.store.repair()
        pause.resume()
        await run_turns()
        assert await setup.manager.access_token() == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_unsaved_token_is_returned_at_once_while_the_store_blocks(self):
        setup = await scripted_manager_expired()
        await unsaved(setup)
        setup.store.repair()
        pause = setup.store.pause("lock")
        await setup.pass_time(1)
        assert pause.reached.is_set()
        assert await setup.manager.access_token() == "acc-canary-2"
        pause.resume()
        await run_turns()
        assert (await setup.stored()).token.access_token == "acc-canary-2"

    @pytest.mark.parametrize("error", [StoreError("down"), KeyError("ref-canary")], ids=["StoreError", "KeyError"])
    async def test_lock_that_cannot_be_released_is_only_logged(self, error, caplog):
        setup = await scripted_manager_expired()
        setup.store.fail("unlock", error=error)
        assert await setup.manager.access_token() == "acc-canary-2"
        await run_turns()
        assert "could not be released" in caplog.text
        assert "canary" not in caplog.text
        assert (await setup.stored()).token.access_token == "acc-canary-2"

    async def test_failed_save_that_was_written_keeps_the_mark_of_another_process(self):
        setup = await scripted_manager_near_expiry()
        saves = []

        async def fail_after_second(*_):  # the first is the mark
            saves.append(None)
            if len(saves) == 2:
                raise StoreError("the response was lost")

        setup.store.after("save", fail_after_second)
        await setup.manager.token()
        await run_turns()
        stored = await setup.stored()
        assert stored.token.access_token == "acc-canary-2"
        await setup.store.inner.save(setup.key, attrs.evolve(stored, unanswered=1), replaces=stored.epoch)
        await setup.pass_time(60)
        assert await setup.manager.access_token() == "acc-canary-2"
        assert (await setup.stored()).unanswered == 1

    async def test_mark_that_cannot_be_removed_is_kept_until_expiry(self):
        """It could be the mark of another process by then: without it, its refresh token would be sent again."""
        setup = await scripted_manager_near_expiry()

        async def refuse(token):
            setup.store.fail("save")
            raise TransportError("never sent")

        refresh, setup.grant.refresh = setup.grant.refresh, refuse
        await setup.manager.token()
        await run_turns()
        assert (await setup.stored()).unanswered == 1
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.store.repair()
        setup.grant.refresh = refresh
        await setup.pass_time(1)
        assert await setup.manager.access_token() == "acc-canary-1"
        await setup.pass_time(50)
        assert await setup.manager.access_token() == "acc-canary-2"
        assert (await setup.stored()).unanswered == 0


class TestLostData:
    """The store has lost its data, for example Redis without a log that was restarted."""

    async def test_valid_token_in_memory_is_used_and_saved_again(self):
        setup = await scripted_manager_near_expiry()
        await setup.store.inner.erase("me")
        assert await setup.manager.access_token() == "acc-canary-1"
        await run_turns()
        assert await setup.manager.access_token() == "acc-canary-2"
        assert ((await setup.stored()).token.access_token, (await setup.stored()).generation) == ("acc-canary-2", 2)

    async def test_refresh_token_in_memory_is_used(self):
        setup = await scripted_manager_expired()
        epoch = (await setup.stored()).epoch
        await setup.store.inner.erase("me")
        token = await setup.manager.token()
        assert token.access_token == "acc-canary-2"
        assert ((await setup.stored()).epoch, (await setup.stored()).token) == (epoch, token)
        assert await setup.another().token() == token

    async def test_during_a_refresh_the_new_token_is_saved(self):
        setup = await scripted_manager_expired()
        setup.during_refresh(lambda: setup.store.inner.erase("me"))
        token = await setup.manager.token()
        assert ((await setup.stored()).token, (await setup.stored()).generation) == (token, 2)

    async def test_store_that_fell_back_to_an_older_token_gets_the_newer_one(self):
        setup = await scripted_manager_expired()
        older = await setup.stored()
        await setup.manager.token()
        await setup.store.inner.erase("me")
        await setup.store.inner.save("me", older, replaces=None)
        setup.clock.advance(3600)
        assert await setup.manager.access_token() == "acc-canary-3"
        assert setup.grant.refreshed == ["ref-canary-1", "ref-canary-2"]

    async def test_process_without_the_token_in_memory_requires_a_login(self):
        setup = await scripted_manager_expired()
        await setup.store.inner.erase("me")
        assert await login_required(setup.another()) == "never_signed_in"

    async def test_lost_response_is_remembered(self):
        setup = await scripted_manager_near_expiry(AnswerLostError("lost"))
        await setup.manager.token()
        await run_turns()
        await setup.store.inner.erase("me")
        setup.clock.advance(50)
        assert await setup.manager.access_token() == "acc-canary-2"


@pytest.mark.parametrize("method", ["load", "save"])
async def test_call_that_never_ends_counts_as_failed_after_a_while(method, monkeypatch):
    monkeypatch.setattr(worker, "STORE_TIMEOUT", 0.05)
    setup = ScriptedManager()
    await setup.manager.login()
    setup.clock.advance(3600)
    manager = setup.another()
    setup.store.before(method, lambda *_: asyncio.Event().wait(), times=1)
    async with asyncio.timeout(5):
        with pytest.raises(StoreError, match=rf"did not end {method}\(\) within 0.05 s"):
            await manager.token()
        setup.clock.advance(5)
        assert await manager.token()
        await manager.close()
