"""Many sign-ins in one process: joining, listening, cancelling, and the end of each."""

import asyncio
import gc
from contextlib import AsyncExitStack

import pytest

from tests.helpers.event_loop import collect
from tests.helpers.world import emulated
from twilio_oauth_async import (
    AccessDeniedError,
    ConfigurationError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    TransportError,
)
from twilio_oauth_async.sign_in import pool as module
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio


async def test_a_sign_in_from_beginning_to_end():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        assert (sign_in.user, sign_in.state, sign_in.scopes) == ("ada", "pending", ("openid",))
        assert sign_in.user_code in sign_in.instructions("Demo")
        device_code = (await setup.flows.load(sign_in.id)).authorization.device_code
        listening = asyncio.create_task(collect(pool.events(sign_in.id)))
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        stored = await setup.stored("ada")
        assert (stored.epoch, stored.generation) == (epoch_of(device_code), 1)
        assert (stored.client_sid, stored.server) == (setup.emulator.client_sid, setup.emulator.base_url)
        assert (stored.scopes, stored.audiences) == (("openid",), ())
        assert [event.sign_in.state for event in await listening] == ["pending", "approved"]
        assert await setup.flows.load(sign_in.id) is None


async def test_the_token_is_stored_before_anybody_is_told():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        async for event in pool.events(sign_in.id):
            assert (await setup.stored("ada") is not None) or event.sign_in.state == "pending"
        assert event.sign_in.state == "approved"


async def test_a_second_request_joins():
    async with emulated() as setup, setup.pool() as pool:
        both = await asyncio.gather(pool.submit("ada"), pool.submit("ada"))
        third = await pool.submit("ada")
        assert both[0] == both[1] == third
        other = await pool.submit("bob")
        assert other.id != third.id
        assert len([request for request in setup.emulator.requests if request.path == "/v1/device/code"]) == 2


async def test_two_apps_on_the_same_stores_and_one_user_never_meet():
    """Fault 41 (docs/reliability.md)."""
    async with emulated() as setup:
        app = setup.emulator.add_app("Another app")
        another = setup.device_flow(client_sid=app.sid, client_secret=app.secret)
        async with setup.pool() as pool, setup.pool(flow=another) as other:
            first, second = await pool.submit("ada"), await other.submit("ada")
            assert first.id != second.id
            assert await pool.take_up() == await other.take_up() == []
            await setup.emulator.approve(first.user_code)
            await pool.result(first.id)
            assert (await other.find(second.id)).state == "pending", "the approval of one cancels not the other"
            assert await setup.tokens.load(setup.key("ada", another)) is None
            await setup.emulator.approve(second.user_code)
            await other.result(second.id)
        token, other_token = await setup.stored("ada"), await setup.tokens.load(setup.key("ada", another))
        assert (token.client_sid, other_token.client_sid) == (setup.emulator.client_sid, app.sid)
        assert token.token.access_token != other_token.token.access_token
        await setup.manager(key="ada").logout()
        assert await setup.stored("ada") is None
        manager = setup.manager(flow=another, key="ada")
        assert await manager.access_token() == other_token.token.access_token


async def test_whoever_asked_first_may_go_away():
    async with emulated() as setup, setup.pool() as pool:
        first = asyncio.create_task(pool.submit("ada"))
        second = asyncio.create_task(pool.submit("ada"))
        await asyncio.sleep(0)
        first.cancel()
        sign_in = await second
        assert first.cancelled()
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)


async def test_all_who_asked_may_go_away_although_it_fails(caplog):
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("device_code").times(10).respond(403)
        asked = asyncio.create_task(pool.submit("ada"))
        await asyncio.sleep(0)
        asked.cancel()
        while pool._tasks:
            await asyncio.sleep(0)
        del asked  # its frame holds on to the task within
        gc.collect()
        setup.emulator.faults.clear()
        await pool.submit("ada")
    assert caplog.text == "", "nothing that asyncio misses"


async def test_closing_while_the_code_is_asked_for():
    async with emulated() as setup, AsyncExitStack() as stack:
        pool = await stack.enter_async_context(setup.pool())
        asked = asyncio.create_task(pool.submit("ada"))
        await asyncio.sleep(0)
        await stack.aclose()
        with pytest.raises(DeviceFlowError, match="the pool was closed"):
            await asked
        with pytest.raises(ConfigurationError, match="not open"):
            await pool.submit("ada")


async def test_those_who_come_late_get_the_present_first():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        assert [event.sign_in.state for event in await collect(pool.events(sign_in.id))] == ["approved"]
        await pool.result(sign_in.id)
        setup.clock.advance(module.FINISHED_KEPT + 1)
        await pool.submit("bob")
        with pytest.raises(ConfigurationError, match="no such sign-in"):
            await pool.result(sign_in.id)


