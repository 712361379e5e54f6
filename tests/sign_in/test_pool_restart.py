"""Pending sign-ins outlive a process, and exactly one process takes each of them up."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import attrs
import pytest

from tests.helpers.faulty_store import Pause
from tests.helpers.world import emulated
from twilio_oauth_async import (
    ConfigurationError,
    DeviceCodeExpiredError,
    DeviceFlowError,
)
from twilio_oauth_async.sign_in.one_flow import LEASE

pytestmark = pytest.mark.asyncio


async def test_a_restart_between_the_code_and_the_approval():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        async with setup.pool() as pool:
            assert (await pool.submit("ada")).id == sign_in.id
            await pool.result(sign_in.id)
        assert await setup.tokens.load("ada") is not None


async def test_those_who_wait_are_let_go_when_the_pool_closes():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            waiting = asyncio.create_task(pool.result(sign_in.id))
            await asyncio.sleep(0)
        with pytest.raises(DeviceFlowError, match="pool was closed"):
            await waiting
        assert await setup.flows.load(sign_in.id) is not None


async def test_what_was_learned_is_carried_over():
    async with emulated() as setup:
        async with setup.pool() as pool:
            setup.emulator.faults.on("poll").error("slow_down")
            sign_in = await pool.submit("ada")
            while not [entry for entry in setup.emulator.requests if entry.path == "/v1/token"]:
                await asyncio.sleep(0)
            while (await setup.flows.load(sign_in.id)).authorization.interval == 5:
                await asyncio.sleep(0)
        assert (await setup.flows.load(sign_in.id)).authorization.interval == 10


async def test_exactly_one_of_many_takes_a_flow_up():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.flows.slow_down("list_due", "claim")
        async with AsyncExitStack() as stack:
            pools = [setup.pool() for _ in range(5)]
            for pool in pools:
                stack.push_async_callback(pool.close)
            taken = await asyncio.gather(*(pool.open() for pool in pools))
            assert sorted(taken, key=len) == [[], [], [], [], [sign_in]]
            await setup.emulator.approve(sign_in.user_code)
            await pools[taken.index([sign_in])].result(sign_in.id)
        polls = [entry for entry in setup.emulator.requests if entry.path == "/v1/token"]
        assert [entry.status for entry in polls].count(201) == 1


async def test_two_looks_at_once_take_a_flow_up_once():
    async with emulated() as setup, setup.pool() as pool:
        async with setup.pool() as other:
            sign_in = await other.submit("ada")
        setup.flows.slow_down("list_due", "claim")
        assert sorted(await asyncio.gather(pool.take_up(), pool.take_up())) == [[], [sign_in]]


async def test_a_flow_whose_process_lives_is_left_alone():
    async with emulated() as setup, setup.pool() as pool:
        await pool.submit("ada")
        async with setup.pool() as other:
            assert await other.take_up() == []


async def test_a_killed_process_s_flows_are_taken_up_when_its_claim_has_run_out():
    async with emulated(auto=False) as setup:
        sign_in = await setup.submit_and_kill("ada")
        async with setup.pool() as other:
            assert await other.take_up() == []
            setup.clock.advance(LEASE + 6)
            assert await other.take_up() == [sign_in]
            await setup.emulator.approve(sign_in.user_code)
            setup.clock.auto = True
            await other.result(sign_in.id)


@pytest.mark.parametrize("approved", [0, 1])
async def test_who_began_again_after_a_kill_may_approve_either_code(approved):
    async with emulated(auto=False) as setup:
        first = await setup.submit_and_kill("ada")
        async with setup.pool() as pool:
            setup.clock.advance(1)
            second = await pool.submit("ada")
            setup.clock.advance(LEASE + 6)
            assert await pool.take_up() == [first]
            assert await pool.submit("ada") == second, "whoever joins is shown the code that lives longer"
            both = [first, second]
            await setup.emulator.approve(both[approved].user_code)
            setup.clock.auto = True
            await pool.result(both[approved].id)
            with pytest.raises(DeviceFlowError, match="another sign-in of the same user was approved"):
                await pool.result(both[1 - approved].id)
            assert (await pool.find(both[1 - approved].id)).state == "cancelled"
            assert (await setup.tokens.load("ada")).generation == 1
            while setup.flows.inner._flows:
                await asyncio.sleep(0)


async def test_a_machine_that_was_suspended_takes_up_nothing_of_its_own():
    async with emulated(auto=False) as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.clock.advance(LEASE + 6)
        assert await setup.flows.list_due() != []
        assert await pool.take_up() == []
        await setup.emulator.approve(sign_in.user_code)
        setup.clock.auto = True
        await pool.result(sign_in.id)


async def test_nor_what_ends_while_its_store_is_looked_at():
    """The claim has run out meanwhile, so that the flow is found there."""
    async with emulated(auto=False) as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        looking = Pause()
        setup.flows.after("list_due", looking)
        setup.flows.before("delete", lambda _: looking.reached.wait())
        setup.clock.advance(3600)
        taking_up = asyncio.create_task(pool.take_up())
        with pytest.raises(DeviceCodeExpiredError):
            await pool.result(sign_in.id)
        looking.resume()
        assert await taking_up == []
        assert (await pool.find(sign_in.id)).state == "expired"


async def test_a_pool_that_closes_takes_up_nothing_more():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        pool = setup.pool()
        setup.flows.after("claim", lambda *_: pool.close(), times=1)
        assert await pool.open() == []
        assert [flow.id for flow in await setup.flows.list_due()] == [sign_in.id]


async def test_the_token_store_is_looked_into_first():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            flow = await setup.flows.load(sign_in.id)
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        token = await setup.tokens.load("ada")
        # Killed after the token was saved and before the flow was deleted.
        await setup.flows.save(attrs.evolve(flow, generation_before=0, owner=None, claimed_until=None))
        async with setup.pool() as pool:
            await pool.result(sign_in.id)
        assert await setup.tokens.load("ada") == token
        assert [entry.status for entry in setup.emulator.requests if entry.path == "/v1/token"].count(201) == 1
        assert await setup.flows.load(sign_in.id) is None


async def test_an_older_token_of_the_user_is_not_taken_for_this_one():
    async with emulated() as setup:
        for expected in (1, 2):
            async with setup.pool() as pool:
                sign_in = await pool.submit("ada")
            async with setup.pool() as pool:
                await setup.emulator.approve(sign_in.user_code)
                await pool.result(sign_in.id)
            assert (await setup.tokens.load("ada")).generation == expected


async def test_one_that_expired_while_nobody_ran_is_cleared_away():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.clock.advance(3600)
        async with setup.pool() as pool:
            with pytest.raises(DeviceFlowError, match="expired"):
                await pool.result(sign_in.id)
        assert await setup.flows.load(sign_in.id) is None


async def test_a_flow_that_was_taken_over_is_not_touched_any_more():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        flow = await setup.flows.load(sign_in.id)
        await setup.flows.delete(sign_in.id)
        theirs = attrs.evolve(flow, owner="other", claimed_until=setup.clock.now() + timedelta(hours=1))
        await setup.flows.save(theirs)
        with pytest.raises(DeviceFlowError, match="another process has taken the sign-in over"):
            await pool.result(sign_in.id)
        assert await setup.flows.load(sign_in.id) == theirs
        assert await pool.find(sign_in.id) == sign_in
        with pytest.raises(ConfigurationError):
            await pool.result(sign_in.id)


async def test_one_that_another_process_brought_to_its_end_is_not_told_as_what_it_may_not_be():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.flows.delete(sign_in.id)
        with pytest.raises(DeviceFlowError, match="another process has cancelled the sign-in, or finished it"):
            await pool.result(sign_in.id)
        assert (await pool.find(sign_in.id)).state == "cancelled"


async def test_another_process_s_sign_in_can_be_found_and_cancelled():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        other = setup.pool()
        assert await other.find(sign_in.id) == await pool.find(sign_in.id) == sign_in
        assert await other.find("unknown") is None
        await other.cancel(sign_in.id)
        with pytest.raises(DeviceFlowError):
            await pool.result(sign_in.id)
        assert (await pool.find(sign_in.id)).state == "cancelled"
        assert await setup.tokens.load("ada") is None


async def test_a_granted_token_is_saved_although_the_pool_closes():
    async with emulated() as setup:
        saving = setup.tokens.pause("save")
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await setup.emulator.approve(sign_in.user_code)
            await saving.reached.wait()
            asyncio.get_running_loop().call_soon(saving.resume)
        assert await setup.tokens.load("ada") is not None
        assert await setup.flows.load(sign_in.id) is None
