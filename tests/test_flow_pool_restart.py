"""Pending sign-ins outlive a process, and exactly one process takes each of them up."""

import asyncio
from datetime import timedelta

import attrs
import pytest
from support.pool import Pooled

from twilio_oauth_async import DeviceFlowError, StoreError
from twilio_oauth_async import flow_pool as module

pytestmark = pytest.mark.asyncio


async def test_a_restart_between_the_code_and_the_approval():
    async with Pooled() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        async with setup.pool() as pool:
            assert (await pool.submit("ada")).id == sign_in.id
            await pool.result(sign_in.id)
        assert await setup.tokens.load("ada") is not None


async def test_those_who_wait_are_let_go_when_the_pool_closes():
    async with Pooled() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            waiting = asyncio.create_task(pool.result(sign_in.id))
            await asyncio.sleep(0)
        with pytest.raises(DeviceFlowError, match="pool was closed"):
            await waiting
        assert await setup.flows.load(sign_in.id) is not None


async def test_what_was_learned_is_carried_over():
    async with Pooled() as setup:
        async with setup.pool() as pool:
            setup.emulator.faults.on("poll").error("slow_down")
            sign_in = await pool.submit("ada")
            while not [entry for entry in setup.emulator.requests if entry.path == "/v1/token"]:
                await asyncio.sleep(0)
            while (await setup.flows.load(sign_in.id)).authorization.interval == 5:
                await asyncio.sleep(0)
        assert (await setup.flows.load(sign_in.id)).authorization.interval == 10


async def test_exactly_one_of_many_takes_a_flow_up():
    async with Pooled() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        pools = [setup.pool() for _ in range(5)]
        taken = await asyncio.gather(*(pool.take_up() for pool in pools))
        assert sorted(taken) == [0, 0, 0, 0, 1]
        await setup.emulator.approve(sign_in.user_code)
        await pools[taken.index(1)].result(sign_in.id)
        polls = [entry for entry in setup.emulator.requests if entry.path == "/v1/token"]
        assert [entry.status for entry in polls].count(201) == 1


async def test_a_flow_whose_process_lives_is_left_alone():
    async with Pooled() as setup, setup.pool() as pool:
        await pool.submit("ada")
        async with setup.pool() as other:
            assert await other.take_up() == 0


async def test_a_killed_process_s_flows_are_taken_up_when_its_claim_has_run_out():
    async with Pooled(auto=False) as setup:
        pool = setup.pool()
        await pool.__aenter__()
        sign_in = await pool.submit("ada")
        for task in pool._tasks:
            task.cancel()  # killed: nothing is let go
        await asyncio.sleep(0)
        async with setup.pool() as other:
            assert await other.take_up() == 0
            setup.clock.advance(module.CLAIM + 6)
            assert await other.take_up() == 1
            await setup.emulator.approve(sign_in.user_code)
            setup.clock.auto = True
            await other.result(sign_in.id)


async def test_the_token_store_is_looked_into_first():
    async with Pooled() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            flow = await setup.flows.load(sign_in.id)
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        token = await setup.tokens.load("ada")
        # Killed after the token was saved and before the flow was deleted.
        await setup.flows.save(attrs.evolve(flow, owner=None, claimed_until=None))
        async with setup.pool() as pool:
            await pool.result(sign_in.id)
        assert await setup.tokens.load("ada") == token
        assert [entry.status for entry in setup.emulator.requests if entry.path == "/v1/token"].count(201) == 1
        assert await setup.flows.load(sign_in.id) is None


async def test_an_older_token_of_the_user_is_not_taken_for_this_one():
    async with Pooled() as setup:
        for expected in (1, 2):
            async with setup.pool() as pool:
                sign_in = await pool.submit("ada")
            async with setup.pool() as pool:
                await setup.emulator.approve(sign_in.user_code)
                await pool.result(sign_in.id)
            assert (await setup.tokens.load("ada")).generation == expected


async def test_one_that_expired_while_nobody_ran_is_cleared_away():
    async with Pooled() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.clock.advance(3600)
        async with setup.pool() as pool:
            with pytest.raises(DeviceFlowError, match="expired"):
                await pool.result(sign_in.id)
        assert await setup.flows.load(sign_in.id) is None


async def test_a_flow_that_was_taken_over_is_not_touched_any_more():
    async with Pooled() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        flow = await setup.flows.load(sign_in.id)
        await setup.flows.delete(sign_in.id)
        theirs = attrs.evolve(flow, owner="other", claimed_until=setup.clock.now() + timedelta(hours=1))
        await setup.flows.save(theirs)
        with pytest.raises(DeviceFlowError, match="taken this sign-in over"):
            await pool.result(sign_in.id)
        assert await setup.flows.load(sign_in.id) == theirs


async def test_another_process_s_sign_in_can_be_found_and_cancelled():
    async with Pooled() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        other = setup.pool()
        assert await other.find(sign_in.id) == await pool.find(sign_in.id) == sign_in
        assert await other.find("unknown") is None
        await other.cancel(sign_in.id)
        with pytest.raises(DeviceFlowError):
            await pool.result(sign_in.id)
        assert (await pool.find(sign_in.id)).state == "failed"
        assert await setup.tokens.load("ada") is None


async def test_a_granted_token_is_saved_although_the_pool_closes():
    async with Pooled() as setup:
        save, reached, go_on = setup.tokens.save, asyncio.Event(), asyncio.Event()

        async def slow(key, stored):
            reached.set()
            await go_on.wait()
            await save(key, stored)

        setup.tokens.save = slow
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await setup.emulator.approve(sign_in.user_code)
            await reached.wait()
            asyncio.get_running_loop().call_soon(go_on.set)
        assert await setup.tokens.load("ada") is not None
        assert await setup.flows.load(sign_in.id) is None


async def test_a_flow_store_that_is_down_for_a_moment_ends_nothing(caplog):
    async with Pooled() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        claim = setup.flows.claim

        async def down(*_):
            setup.flows.claim = claim
            raise StoreError("down")

        setup.flows.claim = down
        await setup.clock.sleep(6)
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
    assert "could not be stored" in caplog.text
