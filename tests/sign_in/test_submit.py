"""`DeviceFlowPool.submit`: one code per user, limits, and what callers get if no code is issued."""

import asyncio
import gc
from contextlib import AsyncExitStack

import pytest

from tests.helpers.event_loop import collect, run_turns
from tests.helpers.world import emulated
from twilio_oauth_async import (
    ApiError,
    ConfigurationError,
    DeviceFlowError,
    ProtocolError,
    StoreError,
    TooManySignIns,
    TransportError,
)
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio


async def test_sign_in_from_start_to_end():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        assert (sign_in.user, sign_in.state, sign_in.scopes) == ("ada", "pending", ("openid",))
        assert sign_in.user_code in sign_in.instructions("Demo")
        flow = await setup.flows.load(sign_in.id)
        listening = asyncio.create_task(collect(pool.events(sign_in.id)))
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        stored = await setup.stored("ada")
        assert (stored.epoch, stored.generation) == (epoch_of(flow.authorization.device_code), 1)
        assert (stored.client_sid, stored.server) == (setup.emulator.client_sid, setup.emulator.base_url)
        assert (stored.scopes, stored.audiences) == (("openid",), ())
        assert [event.state for event in await listening] == ["pending", "approved"]
        assert await pool.manager("ada").access_token() == stored.token.access_token


async def test_double_click_gives_one_code():
    async with emulated() as setup, setup.pool() as pool:
        both = await asyncio.gather(pool.submit("ada"), pool.submit("ada"))
        assert both[0] == both[1] == await pool.submit("ada")
        assert (await pool.submit("bob")).id != both[0].id
        assert setup.codes() == 2


async def test_two_apps_with_the_same_stores_and_one_user_have_their_own_sign_ins():
    """Fault 41 (docs/reliability.md)."""
    async with emulated() as setup:
        app = setup.emulator.add_app("Another app")
        another = setup.device_flow(client_sid=app.sid, client_secret=app.secret)
        async with setup.pool() as pool, setup.pool(flow=another) as other:
            first, second = await pool.submit("ada"), await other.submit("ada")
            assert first.id != second.id
            await setup.emulator.approve(first.user_code)
            await pool.result(first.id)
            assert (await other.find(second.id)).state == "pending"
            assert await setup.tokens.load(setup.key("ada", another)) is None
            await setup.emulator.approve(second.user_code)
            await other.result(second.id)
        token, other_token = await setup.stored("ada"), await setup.tokens.load(setup.key("ada", another))
        assert (token.client_sid, other_token.client_sid) == (setup.emulator.client_sid, app.sid)


async def test_first_of_two_callers_is_cancelled_and_the_other_gets_the_code():
    async with emulated() as setup, setup.pool() as pool:
        first = asyncio.create_task(pool.submit("ada"))
        second = asyncio.create_task(pool.submit("ada"))
        await asyncio.sleep(0)
        first.cancel()
        sign_in = await second
        assert first.cancelled()
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)


async def test_all_callers_are_cancelled_and_the_start_fails(caplog):
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("device_code").times(10).respond(403)
        caller = asyncio.create_task(pool.submit("ada"))
        await asyncio.sleep(0)
        caller.cancel()
        while pool._submissions._starting:
            await asyncio.sleep(0)
        del caller  # its frame holds on to the task
        gc.collect()
        setup.emulator.faults.clear()
        await pool.submit("ada")
    assert caplog.text == "", "nothing was logged about an exception that was never retrieved"


async def test_pool_is_closed_while_the_code_is_requested():
    async with emulated() as setup, AsyncExitStack() as stack:
        pool = await stack.enter_async_context(setup.pool())
        caller = asyncio.create_task(pool.submit("ada"))
        await asyncio.sleep(0)
        await stack.aclose()
        with pytest.raises(DeviceFlowError, match="the pool was closed"):
            await caller
        with pytest.raises(ConfigurationError, match="not open"):
            await pool.submit("ada")


@pytest.mark.parametrize(
    ("fault", "options", "kind"),
    [
        ("hang_up", {}, TransportError),
        ("respond", {"status": 403, "json": {"code": 20003}}, ApiError),
        ("respond", {"status": 201, "json": {}}, ProtocolError),
    ],
)
async def test_no_code_is_issued(fault, options, kind):
    async with emulated() as setup, setup.pool() as pool:
        getattr(setup.emulator.faults.on("device_code").times(10), fault)(**options)
        callers = await asyncio.gather(pool.submit("ada"), pool.submit("ada"), return_exceptions=True)
        assert all(isinstance(error, kind) for error in callers)
        assert callers[0] is not callers[1], "each caller gets an exception of its own"
        setup.emulator.faults.clear()
        await pool.submit("ada")


