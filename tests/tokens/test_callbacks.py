"""Fault 37: `on_token` and `on_login_required` may raise, block and call any method, and break nothing."""

import asyncio
import contextlib

import pytest

from tests.helpers.event_loop import other_tasks, run_turns
from tests.helpers.scripted_manager import ScriptedManager, login_required, scripted_manager_expired
from twilio_oauth_async import InvalidGrantError, ServerError, StoreError
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens.callbacks import CANCEL_TIMEOUT, CLOSE_TIMEOUT
from twilio_oauth_async.tokens.managers import TokenManagers

pytestmark = pytest.mark.asyncio


class SlowUnlock(MemoryTokenStore):
    """A store that needs some turns of the loop to release a lock."""

    is_held = False

    @contextlib.asynccontextmanager
    async def lock(self, key):
        async with super().lock(key):
            self.is_held = True
            yield
            await run_turns(5)
            self.is_held = False


class Recorder:
    """A callback of either `kind`, which records its arguments in `calls` and then runs `action`."""

    def __init__(self, kind="coroutine function", action=None):
        self.calls = []
        self.callback = self._call if kind == "function" else self._call_and_wait
        self.action = action

    def _call(self, argument):
        self.calls.append(getattr(argument, "access_token", argument))
        if self.action is not None:
            return self.action()
        return None

    async def _call_and_wait(self, argument):
        result = self._call(argument)
        if result is not None:
            await result


KINDS = pytest.mark.parametrize("kind", ["function", "coroutine function"])


