"""Who drives a flow: one process at a time, whatever clocks, kills and other programs do."""

import asyncio
import itertools

import attrs
import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlow, DeviceFlowError, LoginRequired, StoredToken, StoreError, Token
from twilio_oauth_async.sign_in.one_flow import LEASE, SAVING
from twilio_oauth_async.sign_in.pool import DeviceFlowPool
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio


def older_token(setup):
    """Return a token of an earlier sign-in."""
    now = setup.clock.now()
    return StoredToken(token=Token(access_token="older"), epoch="older", signed_in_at=now, obtained_at=now)


def polls(setup):
    return [entry.status for entry in setup.emulator.requests.to("poll")]


async def test_a_lease_counts_from_when_it_is_made():
    """The next poll of a flow that nobody has driven for a while was due long ago."""
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.clock.advance(LEASE + 20)
        async with setup.pool() as pool, setup.pool() as other:
            assert await other.take_up() == []
            flow = await setup.flows.load(sign_in.id)
            assert (flow.leased_until - setup.clock.now()).total_seconds() == pytest.approx(LEASE, abs=6)
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        assert polls(setup) == [201]


async def test_between_the_polls_of_two_processes_lies_an_interval():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await setup.clock.sleep(13)
        async with setup.pool() as pool:
            await setup.clock.sleep(13)
        assert min(setup.emulator.requests.poll_gaps()) >= 5
        assert (await setup.flows.load(sign_in.id)).authorization.interval == 5


async def test_what_a_slow_server_was_found_to_be_is_carried_over():
    async with emulated() as setup:
        async with setup.pool() as pool:
            setup.emulator.faults.on("poll").times(2).html(502)
            sign_in = await pool.submit("ada")
            while (await setup.flows.load(sign_in.id)).authorization.faults < 2:
                await asyncio.sleep(0)
        assert (await setup.flows.load(sign_in.id)).authorization.answer_lost


async def test_what_could_not_be_stored_is_stored_with_the_next_poll():
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("poll").error("slow_down")
        sign_in = await pool.submit("ada")
        setup.flows.fail("save", times=1)
        await setup.clock.sleep(8)
        assert (await setup.flows.load(sign_in.id)).authorization.interval == 5
        await setup.clock.sleep(12)
        assert (await setup.flows.load(sign_in.id)).authorization.interval == 10


async def test_the_lease_is_kept_while_the_token_cannot_be_saved():
    """A second process would exchange the code again, which revokes what the first is about to save."""
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        times = []

        async def check_lease(*_):
            assert await other.take_up() == []
            times.append(setup.clock.monotonic())

        setup.tokens.before("save", check_lease)
        setup.tokens.fail("save", times=5)
        await pool.result(sign_in.id)
        # The pool and, behind it, the manager of the user try to save it.
        assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 32
        assert await setup.stored("ada") is not None
        assert polls(setup) == [201]


async def test_the_refresh_of_an_older_token_is_not_taken_for_an_approval():
    async with emulated() as setup:
        older = older_token(setup)
        await setup.tokens.save(setup.key("ada"), older, replaces=None)
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        await setup.tokens.save(setup.key("ada"), attrs.evolve(older, generation=2), replaces=older.epoch)
        async with setup.pool() as pool:
            assert (await pool.find(sign_in.id)).state == "pending"
            flow = await setup.flows.load(sign_in.id)
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        new = await setup.stored("ada")
        assert (new.epoch, new.generation) == (epoch_of(flow.authorization.device_code), 1)


async def test_who_signed_out_meanwhile_is_signed_in_by_an_approval():
    async with emulated() as setup:
        await setup.tokens.save(setup.key("ada"), older_token(setup), replaces=None)
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await setup.tokens.delete(setup.key("ada"))
            setup.flows.fail("delete", error=StoreError("killed before this"))
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        setup.flows.repair("delete")
        setup.clock.advance(SAVING + 6)
        async with setup.pool() as pool:
            await pool.result(sign_in.id)
        assert polls(setup) == [201]
        assert await setup.stored("ada") is not None


async def test_a_token_that_was_granted_and_never_saved_is_told_without_another_exchange():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        assert await setup.flows.grant(sign_in.id, "killed")
        async with setup.pool() as pool:
            with pytest.raises(DeviceFlowError, match="ended before it was saved"):
                await pool.result(sign_in.id)
        assert polls(setup) == []


async def test_who_signs_out_before_a_save_is_tried_again_stays_signed_out():
    """The first try has saved the token although it failed, and the user has seen and deleted it."""
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")

        async def sign_out_and_fail(*_):
            await setup.tokens.delete(setup.key("ada"))
            raise StoreError("the response was lost")

        setup.tokens.after("save", sign_out_and_fail, times=1)
        await setup.emulator.approve(sign_in.user_code)
        with pytest.raises(LoginRequired, match="signed out"):
            await pool.result(sign_in.id)
        assert await setup.stored("ada") is None
        assert await setup.tokens.is_deleted(setup.key("ada"))


