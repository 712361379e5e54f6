"""Pending sign-ins outlive a process, and exactly one process takes each of them up."""

import asyncio
from contextlib import AsyncExitStack

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
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio


async def test_a_restart_between_the_code_and_the_approval():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        async with setup.pool() as pool:
            assert (await pool.submit("ada")).id == sign_in.id
            await pool.result(sign_in.id)
        assert await setup.stored("ada") is not None


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
        setup.flows.slow_down("list_due", "lease")
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
        setup.flows.slow_down("list_due", "lease")
        assert sorted(await asyncio.gather(pool.take_up(), pool.take_up())) == [[], [sign_in]]


async def test_a_flow_whose_process_lives_is_left_alone():
    async with emulated() as setup, setup.pool() as pool:
        await pool.submit("ada")
        async with setup.pool() as other:
            assert await other.take_up() == []


async def test_a_killed_process_s_flows_are_taken_up_when_its_lease_has_run_out():
    async with emulated(auto=False) as setup:
        sign_in = await setup.submit_and_kill("ada")
        async with setup.pool() as other:
            assert await other.take_up() == []
            setup.clock.advance(LEASE + 6)
            assert await other.take_up() == [sign_in]
            await setup.emulator.approve(sign_in.user_code)
            setup.clock.auto = True
            await other.result(sign_in.id)


async def test_who_begins_again_after_a_kill_gets_the_same_code():
    async with emulated(auto=False) as setup:
        first = await setup.submit_and_kill("ada")
        async with setup.pool() as pool:
            setup.clock.advance(1)
            assert await pool.submit("ada") == first, "its process may live: it has the lease"
            assert await pool.take_up() == []
            setup.clock.advance(LEASE + 6)
            assert await pool.submit("ada") == first, "taken up"
            assert await pool.take_up() == []
            await setup.emulator.approve(first.user_code)
            setup.clock.auto = True
            setup.clock.advance(6)
            await pool.result(first.id)
        assert len([entry for entry in setup.emulator.requests if entry.path == "/v1/device/code"]) == 1


async def test_who_begins_again_while_another_process_polls_gets_the_same_code():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_ins = await asyncio.gather(pool.submit("ada"), other.submit("ada"))
        assert sign_ins[0] == sign_ins[1] == await pool.submit("ada") == await other.submit("ada")
        await setup.emulator.approve(sign_ins[0].user_code)
        while await setup.flows.load(sign_ins[0].id) is not None:
            await asyncio.sleep(0)
        assert await setup.stored("ada") is not None
        assert [entry.status for entry in setup.emulator.requests.to("poll")].count(201) == 1


async def test_who_begins_again_after_the_code_of_a_killed_process_has_expired_gets_another():
    async with emulated(auto=False) as setup:
        first = await setup.submit_and_kill("ada")
        async with setup.pool() as pool:
            setup.clock.advance(3600)
            second = await pool.submit("ada")
            assert second.user_code != first.user_code
            assert await setup.flows.load(first.id) is None
            await setup.emulator.approve(second.user_code)
            setup.clock.auto = True
            setup.clock.advance(6)
            await pool.result(second.id)


async def test_of_two_sign_ins_of_one_user_the_first_that_is_approved_counts():
    """The store has lost the first one, and another process has begun the second one."""
    async with emulated(auto=False) as setup, setup.pool() as pool:
        first, second = await setup.submit_twice(pool, "ada")
        assert await pool.submit("ada") == second, "whoever joins is shown the code that lives longer"
        await setup.emulator.approve(second.user_code)
        setup.clock.auto = True
        setup.clock.advance(6)
        await pool.result(second.id)
        with pytest.raises(DeviceFlowError, match="another sign-in of the same user was approved"):
            await pool.result(first.id)
        assert (await pool.find(first.id)).state == "cancelled"
        assert (await setup.stored("ada")).generation == 1
        while setup.flows.inner._flows:
            await asyncio.sleep(0)


