"""A pool whose stores fail: no token is lost, nothing is ended by a moment, and what does not pass is told."""

import asyncio

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import ConfigurationError, DeviceFlowError, StoreError
from twilio_oauth_async.sign_in.one_flow import LEASE, SAVING

pytestmark = pytest.mark.asyncio


async def test_a_store_that_is_down_for_a_moment_costs_no_token():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.tokens.fail("save", times=3)
        await pool.result(sign_in.id)
        assert await setup.stored("ada") is not None


async def test_a_store_that_stays_down_is_told():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.tokens.fail("save", error=StoreError("disk full"))
        with pytest.raises(StoreError, match="disk full"):
            await pool.result(sign_in.id)


async def test_what_could_not_be_taken_out_of_the_store_is_taken_out_later(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.flows.fail("delete")
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)  # nobody has to sign in again for this
        assert "could not be taken out of the store" in caplog.text
        setup.flows.repair("delete")
        await setup.clock.sleep(SAVING + 6)
        assert await pool.take_up() == []
        assert await setup.flows.load(sign_in.id) is None
        assert (await pool.find(sign_in.id)).state == "approved"


@pytest.mark.parametrize("end", ["approve", "deny"])
async def test_what_could_not_be_taken_out_of_the_store_is_not_joined(end):
    """Its code is used up."""
    async with emulated() as setup, setup.pool() as pool:
        first = await pool.submit("ada")
        setup.flows.fail("delete")
        await getattr(setup.emulator, end)(first.user_code)
        await asyncio.gather(pool.result(first.id), return_exceptions=True)
        with pytest.raises(StoreError):
            await pool.submit("ada")
        setup.flows.repair("delete")
        second = await pool.submit("ada")
        assert second.user_code != first.user_code
        await setup.emulator.approve(second.user_code)
        await pool.result(second.id)


async def test_what_was_taken_up_before_the_store_failed_is_driven():
    async with emulated() as setup:
        async with setup.pool() as pool:
            [first, second] = [await pool.submit(user) for user in ("ada", "bob")]
        setup.flows.fail("lease", skip=1)
        pool = setup.pool()
        assert await pool.open() == [first]
        with pytest.raises(StoreError):
            await pool.take_up()
        setup.flows.repair("lease")
        await setup.emulator.approve(first.user_code)
        await pool.result(first.id)
        assert await pool.take_up() == [second]
        await pool.close()
        setup.flows.fail("lease")
        with pytest.raises(StoreError):
            await pool.open()
        with pytest.raises(ConfigurationError, match="not open"):
            await pool.take_up()


async def test_where_the_store_fails_as_well_nothing_is_called_over(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.take_over(sign_in.id, seconds=LEASE)
        setup.flows.fail("load")
        with pytest.raises(DeviceFlowError, match="another process has taken the sign-in over"):
            await pool.result(sign_in.id)
        setup.flows.repair("load")
        assert await pool.find(sign_in.id) == sign_in
        setup.clock.advance(LEASE + 6)
        assert await pool.take_up() == [sign_in], "its other driver has died"
    assert "is not known: down" in caplog.text


async def test_a_token_store_that_is_down_for_a_moment_ends_nothing_either():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.tokens.fail("load", times=1)
        async with setup.pool() as pool:
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)


async def test_a_flow_store_that_is_down_for_a_moment_ends_nothing(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.flows.fail("lease", times=1)
        await setup.clock.sleep(6)
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
    assert "could not be stored" in caplog.text


async def test_a_flow_store_that_is_down_when_the_token_comes_costs_no_token(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.flows.fail("grant")
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        assert await setup.stored("ada") is not None
    assert "could not record that a sign-in received its token: down" in caplog.text


async def test_what_cannot_be_let_go_waits_for_its_lease_to_run_out(caplog):
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            setup.flows.fail("release")
        setup.flows.repair("release")
        assert "will be when its lease runs out: down" in caplog.text
        async with setup.pool() as pool:
            assert await pool.find(sign_in.id) == sign_in
            assert await pool.take_up() == []
            setup.clock.advance(LEASE + 6)
            assert await pool.take_up() == [sign_in]


async def test_a_second_sign_in_that_cannot_be_taken_out_of_the_store_is_over_all_the_same(caplog):
    async with emulated(auto=False) as setup, setup.pool() as pool:
        first, second = await setup.submit_twice(pool, "ada")
        setup.flows.fail("delete", when=lambda id_: id_ == first.id)
        await setup.emulator.approve(second.user_code)
        setup.clock.auto = True
        await pool.result(second.id)
        with pytest.raises(DeviceFlowError, match="another sign-in"):
            await pool.result(first.id)
    assert "stays in the store: down" in caplog.text


async def test_cancelling_again_where_the_store_failed():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.flows.fail("delete")
        for _ in range(2):
            with pytest.raises(StoreError):
                await pool.cancel(sign_in.id)
        setup.flows.repair("delete")
        await pool.cancel(sign_in.id)
        assert await setup.flows.load(sign_in.id) is None


async def test_the_person_is_not_told_where_files_are():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        setup.tokens.fail("save", error=StoreError("/srv/app/state/tokens.json: No space left on device"))
        await setup.emulator.approve(sign_in.user_code)
        told = [event.problem async for event in pool.events(sign_in.id)]
        assert told == [None, "the sign-in could not be stored", "the sign-in could not be stored"]
        with pytest.raises(StoreError, match="/srv/app"):
            await pool.result(sign_in.id)
