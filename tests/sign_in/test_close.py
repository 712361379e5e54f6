"""`DeviceFlowPool.close`: nothing under way is lost, everything else is given back at once (fault 50)."""

import asyncio

import pytest

from tests.helpers.event_loop import collect, run_turns
from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlowError, Token, in_flight

pytestmark = pytest.mark.asyncio


class SlowServer:
    """Holds the responses to polls until `respond` is called. No virtual time passes meanwhile."""

    def __init__(self, session, *, only_tokens=False):
        self.asked, self._respond = asyncio.Event(), asyncio.Event()
        exchange = session.exchange

        async def slow(request, parse, **options):
            if b"DeviceCode" not in (request.body or b""):
                return await exchange(request, parse, **options)
            outcome = await exchange(request, parse, **options)
            if isinstance(outcome, Token) or not only_tokens:
                self.asked.set()
                with in_flight.call():
                    await self._respond.wait()
            return outcome

        session.exchange = slow

    def respond(self):
        self._respond.set()


async def test_pending_sign_in_goes_on_in_the_next_process():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        assert [flow.id for flow in await setup.due()] == [sign_in.id]
        await setup.emulator.approve(sign_in.user_code)
        async with setup.pool() as pool:
            assert (await pool.submit("ada")).id == sign_in.id
            await pool.result(sign_in.id)
        assert await setup.stored("ada") is not None


async def test_50_all_streams_end():
    async with emulated() as setup:
        async with setup.pool() as other:
            theirs = await other.submit("bob")
            async with setup.pool() as pool:
                sign_in = await pool.submit("ada")
                waiting = asyncio.create_task(pool.result(sign_in.id))
                listening = [asyncio.create_task(collect(pool.events(id_))) for id_ in (sign_in.id, theirs.id)]
                reading = asyncio.create_task(collect(pool.all_events()))
                await run_turns(10)
            with pytest.raises(DeviceFlowError, match="pool was closed"):
                await waiting
            assert [[event.state for event in await task] for task in listening] == [["pending"]] * 2
            await reading


async def test_50_idle_flows_are_given_back_in_one_call_while_a_poll_is_under_way():
    async with emulated() as setup:
        pool = setup.pool()
        await pool.open()
        first = await pool.submit("ada")
        server = SlowServer(setup.session)
        await server.asked.wait()
        others = [await pool.submit(f"user {number}") for number in range(20)]
        setup.flows.calls.clear()
        closing = asyncio.create_task(pool.close())
        while len(await setup.due()) < 20:
            await asyncio.sleep(0)
        assert not closing.done()
        assert setup.flows.calls.count("release") == 1
        assert {flow.id for flow in await setup.due()} == {other.id for other in others}
        server.respond()
        await closing
        assert {flow.id for flow in await setup.due()} == {first.id, *(other.id for other in others)}
        assert len(setup.polls()) == 1


async def test_token_of_a_poll_under_way_is_saved():
    async with emulated() as setup:
        pool = setup.pool()
        await pool.open()
        sign_in = await pool.submit("ada")
        server = SlowServer(setup.session, only_tokens=True)
        await setup.emulator.approve(sign_in.user_code)
        await server.asked.wait()
        closing = asyncio.create_task(pool.close())
        await run_turns(10)
        server.respond()
        await closing
        assert await setup.stored("ada") is not None
        assert (await setup.flows.load(sign_in.id)).state == "approved"


async def test_50_poll_that_takes_too_long_is_cancelled():
    async with emulated() as setup:
        pool = setup.pool(close_timeout=3)
        await pool.open()
        sign_in = await pool.submit("ada")
        asked = asyncio.Event()

        async def hang(request, *_, **__):
            request.on_sent()
            asked.set()
            await asyncio.Event().wait()

        setup.session.exchange = hang
        await asked.wait()
        started = setup.clock.monotonic()
        await pool.close()
        assert setup.clock.monotonic() - started <= 4
        assert [flow.id for flow in await setup.due()] == [sign_in.id]


