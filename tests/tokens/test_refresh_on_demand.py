"""`TokenManager.refresh`: a token is replaced although it is still valid."""

import asyncio

import attrs
import pytest

from tests.helpers.event_loop import other_tasks, run_turns
from tests.helpers.scripted_manager import ScriptedManager
from tests.helpers.token_states import MONOTONIC, holding, moment, stored, wait
from twilio_oauth_async import (
    AnswerLostError,
    InvalidGrantError,
    LoginRequired,
    RateLimitedError,
    ServerError,
    StoreError,
)
from twilio_oauth_async.tokens.lifetime import advance, decide
from twilio_oauth_async.tokens.state import Loaded, Refreshed, Unwanted, Work


class TestRules:
    @pytest.mark.parametrize(
        ("state", "step"),
        [
            pytest.param(holding(), Work.LOCK, id="valid for long: refreshed"),
            pytest.param(holding(stored(lifetime=None)), Work.LOCK, id="expiry unknown: refreshed"),
            pytest.param(holding(stored(refresh=None)), wait(3600), id="no refresh token: used until it expires"),
            pytest.param(holding(stored(unanswered=1)), wait(3600), id="25: response lost: used until it expires"),
            pytest.param(holding(ask_at=MONOTONIC + 50), wait(50), id="34: the last request failed: a pause first"),
            pytest.param(holding(interactive=False), Work.LOCK, id="grant without user: run again"),
        ],
    )
    def test_step(self, state, step):
        state = advance(state, Unwanted("a1"), moment(0))
        assert decide(state, moment(0), 60.0).next is Work.LOAD  # another process may have replaced it
        state = advance(state, Loaded(state.held.stored), moment(0))
        decision = decide(state, moment(0), 60.0)
        assert decision.next == step
        assert decision.use == state.used.stored  # other callers get what is valid

    def test_token_that_is_replaced_already_is_not_replaced_again(self):
        state = advance(holding(), Unwanted("a1"), moment(0))
        newer = stored("a2", refresh="r2", generation=2)
        state = advance(state, Loaded(newer), moment(0))
        assert (state.unwanted, decide(state, moment(0), 60.0).next) == (frozenset(), wait(3540))
        state = advance(
            advance(state, Unwanted("a1"), moment(0)), Unwanted("a2"), moment(0)
        )  # late, and the present one
        assert advance(state, Loaded(newer), moment(0)).unwanted == {"a2"}

    def test_response_with_the_same_access_token_is_enough(self):
        state = advance(holding(), Unwanted("a1"), moment(0))
        again = stored(refresh="r2")
        assert advance(state, Refreshed(state.held.stored, again.token), moment(0)).unwanted == frozenset()

    def test_secret_is_not_shown(self):
        assert "acc-canary" not in repr(Unwanted("acc-canary"))
        assert "acc-canary" not in repr(advance(holding(), Unwanted("acc-canary"), moment(0)))


async def signed_in(*script, **options):
    setup = ScriptedManager({}, *script, **options)
    await setup.manager.login()
    return setup


