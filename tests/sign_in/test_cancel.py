"""`DeviceFlowPool.cancel`: from any process, and against an approval at the same time (fault 48)."""

import asyncio

import pytest

from tests.helpers.event_loop import collect, run_turns
from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlowError, SignInNotFound, StoreError

pytestmark = pytest.mark.asyncio


async def test_cancelled_sign_in_is_not_polled_any_more():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await pool.cancel(sign_in.id)
        await pool.cancel(sign_in.id)
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await pool.result(sign_in.id)
        await setup.clock.sleep(60)
        assert setup.polls() == []
        assert (await pool.submit("ada")).id != sign_in.id


async def test_cancel_in_another_process_wins_over_a_later_approval():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await other.cancel(sign_in.id)
        await setup.emulator.approve(sign_in.user_code)
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await pool.result(sign_in.id)
        await setup.clock.sleep(60)
        assert await setup.stored("ada") is None
        assert (await other.find(sign_in.id)).state == "cancelled"
        assert (setup.polls(), setup.revocations()) == ([201], [200])


async def test_48_cancel_crosses_the_poll_that_brings_the_token():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.flows.before("grant", lambda id_, _: other.cancel(id_))
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await pool.result(sign_in.id)
        assert "save" not in setup.tokens.calls, "the token is not stored for a moment either"
        assert (setup.polls(), setup.revocations()) == ([201], [200])


async def test_48_cancel_in_the_same_process_while_a_poll_is_under_way():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        exchange, asked, response = setup.session.exchange, asyncio.Event(), asyncio.Event()

        async def slow(request, parse, **options):
            outcome = await exchange(request, parse, **options)
            asked.set()
            await response.wait()
            return outcome

        setup.session.exchange = slow
        await asked.wait()
        setup.session.exchange = exchange
        await pool.cancel(sign_in.id)
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await pool.result(sign_in.id)  # at once, without the response
        response.set()
        while not setup.revocations():
            await asyncio.sleep(0)
        assert await setup.stored("ada") is None


async def test_48_token_of_a_cancelled_sign_in_that_cannot_be_revoked_is_not_stored(caplog):
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.emulator.faults.on("revoke").always().respond(503)
        setup.flows.before("grant", lambda id_, _: other.cancel(id_))
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await pool.result(sign_in.id)
        assert await setup.stored("ada") is None
    assert "could not be revoked" in caplog.text


@pytest.mark.parametrize("is_other", [False, True], ids=["same process", "other process"])
async def test_cancel_after_the_token_has_arrived_is_too_late(is_other):
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        saving = setup.tokens.pause("save")
        await setup.emulator.approve(sign_in.user_code)
        await saving.reached.wait()
        cancelling = asyncio.create_task((other if is_other else pool).cancel(sign_in.id))
        await run_turns(10)
        assert not cancelling.done()
        saving.resume()
        await cancelling
        assert (await pool.find(sign_in.id)).state == "approved"
        assert await setup.stored("ada") is not None


@pytest.mark.parametrize("is_other", [False, True], ids=["same process", "other process"])
@pytest.mark.parametrize(("how", "state"), [("approve", "approved"), ("deny", "denied")])
async def test_cancel_of_a_sign_in_that_has_ended_does_nothing(how, state, is_other):
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await getattr(setup.emulator, how)(sign_in.user_code)
        await asyncio.gather(pool.result(sign_in.id), return_exceptions=True)
        token = await setup.stored("ada")
        await (other if is_other else pool).cancel(sign_in.id)
        assert (await pool.find(sign_in.id)).state == (await other.find(sign_in.id)).state == state
        assert await setup.stored("ada") == token
        assert setup.revocations() == []


async def test_user_whose_sign_in_was_cancelled_in_another_process_gets_a_new_code_at_once():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        first = await pool.submit("ada")
        await other.cancel(first.id)
        assert (await pool.find(first.id)).state == "cancelled"
        second = await pool.submit("ada")
        assert second.user_code != first.user_code
        await other.cancel(second.id)
        assert await pool.find_user("ada") is None


async def test_cancel_while_the_store_is_down():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.flows.fail("end")
        with pytest.raises(StoreError):
            await pool.cancel(sign_in.id)
        assert (await pool.find(sign_in.id)).state == "pending"
        setup.flows.repair("end")
        await pool.cancel(sign_in.id)
        assert (await setup.flows.load(sign_in.id)).state == "cancelled"


async def test_sign_in_that_no_process_polls_is_cancelled_and_its_end_reported():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        ends = []
        setup.flows.fail("list_due", skip=1)
        async with setup.pool(on_end=ends.append) as pool:
            await pool.cancel(sign_in.id)
            while not ends:
                await asyncio.sleep(0)
        assert [(end.id, end.state) for end in ends] == [(sign_in.id, "cancelled")]


async def test_flow_that_is_cancelled_while_its_state_is_saved():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        setup.emulator.faults.on("poll").error("slow_down")
        sign_in = await pool.submit("ada")
        setup.flows.before("save", lambda flow: other.cancel(flow.id), times=1)
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await pool.result(sign_in.id)
        assert (await setup.flows.load(sign_in.id)).state == "cancelled"


async def test_cancel_of_a_sign_in_that_runs_elsewhere_keeps_nothing_in_memory():
    """Later looks at it read the store, which deletes the end after five minutes."""
    async with emulated() as setup:
        sign_in = await setup.submit_and_kill("ada")
        async with setup.pool(on_end=lambda _: None) as pool:
            await pool.cancel(sign_in.id)
            assert (await pool.find(sign_in.id)).state == "cancelled"
            assert pool._members._watches == {}
            await setup.clock.sleep(3600)
            with pytest.raises(SignInNotFound):
                await pool.result(sign_in.id)


async def test_those_who_listen_here_see_the_cancel_of_a_sign_in_that_runs_elsewhere():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        listening = asyncio.create_task(collect(other.events(sign_in.id)))
        await run_turns()
        cancelled_at = setup.clock.monotonic()
        await other.cancel(sign_in.id)
        assert [event.state for event in await listening] == ["pending", "cancelled"]
        assert setup.clock.monotonic() == cancelled_at, "at once, not at the next look"
        await setup.clock.sleep(5)
        assert other._members._watches == {}