async def test_50_poll_that_waits_for_a_connection_is_given_back_at_once():
    async with emulated() as setup:
        pool = setup.pool(close_timeout=3)
        await pool.open()
        sign_ins = [await pool.submit(f"user {number}") for number in range(5)]
        places = setup.session._transport._poll_places
        while not places.locked():
            await places.acquire()
        while not places._waiters:
            await asyncio.sleep(0)
        started = setup.clock.monotonic()
        await pool.close()
        assert setup.clock.monotonic() == started
        assert {flow.id for flow in await setup.due()} == {sign_in.id for sign_in in sign_ins}
        assert setup.polls() == []


async def test_50_token_that_cannot_be_recorded_in_time_is_revoked():
    async with emulated() as setup:
        pool = setup.pool(close_timeout=3)
        await pool.open()
        sign_in = await pool.submit("ada")
        setup.flows.fail("grant")
        await setup.emulator.approve(sign_in.user_code)
        while "grant" not in setup.flows.calls:
            await asyncio.sleep(0)
        await pool.close()
        assert setup.revocations() == [200]
        assert await setup.stored("ada") is None
        assert (await setup.flows.load(sign_in.id)).state == "pending"


@pytest.mark.parametrize("fault", ["fail", "pause"])
async def test_50_token_that_cannot_be_saved_in_time_is_revoked_and_the_next_process_ends_the_sign_in(fault):
    async with emulated() as setup:
        pool = setup.pool(close_timeout=3)
        await pool.open()
        sign_in = await pool.submit("ada")
        getattr(setup.tokens, fault)("save")
        await setup.emulator.approve(sign_in.user_code)
        while "save" not in setup.tokens.calls:
            await asyncio.sleep(0)
        started = setup.clock.monotonic()
        await pool.close()
        assert setup.clock.monotonic() - started <= 4
        assert setup.revocations() == [200]
        setup.tokens.repair()
        async with setup.pool() as other:
            with pytest.raises(DeviceFlowError, match="ended before the token was saved"):
                await other.result(sign_in.id)
        assert await setup.stored("ada") is None


async def test_50_callback_that_takes_too_long_is_called_again_by_the_next_process_at_once():
    async with emulated() as setup:
        called, ends = asyncio.Event(), []

        async def block(_):
            called.set()
            await asyncio.Event().wait()

        pool = setup.pool(on_end=block, close_timeout=3)
        await pool.open()
        sign_in = await pool.submit("ada")
        await setup.emulator.deny(sign_in.user_code)
        await called.wait()
        started = setup.clock.monotonic()
        await pool.close()
        assert setup.clock.monotonic() - started == pytest.approx(3)
        async with setup.pool(on_end=ends.append):
            while not ends:
                await asyncio.sleep(0)
        assert [(end.id, end.state) for end in ends] == [(sign_in.id, "denied")]
        assert setup.clock.monotonic() - started < 4


async def test_token_that_is_being_saved_is_saved():
    async with emulated() as setup:
        saving = setup.tokens.pause("save")
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
            await setup.emulator.approve(sign_in.user_code)
            await saving.reached.wait()
            asyncio.get_running_loop().call_soon(saving.resume)
        assert await setup.stored("ada") is not None


async def test_50_closed_session_releases_flows_and_deletes_none(caplog):
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_ins = [await pool.submit(user) for user in "ab"]
            await setup.session.close()
            await setup.clock.sleep(60)
            assert {(await setup.flows.load(sign_in.id)).state for sign_in in sign_ins} == {"pending"}
        assert {flow.id for flow in await setup.due()} == {sign_in.id for sign_in in sign_ins}
    assert caplog.text.count("the session is not open") == 1, "once, not for each flow"


