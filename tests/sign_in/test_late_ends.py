"""Faults at the end of a sign-in that another process polls: late tokens, lost flows, and pools that close."""

import asyncio

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlowError
from twilio_oauth_async.sign_in.submissions import LAST_POLL

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("is_other", [False, True], ids=["same process", "other process"])
async def test_51_55_token_that_arrives_after_expiry_counts_although_the_user_submits_again(is_other):
    async with emulated(expires_in=12) as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.clock.sleep(9)
        await setup.emulator.approve(sign_in.user_code)
        exchange, asked, may_arrive = setup.session.exchange, asyncio.Event(), asyncio.Event()

        async def hold(request, parse, **options):
            response = await exchange(request, parse, **options)
            asked.set()
            await may_arrive.wait()
            return response

        setup.session.exchange = hold
        await asked.wait()
        setup.session.exchange = exchange
        setup.clock.advance(5)
        submitting = asyncio.create_task((other if is_other else pool).submit("ada"))
        await run_turns(20)
        assert not submitting.done()
        may_arrive.set()
        await pool.result(sign_in.id)
        assert await setup.stored("ada") is not None
        assert (await submitting).id != sign_in.id


async def test_result_of_a_flow_that_the_store_has_lost_does_not_say_that_the_pool_was_closed():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        waiting = asyncio.create_task(other.result(sign_in.id))
        await run_turns(10)
        await setup.flows.inner.delete(sign_in.id)
        with pytest.raises(DeviceFlowError) as caught:
            await waiting
        assert "pool was closed" not in str(caught.value)


async def test_cancel_that_waits_for_the_end_does_not_return_as_if_it_had_come_when_the_pool_closes():
    async with emulated() as setup, setup.pool() as pool:
        saving = setup.tokens.pause("save")
        async with setup.pool() as other:
            sign_in = await pool.submit("ada")
            await setup.emulator.approve(sign_in.user_code)
            await saving.reached.wait()
            cancelling = asyncio.create_task(other.cancel(sign_in.id))
            await run_turns(10)
        saving.resume()
        with pytest.raises(DeviceFlowError):
            await cancelling


async def test_error_of_a_denied_sign_in_has_the_same_code_in_each_process():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        waiting = [asyncio.create_task(each.result(sign_in.id)) for each in (pool, other)]
        await run_turns(10)
        await setup.emulator.deny(sign_in.user_code)
        here, elsewhere = await asyncio.gather(*waiting, return_exceptions=True)
        assert (here.error, here.status) == (elsewhere.error, elsewhere.status) == ("access_denied", 400)
        assert str(here) == str(elsewhere)


async def test_expired_sign_in_whose_process_hangs_is_ended_after_a_while():
    """The process has a lease, and does nothing: it is stopped in a debugger, or its machine is suspended."""
    async with emulated(expires_in=12) as setup:
        sign_in = await setup.submit_and_kill("ada")
        await setup.take_over(sign_in.id, seconds=3600)
        async with setup.pool() as pool:
            await setup.clock.sleep(13)
            assert (await pool.submit("ada")).id != sign_in.id
            assert 12 + LAST_POLL <= setup.clock.monotonic() < 12 + LAST_POLL + 2
            assert (await setup.flows.load(sign_in.id)).state == "expired"


async def test_sign_in_that_expired_long_ago_is_ended_at_once_although_its_process_hangs():
    async with emulated(expires_in=12) as setup:
        sign_in = await setup.submit_and_kill("ada")
        await setup.take_over(sign_in.id, seconds=3600)
        async with setup.pool() as pool:
            await setup.clock.sleep(12 + LAST_POLL + 1)
            started = setup.clock.monotonic()
            assert (await pool.submit("ada")).id != sign_in.id
            assert setup.clock.monotonic() == started