class TestOnToken:
    @KINDS
    async def test_is_called_with_each_token_that_this_process_received(self, kind):
        recorder = Recorder(kind)
        setup = ScriptedManager(on_token=recorder.callback)
        await setup.manager.login()
        setup.clock.advance(3600)
        await setup.manager.token()
        await setup.manager.adopt(setup.grant.token(access_token="adopted"))
        await run_turns()
        assert recorder.calls == ["acc-canary-1", "acc-canary-2", "adopted"]

    async def test_is_not_called_with_a_token_from_the_store(self):
        setup, recorder = ScriptedManager(), Recorder()
        await setup.manager.login()
        await setup.another(on_token=recorder.callback).token()
        await run_turns()
        assert recorder.calls == []

    async def test_is_called_after_the_token_is_saved_and_in_use_and_the_lock_released(self):
        seen = []

        async def look():
            async with setup.store.inner.lock("me"):
                seen.append(((await setup.stored()).token, await setup.manager.token()))

        recorder = Recorder(action=look)
        setup = ScriptedManager(on_token=recorder.callback)
        token = await setup.manager.login()
        await run_turns()
        assert seen == [(token, token)]

    async def test_is_not_called_while_the_lock_is_held(self):
        store, held = SlowUnlock(), []
        setup = ScriptedManager(store=store, on_token=lambda _: held.append(store.is_held))
        await setup.manager.login()
        await run_turns()
        assert held == [False]

    async def test_is_called_once_with_a_token_that_could_not_be_saved(self):
        recorder = Recorder()
        setup = await scripted_manager_expired(on_token=recorder.callback)
        setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
        with pytest.raises(StoreError):
            await setup.manager.token()
        await run_turns()
        assert recorder.calls == ["acc-canary-1", "acc-canary-2"]
        setup.store.repair()
        await setup.pass_time(1)
        assert (await setup.stored()).generation == 2
        assert recorder.calls == ["acc-canary-1", "acc-canary-2"]

    async def test_is_called_before_callers_that_wait_go_on(self):
        recorder = Recorder("function")
        setup = await scripted_manager_expired(on_token=recorder.callback)
        await setup.manager.token()
        assert recorder.calls == ["acc-canary-1", "acc-canary-2"]

    @KINDS
    async def test_that_raises_is_reported_to_the_loop_and_changes_nothing(self, kind, caplog):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

        def fail():
            raise KeyError("acc-canary")

        setup = ScriptedManager(on_token=Recorder(kind, fail).callback)
        async with setup.manager:
            tokens = await asyncio.gather(*(setup.manager.token(login=True) for _ in range(3)))
            await run_turns()
            assert {token.access_token for token in tokens} == {"acc-canary-1"}
            for refreshes in (1, 2):  # the background goes on
                await setup.pass_time(3545)
                assert len(setup.grant.refreshed) == refreshes
        assert [type(context["exception"]) for context in reported] == [KeyError] * 3
        assert "on_token" in reported[0]["message"]
        assert "the callback on_token raised KeyError" in caplog.text
        assert "canary" not in caplog.text

    @pytest.mark.parametrize("method", ["token", "login", "logout", "close", "access_token"])
    async def test_may_call_any_method(self, method):
        calls = []

        async def call():
            if len(calls) < 2:
                calls.append(method)
                await getattr(setup.manager, method)()
                calls.append("done")

        setup = ScriptedManager(on_token=Recorder(action=call).callback)
        async with asyncio.timeout(5):
            async with setup.manager:
                await setup.manager.login()
                await run_turns()
            assert "done" in calls
            assert (await setup.stored() is None) == (method == "logout")
        assert await other_tasks() == set()

    async def test_that_calls_logout_at_each_refresh_signs_the_user_out(self):
        async def leave():
            if len(recorder.calls) == 2:
                await setup.manager.logout()

        recorder = Recorder(action=leave)
        setup = await scripted_manager_expired(on_token=recorder.callback)
        async with asyncio.timeout(5):
            await asyncio.gather(*(setup.manager.token() for _ in range(5)), return_exceptions=True)
            await run_turns()
            assert await login_required(setup.manager) == "signed_out"
        assert [token.refresh_token for token in setup.grant.revoked] == ["ref-canary-2"]

    async def test_that_blocks_for_ever_delays_no_caller_and_close_only_for_a_limited_time(self):
        setup = ScriptedManager(on_token=Recorder(action=asyncio.Event().wait).callback)
        await setup.manager.login()
        setup.clock.advance(3600)
        assert await setup.manager.access_token() == "acc-canary-2"
        closing = asyncio.create_task(setup.manager.close())
        await run_turns()
        await setup.pass_time(CLOSE_TIMEOUT - 0.1)
        assert not closing.done()
        await setup.pass_time(0.1)
        assert closing.done()
        assert await other_tasks() == set()

    async def test_that_is_running_is_waited_for_by_close(self):
        ended = []

        async def work():
            for _ in range(5):
                await asyncio.sleep(0)
            ended.append(True)

        setup = ScriptedManager(on_token=Recorder(action=work).callback)
        await setup.manager.login()
        await run_turns(2)
        await setup.manager.close()
        assert ended == [True]
        assert "sleepers=0" in repr(setup.clock)

    async def test_that_does_not_end_when_it_is_cancelled_is_logged_and_left(self, caplog):
        end = asyncio.Event()

        async def stay():
            while not end.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await end.wait()

        setup = ScriptedManager(on_token=Recorder(action=stay).callback)
        await setup.manager.login()
        await run_turns()
        closing = asyncio.create_task(setup.manager.close())
        await run_turns()
        await setup.pass_time(CLOSE_TIMEOUT)
        assert not closing.done()
        await setup.pass_time(CANCEL_TIMEOUT)
        assert closing.done()
        assert caplog.messages == ["a callback goes on although it was cancelled"]
        end.set()
        await run_turns()
        assert await other_tasks() == set()

    async def test_callbacks_that_close_at_the_same_time_do_not_wait_for_each_other(self):
        closed = []

        async def close():
            await run_turns(3)
            await setup.manager.close()
            closed.append(True)

        setup = ScriptedManager(on_token=Recorder(action=close).callback)
        await setup.manager.login()
        await setup.manager.login()
        closing = asyncio.create_task(setup.manager.close())
        await run_turns(100)  # the clock stands still
        assert closed == [True, True]
        assert closing.done()
        assert await other_tasks() == set()

    async def test_may_close_what_its_manager_belongs_to(self):
        """Also in a task that the callback starts, as ``asyncio.gather`` and ``asyncio.wait_for`` do."""
        ended = []

        async def close(_):
            await asyncio.wait_for(group.close(), None)
            await asyncio.gather(group.close())
            ended.append(True)

        setup = ScriptedManager()
        group = TokenManagers(setup.grant, store=setup.store, clock=setup.clock, on_token=close)
        await group.get("ada").login()
        await run_turns(100)  # the clock stands still
        assert ended == [True]
        assert await other_tasks() == set()


