"""A user who has a sign-in for other scopes, of another program on the same stores, starts one with ours."""

import asyncio

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlowError, Token
from twilio_oauth_async.sign_in.flow_life import GRANTED_GRACE, LEASE
from twilio_oauth_async.sign_in.submissions import OTHER_SCOPES
from twilio_oauth_async.tokens.saving import save_sign_in

pytestmark = pytest.mark.asyncio


def other_pool(setup):
    """Return a pool of a program that asks for more scopes."""
    return setup.pool(flow=setup.device_flow(scopes=["openid", "profile"]))


async def granted_and_killed(setup):
    """Start a sign-in whose process is killed after it has recorded that it received the token; return the flow."""
    sign_in = await setup.submit_and_kill("ada")
    flow = await setup.flows.load(sign_in.id)
    assert await setup.flows.grant(sign_in.id, flow.owner)
    return flow


async def test_is_refused_while_it_is_polled():
    async with emulated() as setup, setup.pool() as pool, other_pool(setup) as other:
        sign_in = await pool.submit("ada")
        with pytest.raises(DeviceFlowError, match=OTHER_SCOPES):
            await other.submit("ada")
        assert (await pool.find(sign_in.id)).state == "pending"


async def test_pending_one_that_no_process_polls_is_cancelled():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        async with other_pool(setup) as other:
            assert (await other.submit("ada")).id != sign_in.id
            assert (await setup.flows.load(sign_in.id)).state == "cancelled"


async def test_one_whose_token_may_still_be_saved_is_waited_for_and_then_ends_as_failed():
    async with emulated() as setup:
        flow = await granted_and_killed(setup)
        async with other_pool(setup) as other:
            await setup.clock.sleep(LEASE + 1)
            with pytest.raises(DeviceFlowError, match=OTHER_SCOPES):
                await other.submit("ada")
            await setup.clock.sleep(GRANTED_GRACE)
            assert (await other.submit("ada")).id != flow.id
            ended = await setup.flows.load(flow.id)
            assert (ended.state, ended.problem) == (
                "failed",
                "the process that received the token ended before the token was saved",
            )


async def test_one_whose_token_is_saved_ends_as_approved():
    async with emulated() as setup:
        flow = await granted_and_killed(setup)
        await save_sign_in(
            setup.tokens, setup.flow, "ada", Token(access_token="t"), epoch=flow.epoch, signed_in_at=setup.clock.now()
        )
        async with other_pool(setup) as other:
            assert (await other.submit("ada")).id != flow.id
            assert (await setup.flows.load(flow.id)).state == "approved"


async def test_two_programs_submit_at_the_same_time_and_neither_gets_the_code_of_the_other():
    async with emulated() as setup, setup.pool() as pool, other_pool(setup) as other:
        outcomes = await asyncio.gather(pool.submit("ada"), other.submit("ada"), return_exceptions=True)
        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DeviceFlowError", "SignIn"]
        [sign_in] = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        await setup.emulator.approve(sign_in.user_code)
        await (pool if sign_in.scopes == ("openid",) else other).result(sign_in.id)
        assert setup.polls().count(201) == 1


async def test_one_that_ends_meanwhile_keeps_that_end():
    async with emulated() as setup:
        flow = await granted_and_killed(setup)
        await setup.clock.sleep(LEASE + GRANTED_GRACE + 1)
        setup.flows.before("end", lambda *_: setup.flows.inner.end(flow.id, "approved"), times=1)
        async with other_pool(setup) as other:
            assert (await other.submit("ada")).id != flow.id
        assert (await setup.flows.load(flow.id)).state == "approved"
