"""A user who submits a sign-in in two processes, and restarts with many flows."""

import asyncio

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlow, DeviceFlowError
from twilio_oauth_async.sign_in.pool import DeviceFlowPool

pytestmark = pytest.mark.asyncio


def polls(setup):
    return [entry.status for entry in setup.emulator.requests.to("poll")]


async def test_another_process_that_submits_the_same_user_gets_the_result_too():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        assert (await other.submit("ada")).id == sign_in.id
        await setup.emulator.approve(sign_in.user_code)
        await asyncio.gather(pool.result(sign_in.id), other.result(sign_in.id))
        assert polls(setup) == [201]


async def test_another_process_that_submits_the_same_user_polls_when_the_first_was_killed():
    async with emulated() as setup:
        first = setup.pool()
        await first.open()
        sign_in = await first.submit("ada")
        for task in list(first._tasks):  # killed: nothing is let go
            task.cancel()
        async with setup.pool() as other:
            assert (await other.submit("ada")).id == sign_in.id
            await setup.emulator.approve(sign_in.user_code)
            await other.result(sign_in.id)
        assert await setup.stored("ada") is not None


async def test_another_process_that_submits_the_same_user_is_told_of_a_cancellation():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await other.submit("ada")
        await pool.cancel(sign_in.id)
        with pytest.raises(DeviceFlowError, match="another process has cancelled the sign-in"):
            await other.result(sign_in.id)


async def test_a_pool_that_closes_leaves_the_lease_of_another_process_alone():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        async with setup.pool() as other:
            await other.submit("ada")
            before = await setup.flows.load(sign_in.id)
        assert await setup.flows.load(sign_in.id) == before


@pytest.mark.parametrize("is_polled", [True, False])
async def test_a_user_with_a_pending_sign_in_for_other_scopes_is_refused_only_while_it_is_polled(is_polled):
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            options = {"client_sid": setup.flow.client_sid, "client_secret": "s", "scopes": ["openid", "profile"]}
            another = DeviceFlow(setup.session, **options)
            if is_polled:
                async with DeviceFlowPool(another, tokens=setup.tokens, flows=setup.flows) as second:
                    with pytest.raises(DeviceFlowError, match="other scopes"):
                        await second.submit("ada")
                return
        async with DeviceFlowPool(another, tokens=setup.tokens, flows=setup.flows) as second:
            assert (await second.submit("ada")).id != sign_in.id


async def test_more_flows_than_one_step_takes_up_are_all_taken_up(monkeypatch):
    for module in ("one_flow", "pool"):
        monkeypatch.setattr(f"twilio_oauth_async.sign_in.{module}.MAX_TAKEN_UP", 3)
    async with emulated() as setup:
        async with setup.pool() as pool:
            for number in range(7):
                await pool.submit(f"user {number}")
        async with setup.pool() as pool:
            assert len(pool._running) == 7


async def test_a_user_whose_token_for_other_scopes_was_never_saved_can_sign_in():
    """The other program was killed after it had received the token, and its lease has run out."""
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        assert await setup.flows.grant(sign_in.id, "killed")
        options = {"client_sid": setup.flow.client_sid, "client_secret": "s", "scopes": ["openid", "profile"]}
        another = DeviceFlow(setup.session, **options)
        async with DeviceFlowPool(another, tokens=setup.tokens, flows=setup.flows) as second:
            assert (await second.submit("ada")).id != sign_in.id
