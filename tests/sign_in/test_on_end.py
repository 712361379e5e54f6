"""`on_end`: each end is reported at least once, whatever fails or is killed (fault 49)."""

import asyncio
import itertools

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlowError, in_flight
from twilio_oauth_async.sign_in.flow_life import KEPT, LEASE
from twilio_oauth_async.sign_in.reporter import CALLBACK_TIMEOUT

pytestmark = pytest.mark.asyncio


class Ends(list):
    """Collects what `on_end` is called with."""

    def __call__(self, sign_in):
        self.append(sign_in)

    async def wait_for(self, number):
        while len(self) < number:
            await asyncio.sleep(0)
        return [(sign_in.user, sign_in.state) for sign_in in self]


async def end(setup, pool, sign_in, how):
    """Bring a sign-in to its end and wait until that is stored."""
    if how == "cancel":
        await pool.cancel(sign_in.id)
    elif how == "fail":
        setup.emulator.faults.on("poll").error("invalid_client")
    else:
        await getattr(setup.emulator, how)(sign_in.user_code)
    await asyncio.gather(pool.result(sign_in.id), return_exceptions=True)


HOW = [
    ("approve", "approved"),
    ("deny", "denied"),
    ("expire", "expired"),
    ("cancel", "cancelled"),
    ("fail", "failed"),
]


@pytest.mark.parametrize(("how", "state"), HOW)
async def test_each_end_is_reported_once_with_its_context(how, state):
    async with emulated() as setup:
        ends = Ends()
        async with setup.pool(on_end=ends) as pool, setup.pool(on_end=ends) as other:
            sign_in = await pool.submit("ada", context={"chat": "7"})
            await end(setup, pool, sign_in, how)
            assert await ends.wait_for(1) == [("ada", state)]
            assert (ends[0].id, ends[0].context) == (sign_in.id, {"chat": "7"})
            assert (ends[0].problem is None) is (state == "approved")
            await setup.clock.sleep(60)
            assert (await other.find(sign_in.id)).state == state
        assert len(ends) == 1
        assert (await setup.flows.load(sign_in.id)).delivered


@pytest.mark.parametrize(("how", "state"), HOW)
async def test_49_end_that_a_killed_process_did_not_report_is_reported_by_the_next(how, state):
    async with emulated() as setup:
        never = asyncio.Event()
        pool = setup.pool(on_end=lambda _: never.wait())
        await pool.open()
        sign_in = await pool.submit("ada", context={"chat": "7"})
        await end(setup, pool, sign_in, how)
        await setup.kill(pool)
        ends = Ends()
        async with setup.pool(on_end=ends):
            assert await ends.wait_for(1) == [("ada", state)]
            assert (ends[0].id, ends[0].context) == (sign_in.id, {"chat": "7"})


async def test_end_that_came_while_no_process_ran_is_reported():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        setup.clock.advance(3600)
        ends = Ends()
        async with setup.pool(on_end=ends):
            assert await ends.wait_for(1) == [("ada", "expired")]
            assert ends[0].id == sign_in.id


async def test_process_without_a_callback_leaves_the_end_to_one_that_has_it():
    async with emulated() as setup:
        ends = Ends()
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await end(setup, pool, sign_in, "deny")
            await setup.clock.sleep(KEPT)
            assert not (await setup.flows.load(sign_in.id)).delivered
            async with setup.pool(on_end=ends):
                assert await ends.wait_for(1) == [("ada", "denied")]


async def test_end_that_no_process_reports_is_deleted_after_a_day():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await end(setup, pool, sign_in, "deny")
        setup.clock.advance(86_400 + 3_700)
        async with setup.pool():
            while await setup.flows.load(sign_in.id) is not None:
                await asyncio.sleep(0)


async def test_reported_end_is_deleted_after_five_minutes_also_if_the_process_is_killed():
    async with emulated() as setup:
        ends = Ends()
        pool = setup.pool(on_end=ends)
        await pool.open()
        sign_in = await pool.submit("ada")
        await end(setup, pool, sign_in, "deny")
        await setup.clock.sleep(10)
        assert (await setup.flows.load(sign_in.id)).delivered
        await setup.kill(pool)
        async with setup.pool(on_end=ends):
            await setup.clock.sleep(KEPT - 20)
            assert await setup.flows.load(sign_in.id) is not None
            await setup.clock.sleep(LEASE + 60)
            assert await setup.flows.load(sign_in.id) is None
        assert len(ends) == 1


async def test_callback_that_raises_is_called_again_with_growing_pauses(caplog):
    async with emulated() as setup:
        times, problems = [], []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context["exception"]))

        def fail_three_times(sign_in):
            times.append((setup.clock.monotonic(), sign_in.id))
            if len(times) <= 3:
                raise RuntimeError("canary")

        async with setup.pool(on_end=fail_three_times) as pool:
            sign_in = await pool.submit("ada")
            await end(setup, pool, sign_in, "deny")
            await setup.clock.sleep(60)
        assert {id_ for _, id_ in times} == {sign_in.id}, "the same id each time"
        gaps = [later[0] - earlier[0] for earlier, later in itertools.pairwise(times)]
        assert gaps == pytest.approx([1, 2, 4])
        assert len(problems) == 3
        assert "RuntimeError" in caplog.text
        assert "canary" not in caplog.text