async def test_a_machine_that_was_suspended_takes_up_nothing_of_its_own():
    async with emulated(auto=False) as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.clock.suspend(LEASE + 6)
        assert await setup.due() != []
        assert await pool.take_up() == []
        await setup.emulator.approve(sign_in.user_code)
        setup.clock.auto = True
        setup.clock.advance(6)
        await pool.result(sign_in.id)


async def test_nor_what_ends_while_its_store_is_looked_at():
    """The lease has run out meanwhile, so that the flow is found there."""
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
        setup.flows.after("lease", lambda *_: pool.close(), times=1)
        assert await pool.open() == []
        assert [flow.id for flow in await setup.due()] == [sign_in.id]


async def test_the_token_store_is_looked_into_first():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            flow = await setup.flows.load(sign_in.id)
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        token = await setup.stored("ada")
        # Killed after the token was saved and before the flow was deleted.
        await setup.flows.create(attrs.evolve(flow, owner=None), owner="killed", seconds=LEASE)
        assert await setup.flows.grant(flow.id, "killed")
        await setup.flows.release([flow.id], "killed")
        async with setup.pool() as pool:
            await pool.result(sign_in.id)
        assert await setup.stored("ada") == token
        assert [entry.status for entry in setup.emulator.requests if entry.path == "/v1/token"].count(201) == 1
        assert await setup.flows.load(sign_in.id) is None


async def test_an_older_token_of_the_user_is_not_taken_for_this_one():
    async with emulated() as setup:
        for _ in range(2):
            async with setup.pool() as pool:
                sign_in = await pool.submit("ada")
                flow = await setup.flows.load(sign_in.id)
            async with setup.pool() as pool:
                await setup.emulator.approve(sign_in.user_code)
                await pool.result(sign_in.id)
            stored = await setup.stored("ada")
            assert (stored.epoch, stored.generation) == (epoch_of(flow.authorization.device_code), 1)


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
        await setup.take_over(sign_in.id)
        theirs = await setup.flows.load(sign_in.id)
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
        assert await setup.stored("ada") is None


async def test_a_pool_that_closes_says_nothing_of_what_another_process_cancelled(caplog):
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await setup.pool().cancel(sign_in.id)
        assert await setup.flows.load(sign_in.id) is None, "no save creates a deleted flow again"
    assert caplog.text == ""


async def test_a_flow_that_is_cancelled_while_its_state_is_stored_is_over():
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("poll").error("slow_down")
        sign_in = await pool.submit("ada")
        setup.flows.before("save", lambda flow: setup.pool().cancel(flow.id))
        with pytest.raises(DeviceFlowError, match="another process has cancelled the sign-in"):
            await pool.result(sign_in.id)
        assert await setup.flows.load(sign_in.id) is None


async def test_a_code_that_is_approved_after_another_process_cancelled_it_signs_nobody_in():
    """Fault 48 (docs/reliability.md): the cancellation and the poll that brings the token cross."""
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.flows.before("grant", lambda id_, _: setup.pool().cancel(id_))
        with pytest.raises(DeviceFlowError, match="another process has cancelled the sign-in"):
            await pool.result(sign_in.id)
        assert (await pool.find(sign_in.id)).state == "cancelled"
        assert await setup.stored("ada") is None
        [poll] = setup.emulator.requests.to("poll")
        assert poll.status == 201
        [revocation] = [entry for entry in setup.emulator.requests if "revoke" in entry.path]
        assert revocation.status == 200


async def test_a_cancelled_token_that_cannot_be_revoked_is_not_stored_either(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.emulator.faults.on("revoke").respond(503)
        setup.flows.before("grant", lambda id_, _: setup.pool().cancel(id_))
        with pytest.raises(DeviceFlowError, match="another process has cancelled the sign-in"):
            await pool.result(sign_in.id)
        assert await setup.stored("ada") is None
    assert "could not revoke the token of a cancelled sign-in" in caplog.text


async def test_a_granted_token_is_saved_although_the_pool_closes():
    async with emulated() as setup:
        saving = setup.tokens.pause("save")
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await setup.emulator.approve(sign_in.user_code)
            await saving.reached.wait()
            asyncio.get_running_loop().call_soon(saving.resume)
        assert await setup.stored("ada") is not None
        assert await setup.flows.load(sign_in.id) is None