@pytest.mark.parametrize("method", ["find_user", "create"])
async def test_flow_that_cannot_be_stored_is_not_started(method):
    async with emulated() as setup, setup.pool() as pool:
        setup.flows.fail(method, times=1)
        with pytest.raises(StoreError):
            await pool.submit("ada")
        assert len(pool._members) == 0
        await pool.submit("ada")


async def test_limit_of_sign_ins():
    async with emulated() as setup, setup.pool(max_flows=2) as pool:
        first = await pool.submit("a")
        await pool.submit("b")
        with pytest.raises(TooManySignIns, match="2 sign-ins") as caught:
            await pool.submit("c")
        assert 1 <= caught.value.retry_after <= 60
        assert (await pool.submit("a")).id == first.id
        await pool.cancel(first.id)
        await setup.wait_for_state(first.id, "cancelled")
        await run_turns(10)
        await pool.submit("c")


async def test_user_with_a_pending_sign_in_joins_it_although_there_is_no_room():
    async with emulated() as setup, setup.pool() as pool, setup.pool(max_flows=1) as other:
        sign_in = await pool.submit("ada")
        await other.submit("bob")
        assert (await other.submit("ada")).id == sign_in.id


async def test_sign_in_that_no_process_polls_is_joined_and_not_run_if_there_is_no_room():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.flows.fail("list_due", skip=1)
        async with setup.pool(max_flows=1) as pool:
            await pool.submit("bob")
            assert (await pool.submit("ada")).id == sign_in.id
            assert len(pool._members) == 1
            assert (await setup.flows.load(sign_in.id)).owner is None


async def test_sign_ins_that_are_being_started_count():
    async with emulated() as setup, setup.pool(max_flows=2) as pool:
        outcomes = await asyncio.gather(*(pool.submit(user) for user in "abc"), return_exceptions=True)
        assert [isinstance(outcome, TooManySignIns) for outcome in outcomes] == [False, False, True]


async def test_retry_after_is_the_time_until_the_first_code_expires():
    async with emulated(expires_in=20) as setup, setup.pool(max_flows=1) as pool:
        await pool.submit("a")
        with pytest.raises(TooManySignIns) as caught:
            await pool.submit("b")
        assert caught.value.retry_after == pytest.approx(20, abs=1)


async def test_context_comes_back_in_each_state_and_is_not_sent_to_browsers():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada", context={"chat": "7"})
        joined = await other.submit("ada", context={"chat": "8"})
        assert joined.context == sign_in.context == {"chat": "7"}, "that of the first submit counts"
        await setup.emulator.deny(sign_in.user_code)
        events = await collect(other.events(sign_in.id))
        assert {event.state for event in events} == {"pending", "denied"}
        assert all(event.context == {"chat": "7"} for event in events)
        assert all("chat" not in str(event.to_dict()) + repr(event) for event in events)


async def test_invalid_use():
    async with emulated() as setup:
        for options in ({"max_flows": 0}, {"take_up_every": 0}, {"close_timeout": 0}, {"on_end": "x"}):
            with pytest.raises(ConfigurationError):
                setup.pool(**options)
        pool = setup.pool()
        calls = (pool.submit("ada"), pool.result("x"), pool.cancel("x"), anext(pool.events("x")))
        for call in (*calls, anext(pool.all_events())):
            with pytest.raises(ConfigurationError, match="not open"):
                await call
        async with pool:
            with pytest.raises(ConfigurationError, match="empty"):
                await pool.submit("")
            for context in ({"chat": 7}, {7: "chat"}):
                with pytest.raises(ConfigurationError, match="strings"):
                    await pool.submit("ada", context=context)
            with pytest.raises(ConfigurationError, match="until the pool is opened"):
                pool.on_end = print
        pool.on_end = print
        assert "0 sign-ins" in repr(pool)


async def test_hundreds_of_sign_ins_at_once():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_ins = await asyncio.gather(*(pool.submit(f"user {number}") for number in range(300)))
            for sign_in in sign_ins:
                await setup.emulator.approve(sign_in.user_code)
            await asyncio.gather(*(pool.result(sign_in.id) for sign_in in sign_ins))
            assert len({(await setup.stored(f"user {number}")).token.access_token for number in range(300)}) == 300
            assert setup.clock.monotonic() < 60
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_secrets_are_neither_shown_nor_logged(caplog):
    caplog.set_level(0)
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        flow = await setup.flows.load(sign_in.id)
        saving = setup.tokens.pause("save")
        await setup.emulator.approve(sign_in.user_code)
        await saving.reached.wait()
        life = pool._members.running[sign_in.id].life
        assert life.token is not None
        running = repr(life) + repr(pool)
        saving.resume()
        events = await collect(pool.events(sign_in.id))
        token = (await setup.stored("ada")).token
    shown = repr(events) + repr(sign_in) + repr(flow) + running + str(sign_in.to_dict()) + caplog.text
    for secret in (flow.authorization.device_code, token.access_token, token.refresh_token):
        assert secret not in shown