@pytest.mark.parametrize("change", [{"scopes": ["openid", "profile"]}, {"audiences": ["a"]}, {"client_sid": "OQ2"}])
async def test_what_another_program_asked_for_is_left_to_it(change):
    """They share a flow store, but perhaps not the place where tokens go."""
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        options = {"client_sid": setup.flow.client_sid, "scopes": ["openid"], "client_secret": "s", **change}
        another = DeviceFlow(setup.session, **options)
        async with DeviceFlowPool(another, tokens=setup.tokens, flows=setup.flows) as pool:
            assert await pool.take_up() == []
        async with setup.pool() as pool:
            assert await pool.take_up() == []
            assert (await pool.submit("ada")).id == sign_in.id


@pytest.mark.parametrize("seconds", [LEASE + 10, LEASE + 40])
async def test_a_flow_that_was_lost_while_the_machine_stood_still_is_not_polled(seconds):
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.clock.sleep(7)
        await setup.emulator.approve(sign_in.user_code)
        setup.clock.shift_wall(seconds)
        assert await other.take_up() == [sign_in]
        outcomes = await asyncio.gather(other.result(sign_in.id), pool.result(sign_in.id), return_exceptions=True)
        assert outcomes[0] is None
        assert "another process has taken the sign-in over" in str(outcomes[1])
        # The other takes the jump for time that has passed, is told to slow down, and polls again.
        assert polls(setup) == [400, 400, 201]


async def test_whether_a_flow_was_lost_cannot_be_seen(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.flows.fail("lease", times=1)
        setup.clock.shift_wall(LEASE + 10)
        await pool.result(sign_in.id)
    assert "could not be seen: down" in caplog.text


async def test_a_poll_under_way_is_finished_before_the_pool_closes():
    async with emulated() as setup:
        exchange, asked, answer = setup.session.exchange, asyncio.Event(), asyncio.Event()

        async def slow(request, parse, **options):
            outcome = await exchange(request, parse, **options)
            if isinstance(outcome, Token):
                asked.set()
                await answer.wait()
            return outcome

        setup.session.exchange = slow
        pool = await setup.pool().__aenter__()
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        await asked.wait()
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        answer.set()
        await closing
        assert await setup.stored("ada") is not None
        assert await setup.flows.load(sign_in.id) is None


async def test_a_poll_under_way_that_brings_nothing_is_the_last():
    async with emulated() as setup:
        exchange, asked, answer = setup.session.exchange, asyncio.Event(), asyncio.Event()

        async def slow(request, parse, **options):
            if b"DeviceCode" in (request.body or b""):
                asked.set()
                await answer.wait()
            return await exchange(request, parse, **options)

        setup.session.exchange = slow
        pool = await setup.pool().__aenter__()
        sign_in = await pool.submit("ada")
        await asked.wait()
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        answer.set()
        await closing
        assert polls(setup) == [400]
        assert [flow.id for flow in await setup.due()] == [sign_in.id]


async def test_whoever_insists_is_not_held_up_by_a_poll_under_way():
    async with emulated() as setup:
        asked = asyncio.Event()

        async def hangs(*_, **__):
            asked.set()
            await asyncio.Event().wait()

        pool = await setup.pool().__aenter__()
        await pool.submit("ada")
        setup.session.exchange = hangs
        await asked.wait()
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        while pool._tasks:
            await asyncio.sleep(0)


async def test_closing_lets_listeners_go_although_the_store_makes_a_mistake():
    async with emulated() as setup:
        pool = await setup.pool().__aenter__()
        waiting = [asyncio.create_task(pool.result((await pool.submit(user)).id)) for user in "ab"]
        await asyncio.sleep(0)
        setup.flows.fail("release", error=KeyError())
        with pytest.raises(KeyError):
            await pool.close()
        for waits in waiting:
            with pytest.raises(DeviceFlowError, match="the pool was closed"):
                await waits


async def test_closing_twice_and_cancelling_meanwhile():
    async with emulated() as setup:
        pool = await setup.pool().__aenter__()
        sign_ins = [await pool.submit(user) for user in "abcd"]
        waiting = [asyncio.create_task(pool.result(sign_in.id)) for sign_in in sign_ins]
        await asyncio.sleep(0)
        setup.flows.slow_down("save", "release")
        await asyncio.gather(pool.close(), pool.close(), pool.cancel(sign_ins[2].id))
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, DeviceFlowError) for outcome in outcomes)
        assert {flow.id for flow in await setup.due()} == {sign_ins[n].id for n in (0, 1, 3)}


async def test_what_is_cancelled_while_it_is_taken_up_twice_stays_cancelled():
    async with emulated(auto=False) as setup:
        sign_in = await setup.submit_and_kill("ada")
        async with setup.pool() as pool:
            setup.clock.advance(LEASE + 6)
            first, second = asyncio.Event(), asyncio.Event()

            async def hold_second(*_):
                if first.is_set():
                    await second.wait()
                first.set()

            setup.flows.after("lease", hold_second)
            looks = [asyncio.create_task(pool.take_up()) for _ in range(2)]
            while not any(look.done() for look in looks):
                await asyncio.sleep(0)
            await pool.cancel(sign_in.id)
            second.set()
            assert sorted(await asyncio.gather(*looks)) == [[], [sign_in]]
            assert (await pool.find(sign_in.id)).state == "cancelled"