class TestOnLoginRequired:
    @KINDS
    @pytest.mark.parametrize("reason", ["refused", "expired", "signed_out"])
    async def test_is_called_once_when_a_sign_in_has_ended(self, kind, reason):
        recorder = Recorder(kind)
        script = {"refused": [{}, InvalidGrantError(status=400)], "expired": [{"refresh_token": None}]}
        setup = ScriptedManager(*script.get(reason, []), on_login_required=recorder.callback)
        await setup.manager.login()
        await setup.manager.token()
        setup.clock.advance(3600)
        if reason == "signed_out":
            await setup.sign_out_elsewhere()
        for _ in range(3):
            assert await login_required(setup.manager) == reason
            await run_turns()
        assert recorder.calls == [reason]
        # And again for the next sign-in.
        setup.grant.script = [{"refresh_token": None}]
        await setup.manager.login()
        await setup.manager.token()
        setup.clock.advance(3600)
        assert await login_required(setup.manager) == "expired"
        await run_turns()
        assert recorder.calls == [reason, "expired"]

    async def test_is_called_once_by_a_process_that_has_just_started(self):
        setup, recorder = await scripted_manager_expired(InvalidGrantError(status=400)), Recorder()
        restarted = setup.another(on_login_required=recorder.callback)
        for _ in range(3):
            assert await login_required(restarted) == "refused"
            await run_turns()
        assert recorder.calls == ["refused"]
        # The next process cannot know whether it was reported.
        assert await login_required(setup.another(on_login_required=recorder.callback)) == "expired"
        await run_turns()
        assert recorder.calls == ["refused"]

    async def test_is_called_by_the_background_without_a_caller(self):
        recorder = Recorder()
        setup = ScriptedManager({}, InvalidGrantError(status=400), on_login_required=recorder.callback)
        async with setup.manager:
            await setup.manager.login()
            await setup.pass_time(3545)
            assert len(setup.grant.refreshed) == 1
            assert recorder.calls == []  # the access token is still valid
            for _ in range(5):
                await setup.pass_time(60)
            assert recorder.calls == ["refused"]

    async def test_is_not_called_before_the_first_sign_in_and_not_for_a_logout(self):
        recorder = Recorder()
        setup = ScriptedManager(on_login_required=recorder.callback)
        assert await login_required(setup.manager) == "never_signed_in"
        await setup.manager.login()
        await setup.manager.logout()
        assert await login_required(setup.manager) == "signed_out"
        await run_turns()
        assert recorder.calls == []

    async def test_is_not_called_for_a_fault_that_may_pass(self):
        recorder = Recorder()
        setup = await scripted_manager_expired(on_login_required=recorder.callback)
        setup.grant.is_down = True
        for _ in range(5):
            await setup.fails(60, ServerError)
        assert recorder.calls == []

    async def test_that_raises_is_reported_to_the_loop(self):
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))

        def fail():
            raise KeyError("acc-canary")

        setup = await scripted_manager_expired(
            InvalidGrantError(status=400), on_login_required=Recorder("function", fail).callback
        )
        assert await login_required(setup.manager) == "refused"
        await run_turns()
        assert reported == ["the callback on_login_required of twilio_oauth_async raised an exception"]

    async def test_may_sign_in_again(self):
        async def sign_in():
            await setup.manager.login()

        setup = await scripted_manager_expired(
            InvalidGrantError(status=400), on_login_required=Recorder(action=sign_in).callback
        )
        async with asyncio.timeout(5):
            assert await login_required(setup.manager) == "refused"
            await run_turns()
            assert await setup.manager.access_token() == "acc-canary-2"
