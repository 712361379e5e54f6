"""Flows that no process polls: who takes them up, when, and how many (fault 52)."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlow, DeviceFlowError
from twilio_oauth_async.sign_in import upkeep
from twilio_oauth_async.sign_in.flow_life import LEASE
from twilio_oauth_async.sign_in.pool import DeviceFlowPool

pytestmark = pytest.mark.asyncio


def another_pool(setup, **changes):
    """Return a pool of another program that shares the stores."""
    options = {"client_sid": setup.flow.client_sid, "client_secret": "s", "scopes": ["openid"], **changes}
    return DeviceFlowPool(DeviceFlow(setup.session, **options), tokens=setup.tokens, flows=setup.flows)


async def submit(setup, number):
    """Start sign-ins in a pool that is closed at once; return them."""
    async with setup.pool() as pool:
        return await asyncio.gather(*(pool.submit(f"user {index}") for index in range(number)))


async def test_exactly_one_of_many_processes_takes_a_flow_up():
    async with emulated() as setup:
        [sign_in] = await submit(setup, 1)
        setup.flows.slow_down("list_due", "lease")
        async with AsyncExitStack() as stack:
            pools = [await stack.enter_async_context(setup.pool()) for _ in range(5)]
            await setup.clock.sleep(4)
            assert sorted(len(pool._members) for pool in pools) == [0, 0, 0, 0, 1]
            await setup.emulator.approve(sign_in.user_code)
            await asyncio.gather(*(pool.result(sign_in.id) for pool in pools))
        assert setup.polls().count(201) == 1


async def test_flows_of_a_killed_process_are_taken_up_without_the_program():
    async with emulated() as setup:
        sign_in = await setup.submit_and_kill("ada")
        async with setup.pool() as pool:
            await setup.clock.sleep(LEASE - 5)
            assert len(pool._members) == 0
            await setup.clock.sleep(25)
            assert sign_in.id in pool._members.running
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)


async def test_user_who_starts_again_after_a_kill_gets_the_same_code_and_is_polled_at_once():
    async with emulated(auto=False) as setup:
        first = await setup.submit_and_kill("ada")
        async with setup.pool() as pool:
            assert (await pool.submit("ada")).user_code == first.user_code
            assert len(pool._members) == 0, "its lease has not ended"
            setup.clock.advance(LEASE + 1)
            assert (await pool.submit("ada")).user_code == first.user_code
            assert first.id in pool._members.running
        assert setup.codes() == 1


async def test_user_whose_code_has_expired_meanwhile_gets_another_one():
    async with emulated(auto=False) as setup:
        first = await setup.submit_and_kill("ada")
        setup.flows.fail("list_due", skip=1)
        async with setup.pool() as pool:
            setup.clock.advance(3600)
            second = await pool.submit("ada")
            assert second.user_code != first.user_code
            assert (await setup.flows.load(first.id)).state == "expired"


async def test_no_poll_is_early_when_a_flow_changes_its_process():
    async with emulated() as setup:
        async with setup.pool() as pool:
            await pool.submit("ada")
            await setup.clock.sleep(13)
        for _ in range(3):
            async with setup.pool():
                await setup.clock.sleep(13)
        assert len(setup.polls()) > 5
        assert min(setup.emulator.requests.poll_gaps()) >= 5
        assert set(setup.polls()) == {400}


@pytest.mark.parametrize("fault", ["slow_down", "html"])
async def test_what_was_learned_about_the_server_is_carried_over(fault):
    async with emulated() as setup:
        async with setup.pool() as pool:
            if fault == "slow_down":
                setup.emulator.faults.on("poll").error("slow_down")
            else:
                setup.emulator.faults.on("poll").html(502)
            sign_in = await pool.submit("ada")
            while "save" not in setup.flows.calls:
                await asyncio.sleep(0)
            await run_turns(3)
        stored = (await setup.flows.load(sign_in.id)).authorization
        assert (stored.interval, stored.answer_lost) == ((10, False) if fault == "slow_down" else (5, True))
        async with setup.pool() as pool:
            while not len(pool._members):
                await asyncio.sleep(0)
            life = pool._members.running[sign_in.id].life
            assert life.flow.authorization.interval == stored.interval


@pytest.mark.parametrize("change", [{"scopes": ["openid", "profile"]}, {"audiences": ["a"]}, {"client_sid": "OQ2"}])
async def test_flow_of_another_program_is_never_taken_up(change):
    async with emulated() as setup:
        [sign_in] = await submit(setup, 1)
        setup.flows.calls.clear()
        async with another_pool(setup, **change) as other:
            await setup.clock.sleep(40)
            assert len(other._members) == 0
            assert setup.flows.calls.count("list_due") >= 3, "it has looked"
            assert "lease" not in setup.flows.calls
        async with setup.pool() as pool:
            await setup.clock.sleep(1)
            assert sign_in.id in pool._members.running


async def test_flows_in_memory_are_those_of_one_pool_and_outlive_its_closing():
    async with emulated() as setup:
        pool = setup.pool(flows=None)
        async with pool, setup.pool(flows=None) as other:
            sign_in = await pool.submit("ada")
            assert await other.find(sign_in.id) is None
            assert (await other.submit("ada")).id != sign_in.id
        async with pool:
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        assert setup.flows.calls == []


async def test_flow_of_another_server_is_never_taken_up():
    async with emulated() as setup, emulated() as elsewhere:
        [sign_in] = await submit(setup, 1)
        pool = DeviceFlowPool(elsewhere.flow, tokens=setup.tokens, flows=setup.flows)
        async with pool:
            await elsewhere.clock.sleep(40)
            assert len(pool._members) == 0
        assert [flow.id for flow in await setup.due()] == [sign_in.id]


async def test_flows_of_another_program_do_not_hide_our_own(monkeypatch):
    monkeypatch.setattr(upkeep, "MAX_LISTED", 3)
    async with emulated() as setup:
        async with another_pool(setup, scopes=["openid", "profile"]) as other:
            for number in range(10):
                await other.submit(f"another {number}")
        await submit(setup, 2)
        async with setup.pool() as pool:
            await setup.clock.sleep(1)
            assert len(pool._members) == 2


async def test_more_flows_than_one_step_takes_up_are_all_taken_up(monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 3)
    monkeypatch.setattr(upkeep, "MAX_LISTED", 5)
    async with emulated() as setup:
        await submit(setup, 17)
        async with setup.pool() as pool:
            await setup.clock.sleep(1)
            assert len(pool._members) == 17


async def test_limit_of_flows_is_kept():
    async with emulated() as setup:
        await submit(setup, 7)
        async with setup.pool(max_flows=3) as pool, setup.pool(max_flows=3) as other:
            await setup.clock.sleep(1)
            assert (len(pool._members), len(other._members)) == (3, 3)
            assert len(await setup.due()) == 1


async def test_processes_that_start_together_share_the_flows():
    async with emulated() as setup:
        await submit(setup, 1000)
        setup.flows.slow_down("list_due", "lease")
        async with setup.pool() as pool, setup.pool() as other:
            while len(pool._members) + len(other._members) < 1000:
                await asyncio.sleep(0)
            assert max(len(pool._members), len(other._members)) <= 600


async def test_52_flows_that_are_taken_up_together_are_polled_at_different_times(monkeypatch):
    spreads = iter([0.0, 0.5, 1.0, *[0.0] * 99])
    monkeypatch.setattr(upkeep, "spread", lambda _: next(spreads))
    async with emulated(auto=False) as setup:
        await submit(setup, 3)
        async with setup.pool() as pool:
            while len(pool._members) < 3:
                await asyncio.sleep(0)
            due = [running.life.flow.authorization.next_poll_at for running in pool._members.running.values()]
            waits = sorted((at - setup.clock.now()).total_seconds() for at in due)
            assert waits == pytest.approx([5.05, 5.3, 5.55])


@pytest.mark.parametrize(("part", "seconds"), [(0.0, 40), (1.0, 20)])
async def test_seconds_between_two_looks_for_flows_that_no_process_polls(part, seconds, monkeypatch):
    """Never more than `take_up_every`, never less than half of it."""
    monkeypatch.setattr(upkeep, "spread", lambda _: part)
    async with emulated() as setup:
        async with setup.pool(take_up_every=40):
            times = []
            setup.flows.before("list_due", lambda *_: times.append(setup.clock.monotonic()))
            await setup.clock.sleep(130)
        assert times == pytest.approx([*range(0, 130, seconds)], abs=0.1)


async def test_flow_that_expired_while_no_process_ran_ends_without_a_poll():
    async with emulated() as setup:
        [sign_in] = await submit(setup, 1)
        setup.clock.advance(3600)
        async with setup.pool() as pool:
            with pytest.raises(DeviceFlowError, match="expired"):
                await pool.result(sign_in.id)
        assert setup.polls() == []


async def test_pool_that_closes_takes_up_nothing_more():
    async with emulated() as setup:
        [sign_in] = await submit(setup, 1)
        pool = setup.pool()
        closing = []
        setup.flows.after("lease", lambda *_: closing.append(asyncio.create_task(pool.close())), times=1)
        await pool.open()
        while not closing:
            await asyncio.sleep(0)
        await closing[0]
        await setup.clock.sleep(LEASE + 1)
        assert [flow.id for flow in await setup.due()] == [sign_in.id]
        assert setup.polls() == []


async def test_two_processes_submit_one_user_at_the_same_time():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_ins = await asyncio.gather(pool.submit("ada"), other.submit("ada"))
        assert sign_ins[0].id == sign_ins[1].id == (await other.submit("ada")).id
        await setup.emulator.approve(sign_ins[0].user_code)
        await asyncio.gather(pool.result(sign_ins[0].id), other.result(sign_ins[0].id))
        assert setup.polls().count(201) == 1