@pytest.mark.parametrize("error", [None, KeyError("canary")], ids=["StoreError", "unexpected"])
async def test_50_store_that_fails_during_the_close(error, caplog):
    async with emulated() as setup:
        pool = setup.pool()
        await pool.open()
        waiting = [asyncio.create_task(pool.result((await pool.submit(user)).id)) for user in "ab"]
        await run_turns(5)
        setup.flows.fail("release", error=error)
        await pool.close()
        for wait in waiting:
            with pytest.raises(DeviceFlowError, match="the pool was closed"):
                await wait
        setup.flows.repair()
        async with setup.pool() as other:
            assert await setup.due() == []
            await setup.clock.sleep(60)
            assert len(other._members) == 2, "the leases have ended by themselves"
    assert "end by themselves" in caplog.text
    assert "canary" not in caplog.text


async def test_50_store_that_hangs_during_the_close_delays_it_for_a_limited_time():
    async with emulated() as setup:
        pool = setup.pool(close_timeout=3)
        await pool.open()
        await pool.submit("ada")
        hanging = setup.flows.pause("release")
        started = setup.clock.monotonic()
        await pool.close()
        assert setup.clock.monotonic() - started < 20
        hanging.resume()


async def test_50_close_that_is_cancelled_ends_streams_and_tasks():
    async with emulated() as setup:
        pool = setup.pool()
        await pool.open()
        sign_in = await pool.submit("ada")
        listening = asyncio.create_task(collect(pool.events(sign_in.id)))
        server = SlowServer(setup.session)
        await server.asked.wait()
        closing = asyncio.create_task(pool.close())
        await run_turns(5)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert [event.state for event in await listening] == ["pending"]
        await run_turns(10)
        assert not pool._members.tasks()


async def test_closing_twice_and_cancelling_a_sign_in_meanwhile():
    async with emulated() as setup:
        pool = setup.pool()
        await pool.open()
        sign_ins = [await pool.submit(user) for user in "abcd"]
        waiting = [asyncio.create_task(pool.result(sign_in.id)) for sign_in in sign_ins]
        await run_turns(5)
        setup.flows.slow_down("save", "release", "end")
        cancelling = asyncio.create_task(pool.cancel(sign_ins[2].id))
        await run_turns(1)
        await asyncio.gather(pool.close(), pool.close(), cancelling)
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, DeviceFlowError) for outcome in outcomes)
        assert {flow.id for flow in await setup.due()} == {sign_ins[number].id for number in (0, 1, 3)}


async def test_pool_can_be_opened_again():
    async with emulated() as setup:
        pool = setup.pool()
        for _ in range(2):
            async with pool:
                sign_in = await pool.submit("ada")
        async with pool:
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        await pool.close()
        assert setup.codes() == 1


async def test_opening_a_pool_that_is_open_does_nothing():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        listening = asyncio.create_task(collect(pool.events(sign_in.id)))
        await run_turns(10)
        calls = len(setup.flows.calls)
        await pool.open()
        assert len(setup.flows.calls) == calls
        assert sign_in.id in pool._members.running
        await setup.emulator.approve(sign_in.user_code)
        assert [event.state for event in await listening] == ["pending", "approved"]


async def test_pool_that_is_closed_while_it_opens_stays_closed():
    async with emulated() as setup:
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        reading = setup.flows.pause("list_due")
        pool = setup.pool()
        opening = asyncio.create_task(pool.open())
        await reading.reached.wait()
        await pool.close()
        reading.resume()
        await opening
        await setup.clock.sleep(60)
        assert setup.polls() == []
        assert [flow.id for flow in await setup.due()] == [sign_in.id]
        assert not pool._upkeep._tasks


async def test_lease_of_another_process_is_left_alone():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        before = await setup.flows.load(sign_in.id)
        async with setup.pool() as other:
            await other.submit("ada")
        after = await setup.flows.load(sign_in.id)
        assert (after.owner, after.state) == (before.owner, "pending")


async def test_lent_objects_are_not_closed():
    async with emulated() as setup:
        async with setup.pool() as pool:
            await pool.submit("ada")
        assert await setup.flow.start()