@pytest.mark.parametrize(
    ("end", "state", "kind"), [("deny", "denied", AccessDeniedError), ("expire", "expired", DeviceCodeExpiredError)]
)
async def test_refused_and_expired(end, state, kind):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await getattr(setup.emulator, end)(sign_in.user_code)
        with pytest.raises(kind):
            await pool.result(sign_in.id)
        [*_, last] = await collect(pool.events(sign_in.id))
        assert last.sign_in.state == state
        assert last.problem
        assert await setup.flows.load(sign_in.id) is None
        # And again, with another code.
        assert (await pool.submit("ada")).user_code != sign_in.user_code


async def test_cancelling():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await pool.cancel(sign_in.id)
        await pool.cancel(sign_in.id)
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await pool.result(sign_in.id)
        assert await setup.flows.load(sign_in.id) is None
        await setup.clock.sleep(60)
        assert [request for request in setup.emulator.requests if request.path == "/v1/token"] == []
        assert (await pool.submit("ada")).id != sign_in.id


async def test_cancelling_too_late():
    """The server has granted the token: it is saved, not thrown away, and `cancel` returns when that is done."""
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        saving = asyncio.Event()
        setup.tokens.before("save", lambda *_: saving.set())
        setup.tokens.before("save", lambda *_: asyncio.sleep(0))
        await setup.emulator.approve(sign_in.user_code)
        await saving.wait()
        await pool.cancel(sign_in.id)
        assert (await pool.find(sign_in.id)).state == "approved"
        assert await setup.stored("ada") is not None


async def test_a_server_out_of_reach_is_told_and_passes():
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("poll").html(502)
        sign_in = await pool.submit("ada")
        seen = []
        async for event in pool.events(sign_in.id):
            seen.append((event.sign_in.state, bool(event.problem)))
            if len(seen) == 3:
                await setup.emulator.approve(sign_in.user_code)
        assert seen == [("pending", False), ("pending", True), ("pending", False), ("approved", False)]


async def test_no_code_to_be_had():
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("device_code").times(10).hang_up()
        with pytest.raises(TransportError):
            await pool.submit("ada")
        setup.emulator.faults.clear()
        await pool.submit("ada")


async def test_there_is_a_cap():
    async with emulated() as setup, setup.pool(max_flows=2) as pool:
        first = await pool.submit("a")
        await pool.submit("b")
        with pytest.raises(DeviceFlowError, match="2 sign-ins"):
            await pool.submit("c")
        assert await pool.submit("a") == first
        await pool.cancel(first.id)
        await pool.submit("c")


async def test_those_being_begun_count():
    async with emulated() as setup, setup.pool(max_flows=2) as pool:
        outcomes = await asyncio.gather(*(pool.submit(user) for user in "abc"), return_exceptions=True)
        assert [isinstance(outcome, DeviceFlowError) for outcome in outcomes] == [False, False, True]


async def test_a_problem_that_stays_the_same_is_told_once():
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("poll").times(3).hang_up()
        sign_in = await pool.submit("ada")
        listening = asyncio.create_task(collect(pool.events(sign_in.id)))
        while len(setup.emulator.requests.to("poll")) < 4:
            await asyncio.sleep(0)
        await setup.emulator.approve(sign_in.user_code)
        assert [bool(event.problem) for event in await listening] == [False, True, False, False]


async def test_a_mistake_in_a_store_is_told_to_those_who_wait(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.flows.fail("lease", error=KeyError("canary"))
        with pytest.raises(DeviceFlowError, match="an unexpected KeyError"):
            await pool.result(sign_in.id)
        assert (await pool.find(sign_in.id)).state == "failed"
        setup.flows.repair("lease")
    assert "a sign-in was ended by a mistake" in caplog.text


async def test_bad_use():
    async with emulated() as setup:
        with pytest.raises(ConfigurationError):
            setup.pool(max_flows=0)
        pool = setup.pool()
        with pytest.raises(ConfigurationError, match="not open"):
            await pool.submit("ada")
        async with pool:
            with pytest.raises(ConfigurationError, match="empty"):
                await pool.submit("")
            for call in (pool.result("x"), pool.cancel("x"), anext(pool.events("x"))):
                with pytest.raises(ConfigurationError, match="no such"):
                    await call


async def test_hundreds_at_once():
    async with emulated() as setup, setup.pool() as pool:
        sign_ins = await asyncio.gather(*(pool.submit(f"user {number}") for number in range(300)))
        for sign_in in sign_ins:
            await setup.emulator.approve(sign_in.user_code)
        await asyncio.gather(*(pool.result(sign_in.id) for sign_in in sign_ins))
        assert len({(await setup.stored(f"user {number}")).token.access_token for number in range(300)}) == 300
        assert setup.clock.monotonic() < 60
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_no_secret_is_told(caplog):
    caplog.set_level(0)
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        flow = await setup.flows.load(sign_in.id)
        await setup.emulator.approve(sign_in.user_code)
        events = await collect(pool.events(sign_in.id))
        token = (await setup.stored("ada")).token
    told = repr(events) + repr(sign_in) + repr(flow) + caplog.text
    for secret in (flow.authorization.device_code, token.access_token, token.refresh_token):
        assert secret not in told
