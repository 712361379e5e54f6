"""Leases and outages of the stores: who may poll, what is logged, and what goes on."""

import asyncio

import pytest

from tests.helpers.event_loop import collect, run_turns
from tests.helpers.world import emulated
from twilio_oauth_async import ConfigurationError, StoreError
from twilio_oauth_async.sign_in.flow_life import LEASE

pytestmark = pytest.mark.asyncio


async def test_leases_are_renewed_in_one_call_when_less_than_half_is_left():
    async with emulated(expires_in=900) as setup, setup.pool() as pool:
        for number in range(50):
            await pool.submit(f"user {number}")
        setup.flows.calls.clear()
        await setup.clock.sleep(300)
        assert setup.flows.calls.count("lease") == pytest.approx(300 / 20, abs=6)
        assert len(pool._members) == 50
        assert await setup.due() == []


async def test_leases_of_flows_with_a_long_interval_are_renewed_between_the_polls():
    async with emulated(interval=120, expires_in=900) as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.clock.sleep(600)
        assert sign_in.id in pool._members.running
        assert len(other._members) == 0


async def test_flow_whose_lease_another_process_has_is_not_polled():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.take_over(sign_in.id)
        await setup.clock.sleep(LEASE)
        polls = len(setup.polls())
        await setup.clock.sleep(60)
        assert len(setup.polls()) == polls
        assert (await setup.flows.load(sign_in.id)).owner == "other"


@pytest.mark.parametrize("how", ["suspend", "shift_wall"])
async def test_machine_that_was_suspended_asks_for_its_leases_before_it_polls(how):
    async with emulated(auto=False) as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        getattr(setup.clock, how)(LEASE + 10)
        setup.flows.calls.clear()
        setup.clock.advance(5.1)
        while "lease" not in setup.flows.calls:
            await asyncio.sleep(0)
        assert setup.polls() == [], "another process may have polled just now"
        while not setup.polls():
            setup.clock.advance(1.0)
            await run_turns(50)
        life = pool._members.running[sign_in.id].life
        assert life.lease.wall > setup.clock.now(), "the new lease lies in the future"


async def test_flow_that_was_lost_during_a_suspension_is_not_polled_twice():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.clock.sleep(7)
        await setup.take_over(sign_in.id, seconds=40)
        setup.clock.shift_wall(LEASE + 10)
        await setup.emulator.approve(sign_in.user_code)
        await asyncio.gather(pool.result(sign_in.id), other.result(sign_in.id))
        assert setup.polls().count(201) == 1
        assert setup.revocations() == []


async def test_outage_of_the_flow_store_is_logged_once_and_counted_and_ends_nothing(caplog):
    async with emulated(expires_in=900) as setup, setup.pool() as pool:
        sign_ins = [await pool.submit(user) for user in "abc"]
        setup.flows.fail("lease", "load", "list_due", "list_ended", "save", "release")
        await setup.clock.sleep(200)
        assert caplog.text.count("the flow store of the pool has failed") == 1
        assert pool._shared.flow_calls.failures > 5
        polls = len(setup.polls())
        await setup.clock.sleep(60)
        assert len(setup.polls()) == polls, "without a lease there is no poll"
        setup.flows.repair()
        for sign_in in sign_ins:
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        assert caplog.text.count("works again") == 1


async def test_store_that_raises_other_exceptions_ends_nothing_and_its_text_is_not_logged(caplog):
    async with emulated(expires_in=900) as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.flows.fail("lease", "list_due", "load", error=KeyError("canary"), times=20)
        await setup.clock.sleep(120)
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
    assert "KeyError" in caplog.text
    assert "canary" not in caplog.text


async def test_pool_does_not_open_with_a_store_that_cannot_be_read():
    async with emulated() as setup:
        setup.flows.fail("list_due")
        pool = setup.pool()
        with pytest.raises(StoreError):
            await pool.open()
        with pytest.raises(ConfigurationError, match="not open"):
            await pool.submit("ada")
        setup.flows.repair()
        async with pool:
            await pool.submit("ada")


async def test_store_that_fails_after_the_opening_delays_taking_up_only():
    async with emulated(expires_in=900) as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.flows.fail("list_due", skip=1)
        async with setup.pool() as pool:
            await setup.clock.sleep(60)
            setup.flows.repair()
            await setup.clock.sleep(20)
            assert sign_in.id in pool._members.running


@pytest.mark.parametrize("method", ["load", "lease"])
async def test_token_store_or_lease_that_fails_while_a_flow_is_taken_up(method):
    async with emulated(expires_in=900) as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        (setup.tokens if method == "load" else setup.flows).fail(method, times=3)
        async with setup.pool() as pool:
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        assert setup.polls() == [201]


async def test_state_that_could_not_be_saved_is_saved_after_the_next_poll():
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("poll").error("slow_down")
        sign_in = await pool.submit("ada")
        setup.flows.fail("save", times=1)
        await setup.clock.sleep(8)
        assert (await setup.flows.load(sign_in.id)).authorization.interval == 5
        await setup.clock.sleep(20)
        assert (await setup.flows.load(sign_in.id)).authorization.interval == 10


async def test_end_that_could_not_be_recorded_is_recorded_later_and_reported_then():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        setup.flows.fail("end", times=4)
        await setup.emulator.deny(sign_in.user_code)
        both = await asyncio.gather(*(collect(p.events(sign_in.id)) for p in (pool, other)))
        assert [[event.state for event in events] for events in both] == [["pending", "denied"]] * 2
        assert (await setup.flows.load(sign_in.id)).state == "denied"


async def test_mistake_in_the_clock_of_a_caller_is_passed_to_the_event_loop(caplog):
    async with emulated() as setup, setup.pool() as pool:
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["exception"]))
        sign_in = await pool.submit("ada")
        running = pool._members.running[sign_in.id]

        async def broken(*_):
            raise KeyError("canary")

        running._outcome_of = broken
        while not problems:
            await asyncio.sleep(0)
        await run_turns(5)
        assert sign_in.id not in pool._members.running
        assert "canary" not in caplog.text
        await setup.clock.sleep(30)
        assert sign_in.id in pool._members.running, "it is taken up again"
