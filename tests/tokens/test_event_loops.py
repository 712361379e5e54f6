"""Fault 39: one manager in several event loops; and event loops that end in the middle of something."""

import asyncio
import gc
import threading

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedManager
from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.stores.file import FileTokenStore


def expired(**options):
    """Return a `ScriptedManager` whose user has signed in, in a loop that has ended, and whose token has expired."""
    setup = ScriptedManager(**options)
    asyncio.run(setup.manager.login())
    setup.clock.advance(3600)
    return setup


async def leave_in_refresh(setup):
    """Return while the request of a refresh is sent and has no response."""
    setup.grant.gate = asyncio.Event()
    waiting = asyncio.create_task(setup.manager.token())
    await run_turns()
    assert len(setup.grant.refreshed) == 1
    assert not waiting.done()


class TestOneAfterTheOther:
    def test_each_loop_gets_a_valid_token(self):
        setup = ScriptedManager()
        asyncio.run(setup.manager.login())
        for number in (1, 2, 3):
            assert asyncio.run(setup.manager.access_token()) == f"acc-canary-{number}"
            setup.clock.advance(3600)

    def test_background_works_in_each_loop(self):
        setup = ScriptedManager()

        async def run():
            async with setup.manager:
                await setup.manager.token(login=True)
                await run_turns()
                await setup.pass_time(3545)
                return len(setup.grant.refreshed)

        assert [asyncio.run(run()) for _ in range(3)] == [1, 2, 3]

    def test_background_of_a_loop_that_ended_without_close(self):
        setup = expired()

        async def enter():
            await setup.manager.__aenter__()
            await run_turns()

        async def run():
            async with setup.manager:
                await run_turns()
                await setup.pass_time(3545)

        asyncio.run(enter())
        asyncio.run(run())
        assert setup.grant.refreshed == ["ref-canary-1", "ref-canary-2"]

    @pytest.mark.parametrize("blocked", ["lock", "load", "save", "unlock"])
    def test_loop_that_ended_at_any_step_leaves_a_usable_manager(self, blocked):
        setup = expired()

        async def leave():
            pause = setup.store.pause(blocked)
            waiting = asyncio.create_task(setup.manager.token())
            await pause.reached.wait()
            await run_turns()
            return waiting

        asyncio.run(leave())
        setup.store.repair()
        assert asyncio.run(setup.manager.access_token()) == "acc-canary-2"
        assert asyncio.run(setup.another().access_token()) == "acc-canary-2"

    def test_loop_that_ended_during_a_request_leaves_the_mark_and_a_usable_manager(self):
        setup = expired()
        asyncio.run(leave_in_refresh(setup))
        setup.grant.gate = None
        assert asyncio.run(setup.stored()).unanswered == 1
        assert asyncio.run(setup.manager.access_token()) == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"] * 2

    def test_loop_that_was_closed_without_a_cancel_leaves_a_usable_manager(self, caplog):
        setup = expired()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave_in_refresh(setup))
        loop.close()
        setup.grant.gate = None
        assert asyncio.run(setup.manager.access_token()) == "acc-canary-2"
        gc.collect()
        assert asyncio.run(setup.manager.access_token()) == "acc-canary-2"
        assert "canary" not in caplog.text

    def test_late_end_of_a_round_of_a_closed_loop_does_not_disturb_the_next_one(self):
        """The coroutine of that round is closed when it is collected, which may be much later."""
        setup = expired()
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave_in_refresh(setup))
        old = setup.manager._rounds._round.get_coro()
        loop.close()

        async def run():
            setup.clock.advance(1)
            setup.grant.gate = asyncio.Event()
            waiting = asyncio.create_task(setup.manager.access_token())
            await run_turns()
            assert setup.manager._worker.state.is_locked
            old.close()
            assert setup.manager._worker.state.is_locked
            setup.grant.gate.set()
            return await waiting

        assert asyncio.run(run()) == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"] * 2

    def test_loop_that_ended_during_a_login(self):
        setup = ScriptedManager()

        async def leave():
            setup.grant.gate = asyncio.Event()
            waiting = asyncio.create_task(setup.manager.login())
            await run_turns()
            return waiting

        asyncio.run(leave())
        setup.grant.gate = None
        assert asyncio.run(setup.manager.login()).access_token == "acc-canary-1"

    def test_loop_that_ended_during_a_logout(self):
        setup = expired()

        async def leave():
            pause = setup.store.pause("load")
            waiting = asyncio.create_task(setup.manager.logout())
            await pause.reached.wait()
            return waiting

        asyncio.run(leave())
        setup.store.repair()
        assert setup.grant.revoked == []
        assert asyncio.run(setup.manager.access_token()) == "acc-canary-2"
        asyncio.run(setup.manager.logout())
        assert asyncio.run(setup.is_deleted())

    def test_callback_that_did_not_end_with_its_loop(self):
        reported = []

        async def note(token):
            reported.append(token.access_token)
            await asyncio.Event().wait()

        setup = ScriptedManager(on_token=note)

        async def run(call):
            await call()
            await run_turns()

        asyncio.run(run(setup.manager.login))
        setup.clock.advance(3600)
        asyncio.run(run(setup.manager.token))
        asyncio.run(setup.manager.close())
        assert reported == ["acc-canary-1", "acc-canary-2"]

    def test_unsaved_token_is_saved_in_the_next_loop(self):
        setup = expired()
        setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
        with pytest.raises(Exception, match="down"):
            asyncio.run(setup.manager.token())
        setup.store.repair()

        async def run():
            assert await setup.manager.access_token() == "acc-canary-2"
            await setup.pass_time(1)
            return await setup.stored()

        assert asyncio.run(run()).token.access_token == "acc-canary-2"