@pytest.mark.asyncio
class TestRefresh:
    async def test_valid_token_is_replaced_and_saved(self):
        setup = await signed_in()
        assert (await setup.manager.refresh("acc-canary-1")).access_token == "acc-canary-2"
        assert await setup.manager.access_token() == "acc-canary-2"
        assert (await setup.stored()).token.access_token == "acc-canary-2"

    async def test_token_of_the_store_is_replaced(self):
        setup = await signed_in()
        assert (await setup.another().refresh("acc-canary-1")).access_token == "acc-canary-2"

    async def test_callers_at_the_same_time_cause_one_refresh(self):
        setup = await signed_in()
        tokens = await asyncio.gather(*(setup.manager.refresh("acc-canary-1") for _ in range(50)))
        assert {token.access_token for token in tokens} == {"acc-canary-2"}
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_two_processes_cause_one_refresh(self):
        setup = await signed_in()
        setup.store.slow_down("load", "lock", "save")
        await asyncio.gather(setup.manager.refresh("acc-canary-1"), setup.another().refresh("acc-canary-1"))
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_token_that_was_replaced_before_is_not_refreshed_again(self):
        setup = await signed_in()
        await setup.manager.refresh("acc-canary-1")
        assert (await setup.manager.refresh("acc-canary-1")).access_token == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_other_callers_get_the_valid_token_meanwhile(self):
        setup = await signed_in()
        setup.grant.gate = asyncio.Event()
        refreshing = asyncio.create_task(setup.manager.refresh("acc-canary-1"))
        await run_turns()
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.grant.gate.set()
        assert (await refreshing).access_token == "acc-canary-2"

    @pytest.mark.parametrize("error", [ServerError(status=503), RateLimitedError(status=429)], ids=["503", "429"])
    async def test_failure_is_raised_and_the_token_stays_in_use_and_is_refreshed_later(self, error):
        setup = await signed_in(error)
        with pytest.raises(type(error)):
            await setup.manager.refresh("acc-canary-1")
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.clock.advance(3600)
        assert await setup.manager.access_token() == "acc-canary-2"

    async def test_refused_refresh_token_raises_login_required_only_when_the_token_has_expired(self):
        setup = await signed_in(InvalidGrantError())
        with pytest.raises(LoginRequired):
            await setup.manager.refresh("acc-canary-1")
        assert await setup.manager.access_token() == "acc-canary-1"

    async def test_without_refresh_token_raises_login_required(self):
        setup = ScriptedManager({"refresh_token": None})
        await setup.manager.login()
        with pytest.raises(LoginRequired, match="no refresh token"):
            await setup.manager.refresh("acc-canary-1")
        assert await setup.manager.access_token() == "acc-canary-1"

    async def test_user_who_has_not_signed_in(self):
        setup = ScriptedManager()
        with pytest.raises(LoginRequired) as caught:
            await setup.manager.refresh("acc-canary-1")
        assert caught.value.reason == "never_signed_in"

    async def test_25_response_that_a_process_before_this_one_has_lost_is_named(self):
        setup = await signed_in()
        marked = attrs.evolve(await setup.stored(), unanswered=1)
        await setup.store.inner.save(setup.key, marked, replaces=marked.epoch)
        with pytest.raises(AnswerLostError, match="lost"):
            await setup.another().refresh("acc-canary-1")
        assert setup.grant.refreshed == []

    async def test_cancelled_caller_does_not_stop_it(self):
        setup = await signed_in()
        setup.grant.gate = asyncio.Event()
        refreshing = asyncio.create_task(setup.manager.refresh("acc-canary-1"))
        await run_turns()
        refreshing.cancel()
        setup.grant.gate.set()
        await setup.manager.close()
        assert await setup.manager.access_token() == "acc-canary-2"
        assert await other_tasks() == set()

    async def test_server_that_returns_the_same_access_token_is_asked_once(self):
        setup = await signed_in({"access_token": "acc-canary-1"})
        assert (await setup.manager.refresh("acc-canary-1")).access_token == "acc-canary-1"
        await setup.manager.token()
        await run_turns(50)
        assert setup.grant.refreshed == ["ref-canary-1"]

    @pytest.mark.parametrize("method", ["load", "lock"])
    async def test_store_that_is_down_raises_store_error(self, method):
        setup = await signed_in()
        setup.store.fail(method)
        with pytest.raises(StoreError):
            await setup.manager.refresh("acc-canary-1")
        assert await setup.manager.access_token() == "acc-canary-1"

    async def test_newer_token_of_another_process_is_returned_without_a_request(self):
        setup = ScriptedManager({"refresh_token": None})
        await setup.manager.login()
        theirs = await setup.refresh_elsewhere()
        assert await setup.manager.refresh("acc-canary-1") == theirs.token
        assert setup.grant.refreshed == []

    async def test_newer_token_of_another_process_is_replaced_although_an_older_one_is_held(self):
        """What keep_alive finds in the store, while the manager of the user holds an older valid token."""
        setup = await signed_in()
        theirs = await setup.refresh_elsewhere()
        assert (await setup.manager.refresh("theirs")).access_token not in {"acc-canary-1", "theirs"}
        assert setup.grant.refreshed == [theirs.token.refresh_token]

    async def test_late_call_does_not_take_back_the_wish_of_another(self):
        setup = await signed_in()
        await setup.manager.refresh("acc-canary-1")
        tokens = await asyncio.gather(setup.manager.refresh("acc-canary-2"), setup.manager.refresh("acc-canary-1"))
        assert {token.access_token for token in tokens} == {"acc-canary-3"}

    async def test_refused_refresh_token_has_that_reason(self):
        setup = await signed_in(InvalidGrantError())
        for _ in range(2):
            with pytest.raises(LoginRequired) as caught:
                await setup.manager.refresh("acc-canary-1")
            assert caught.value.reason == "refused"