async def test_callback_that_raises_for_a_day_is_not_called_any_more():
    async with emulated() as setup:
        calls = []

        def fail(sign_in):
            calls.append(setup.clock.monotonic())
            raise RuntimeError

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with setup.pool(on_end=fail, take_up_every=600) as pool:
            sign_in = await pool.submit("ada")
            await end(setup, pool, sign_in, "deny")
            ended_at = setup.clock.monotonic()
            while not (await setup.flows.load(sign_in.id)).delivered:
                await setup.clock.sleep(300)
        assert calls[-1] - ended_at == pytest.approx(86_400, abs=400)


async def test_end_whose_callback_takes_longer_than_a_lease_is_not_reported_by_another_process_too():
    async with emulated() as setup:
        ends, others = [], Ends()

        async def slow(sign_in):
            await setup.clock.sleep(CALLBACK_TIMEOUT - 5)
            ends.append(sign_in.id)

        assert CALLBACK_TIMEOUT - 5 > LEASE
        async with setup.pool(on_end=slow) as pool, setup.pool(on_end=others):
            sign_in = await pool.submit("ada")
            await end(setup, pool, sign_in, "deny")
            await setup.clock.sleep(CALLBACK_TIMEOUT + 60)
        assert (ends, others) == ([sign_in.id], [])


async def test_end_of_a_sign_in_for_other_scopes_is_left_to_the_program_that_asked_for_them():
    async with emulated() as setup:
        theirs = setup.device_flow(scopes=["openid", "profile"])
        async with setup.pool(flow=theirs) as other:
            sign_in = await other.submit("ada")
            await end(setup, other, sign_in, "deny")
        ours, ends = Ends(), Ends()
        async with setup.pool(on_end=ours):
            await setup.clock.sleep(60)
            assert ours == []
            async with setup.pool(flow=theirs, on_end=ends):
                assert await ends.wait_for(1) == [("ada", "denied")]


async def test_callback_that_blocks_is_cancelled_and_called_again():
    async with emulated() as setup:
        calls, never = [], asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)

        async def block_once(sign_in):
            calls.append(setup.clock.monotonic())
            if len(calls) == 1:
                await never.wait()

        async with setup.pool(on_end=block_once) as pool:
            sign_in = await pool.submit("ada")
            await end(setup, pool, sign_in, "deny")
            await setup.clock.sleep(CALLBACK_TIMEOUT + 10)
        assert calls[1] - calls[0] == pytest.approx(CALLBACK_TIMEOUT + 1)


@pytest.mark.parametrize("method", ["lease", "save", "load"])
async def test_store_that_fails_after_the_callback_does_not_lose_the_mark(method):
    async with emulated() as setup:
        ends = Ends()
        async with setup.pool(on_end=ends) as pool:
            sign_in = await pool.submit("ada")
            setup.flows.before("end", lambda *_: setup.flows.fail(method, times=3), times=1)
            await setup.emulator.deny(sign_in.user_code)
            await ends.wait_for(1)
            while not (await setup.flows.inner.load(sign_in.id)).delivered:
                await setup.clock.sleep(1)
            await setup.clock.sleep(60)
        assert len(ends) == 1


async def test_callback_may_call_any_method_of_the_pool():
    async with emulated() as setup:
        done = asyncio.Event()

        async def use(sign_in):
            assert (await pool.find(sign_in.id)).state == "denied"
            await pool.cancel(sign_in.id)
            assert (await pool.submit("bob")).state == "pending"
            await pool.close()
            done.set()

        pool = setup.pool(on_end=use)
        async with pool:
            sign_in = await pool.submit("ada")
            await setup.emulator.deny(sign_in.user_code)
            await asyncio.wait_for(done.wait(), 5)
        assert [flow.user for flow in await setup.due()] == ["bob"]


async def test_close_waits_for_a_callback_that_runs():
    async with emulated() as setup:
        started, may_end, ended = asyncio.Event(), asyncio.Event(), []

        async def slow(sign_in):
            started.set()
            with in_flight.call():  # no virtual time passes
                await may_end.wait()
            ended.append(sign_in.id)

        async with setup.pool(on_end=slow) as pool:
            sign_in = await pool.submit("ada")
            await setup.emulator.deny(sign_in.user_code)
            await started.wait()
            asyncio.get_running_loop().call_later(0.01, may_end.set)
        assert ended == [sign_in.id]
        assert (await setup.flows.load(sign_in.id)).delivered


async def test_callback_that_was_set_before_the_pool_was_opened():
    async with emulated() as setup:
        pool, ends = setup.pool(), Ends()
        pool.on_end = ends
        async with pool:
            sign_in = await pool.submit("ada")
            await setup.emulator.deny(sign_in.user_code)
            with pytest.raises(DeviceFlowError):
                await pool.result(sign_in.id)
            assert await ends.wait_for(1) == [("ada", "denied")]


async def test_end_of_a_flow_that_the_store_has_lost_is_reported():
    async with emulated() as setup:
        ends = Ends()
        async with setup.pool(on_end=ends) as pool:
            sign_in = await pool.submit("ada")
            await setup.flows.inner.delete(sign_in.id)
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
            assert await ends.wait_for(1) == [("ada", "approved")]
            assert await setup.stored("ada") is not None