def test_two_loops_at_once_raise():
    setup = ScriptedManager()

    async def use_in_both():
        await setup.manager.login()
        setup.clock.advance(3600)
        raised = []

        def use():
            try:
                asyncio.run(setup.manager.token())
            except ConfigurationError as error:
                raised.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert await setup.manager.access_token() == "acc-canary-2"
        return raised

    raised = asyncio.run(use_in_both())
    assert "one running event loop" in str(raised[0])


class TestTokenThatArrived:
    """The program ends while a token that was received is being saved: the save is completed."""

    @pytest.mark.parametrize("generation", [1, 2], ids=["login", "refresh"])
    def test_is_saved_although_the_save_is_slow(self, generation):
        setup = expired() if generation == 2 else ScriptedManager()
        self.leave_while_saving(setup, generation)
        stored = asyncio.run(setup.stored())
        assert (stored.generation, stored.token.access_token) == (generation, f"acc-canary-{generation}")
        assert asyncio.run(setup.another().access_token()) == f"acc-canary-{generation}"

    @pytest.mark.parametrize("generation", [1, 2], ids=["login", "refresh"])
    def test_is_saved_in_a_file(self, tmp_path, generation):
        store = FileTokenStore(tmp_path / "tokens.db")
        setup = expired(store=store) if generation == 2 else ScriptedManager(store=store)
        self.leave_while_saving(setup, generation)

        async def load():
            other = FileTokenStore(tmp_path / "tokens.db")
            try:
                return await other.load("me")
            finally:
                await other.close()
                await store.close()

        assert asyncio.run(load()).token.access_token == f"acc-canary-{generation}"

    @pytest.mark.parametrize("method", ["lock", "load"])
    def test_of_a_login_is_saved_although_the_store_was_not_read_yet(self, method):
        setup = ScriptedManager()

        async def leave():
            reached = asyncio.Event()

            async def block(*_):
                reached.set()
                await asyncio.Event().wait()

            setup.store.before(method, block, times=1)
            setup.store.before("save", lambda *_: asyncio.sleep(0.02))
            login = asyncio.create_task(setup.manager.login())
            await reached.wait()
            assert not login.done()

        asyncio.run(leave())
        assert asyncio.run(setup.stored()).token.access_token == "acc-canary-1"

    def test_is_saved_if_the_user_interrupts_the_program(self):
        setup = expired()

        async def run():
            def interrupt(*_):
                raise KeyboardInterrupt

            setup.store.before("save", lambda *_: asyncio.get_running_loop().call_soon(interrupt), skip=1, times=1)
            setup.store.before("save", lambda *_: asyncio.sleep(0.02))
            await setup.manager.token()

        with pytest.raises(KeyboardInterrupt):
            asyncio.run(run())
        assert asyncio.run(setup.stored()).token.access_token == "acc-canary-2"

    def test_is_saved_once_more_only(self):
        """A store that blocks must not keep the program from ending."""
        setup = expired()
        self.leave_while_saving(setup, 2, seconds=0.05)
        assert setup.store.calls.count("save") == 4  # the login, the mark, the save that was cancelled, the last one

    @staticmethod
    def leave_while_saving(setup, generation, seconds=0.02):
        """End the loop while the token of `generation` is being saved by a store that needs `seconds`."""

        async def run():
            reached = asyncio.Event()

            async def be_slow(_, stored):
                if (stored.generation, stored.unanswered) == (generation, 0):
                    reached.set()
                    await asyncio.sleep(seconds)

            setup.store.before("save", be_slow)
            task = asyncio.create_task(setup.manager.token(login=True))
            await reached.wait()
            assert not task.done()

        asyncio.run(run())
        setup.store.repair()
