"""Two programs with stores of their own on one file, and on one Redis: each knows what the other does (fault 55)."""

import asyncio
import contextlib

import attrs
import pytest

from tests.helpers.event_loop import collect
from tests.helpers.faulty_store import FaultyStore
from tests.helpers.world import World, emulated
from twilio_oauth_async import (
    AccessDeniedError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    DeviceFlowPool,
    SignInNotFound,
    in_flight,
)
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

pytestmark = pytest.mark.asyncio


@attrs.frozen
class Processes:
    """Two open pools that share nothing but what is stored."""

    world: World
    first: DeviceFlowPool
    second: DeviceFlowPool

    async def submit(self):
        """Start a sign-in of ada in the first process."""
        return await self.first.submit("ada")

    async def end(self, sign_in, how):
        """Bring a sign-in of the first process to an end other than approved; time brings it to ``expired``."""
        if how == "denied":
            await self.world.emulator.deny(sign_in.user_code)
        elif how == "cancelled":
            await self.first.cancel(sign_in.id)
        elif how == "failed":
            self.world.emulator.faults.on("poll").error("invalid_client")

    async def stored(self):
        """Return what each process reads as the token of ada."""
        key = self.world.key("ada")
        return [await pool._shared.tokens.load(key) for pool in (self.first, self.second)]

    async def listen(self, id_):
        """Return a task that collects the states which the second process sees."""
        listening = asyncio.create_task(collect(self.second.events(id_)))
        while not (watch := self.second._members._watches.get(id_)) or not watch.listeners:
            await asyncio.sleep(0)
        return listening


@pytest.fixture(params=["file", "Redis"])
def open_stores(request, tmp_path):
    """A function that opens new stores on what all processes share."""
    if request.param == "file":

        def open_(clock):
            return FileTokenStore(tmp_path / "tokens", clock=clock), FileFlowStore(tmp_path / "flows", clock=clock)

    else:
        redis, open_redis = request.getfixturevalue("own_redis"), request.getfixturevalue("open_redis")
        from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

        def open_(clock):
            return tuple(kind(open_redis(redis), clock=clock) for kind in (RedisTokenStore, RedisFlowStore))

    return open_


@pytest.fixture
def processes(open_stores):
    """A context manager that opens two processes; its argument is their `on_end`."""

    @contextlib.asynccontextmanager
    async def opened(on_end=None):
        async with contextlib.AsyncExitStack() as stack:
            world = await stack.enter_async_context(emulated())
            pools = []
            for _ in range(2):
                tokens, flows = map(FaultyStore, open_stores(world.clock))
                pool = world.pool(tokens=tokens, flows=flows, on_end=on_end)
                pools.append(await stack.enter_async_context(pool))
            yield Processes(world, *pools)

    return opened


async def test_user_joins_the_sign_in_of_the_other_process(processes):
    async with processes() as p:
        sign_in = await p.first.submit("ada", context={"chat": "7"})
        joined = await p.second.submit("ada", context={"chat": "8"})
        assert (joined.id, joined.user_code, joined.context) == (sign_in.id, sign_in.user_code, {"chat": "7"})
        assert p.world.codes() == 1
        assert (len(p.first._members), len(p.second._members)) == (1, 0)


async def test_double_click_that_reaches_both_processes_gives_one_code(processes):
    async with processes() as p:
        sign_ins = await asyncio.gather(p.first.submit("ada"), p.second.submit("ada"))
        assert sign_ins[0].id == sign_ins[1].id
        await p.world.emulator.approve(sign_ins[0].user_code)
        await asyncio.gather(*(pool.result(sign_ins[0].id) for pool in (p.first, p.second)))
        assert p.world.polls().count(201) == 1


async def test_find_and_find_user(processes):
    async with processes() as p:
        sign_in = await p.submit()
        assert await p.second.find(sign_in.id) == sign_in
        assert await p.second.find_user("ada") == sign_in
        assert await p.second.find_user("bob") is None
        assert await p.second.find("x") is None


async def test_approval_is_seen_and_the_token_can_be_used(processes):
    async with processes() as p:
        sign_in = await p.submit()
        listening, waiting = await p.listen(sign_in.id), asyncio.create_task(p.second.result(sign_in.id))
        await p.world.emulator.approve(sign_in.user_code)
        await waiting
        assert [event.state for event in await listening] == ["pending", "approved"]
        tokens = [await pool.manager("ada").access_token() for pool in (p.first, p.second)]
        assert tokens[0] == tokens[1]
        assert await p.second.find_user("ada") is None


ENDS = {
    "denied": AccessDeniedError,
    "expired": DeviceCodeExpiredError,
    "cancelled": DeviceFlowError,
    "failed": DeviceFlowError,
}


@pytest.mark.parametrize("how", ENDS)
async def test_exact_end_is_seen_by_those_who_wait_and_by_those_who_come_late(processes, how):
    async with processes() as p:
        sign_in = await p.submit()
        listening, waiting = await p.listen(sign_in.id), asyncio.create_task(p.second.result(sign_in.id))
        await p.end(sign_in, how)
        [error] = await asyncio.gather(waiting, return_exceptions=True)
        events = await listening
        assert [event.state for event in events] == ["pending", how]
        last = events[-1]
        assert last.problem
        assert last == await p.first.find(sign_in.id) == await p.second.find(sign_in.id)
        for pool in (p.first, p.second):
            assert await collect(pool.events(sign_in.id)) == [last]
            [late] = await asyncio.gather(pool.result(sign_in.id), return_exceptions=True)
            assert (type(late), str(late)) == (type(error), str(error)) == (ENDS[how], last.problem)
        assert await p.second.find_user("ada") is None
        assert await p.stored() == [None, None]


async def test_cancel_in_the_second_process_wins_over_a_later_approval(processes):
    async with processes() as p:
        sign_in = await p.submit()
        await p.second.cancel(sign_in.id)
        assert (await p.second.find(sign_in.id)).state == "cancelled"
        await p.world.emulator.approve(sign_in.user_code)
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await p.first.result(sign_in.id)
        await p.world.clock.sleep(30)
        assert (p.world.polls(), p.world.revocations()) == ([201], [200])
        assert "save" not in p.first._shared.tokens.calls, "the token is not stored for a moment either"
        assert await p.stored() == [None, None]
        assert (await p.first.submit("ada")).id != sign_in.id


async def test_cancel_in_the_second_process_while_the_response_with_the_token_is_under_way(processes):
    async with processes() as p:
        sign_in = await p.submit()
        await p.world.emulator.approve(sign_in.user_code)
        exchange, asked, may_arrive = p.world.session.exchange, asyncio.Event(), asyncio.Event()

        async def hold(request, parse, **options):
            response = await exchange(request, parse, **options)
            asked.set()
            with in_flight.call():  # no virtual time passes
                await may_arrive.wait()
            return response

        p.world.session.exchange = hold
        await asked.wait()
        p.world.session.exchange = exchange
        await p.second.cancel(sign_in.id)
        may_arrive.set()
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await p.first.result(sign_in.id)
        assert (p.world.polls(), p.world.revocations()) == ([201], [200])
        assert "save" not in p.first._shared.tokens.calls, "the token is not stored for a moment either"
        assert await p.stored() == [None, None]
        assert (await p.first.find(sign_in.id)).state == (await p.second.find(sign_in.id)).state == "cancelled"


async def test_user_who_cancels_in_the_second_process_gets_a_new_code_in_the_first_at_once(processes):
    async with processes() as p:
        sign_in = await p.submit()
        await p.second.cancel(sign_in.id)
        assert (await p.submit()).user_code != sign_in.user_code
        assert (await p.first.find(sign_in.id)).state == "cancelled"
        assert p.world.polls() == []


async def test_cancel_in_the_second_process_of_one_that_is_approved_changes_nothing(processes):
    async with processes() as p:
        sign_in = await p.submit()
        await p.world.emulator.approve(sign_in.user_code)
        await p.first.result(sign_in.id)
        await p.second.cancel(sign_in.id)
        assert (await p.second.find(sign_in.id)).state == "approved"
        assert None not in await p.stored()
        assert p.world.revocations() == []


async def test_end_is_reported_once_and_can_be_found_for_five_minutes_in_each_process(processes):
    ends = []
    async with processes(ends.append) as p:
        sign_in = await p.submit()
        await p.world.emulator.approve(sign_in.user_code)
        await p.first.result(sign_in.id)
        await p.world.clock.sleep(290)
        assert [end.id for end in ends] == [sign_in.id]
        for pool in (p.first, p.second):
            assert (await pool.find(sign_in.id)).state == "approved"
            await pool.result(sign_in.id)
        await p.world.clock.sleep(40)
        for pool in (p.first, p.second):
            assert await pool.find(sign_in.id) is None
            with pytest.raises(SignInNotFound):
                await pool.result(sign_in.id)
        assert len(ends) == 1


async def test_second_process_goes_on_with_the_sign_ins_of_one_that_closes(processes):
    async with processes() as p:
        sign_in = await p.submit()
        listening = await p.listen(sign_in.id)
        await p.first.close()
        await p.world.emulator.approve(sign_in.user_code)
        assert (await listening)[-1].state == "approved"
        assert p.world.polls().count(201) == 1


async def test_second_process_goes_on_with_the_sign_ins_of_one_that_is_killed(processes):
    async with processes() as p:
        sign_in = await p.submit()
        listening = await p.listen(sign_in.id)
        await p.world.kill(p.first)
        owner = p.first._shared.leases.owner
        await p.second._flows.release([sign_in.id], owner)  # as if the lease had ended
        await p.world.emulator.approve(sign_in.user_code)
        assert (await listening)[-1].state == "approved"
        assert p.world.polls() == [201]


async def test_each_sign_in_is_polled_by_one_process_and_never_early(processes):
    async with processes() as p:
        sign_ins = [await (p.first, p.second)[number % 2].submit(f"user {number}") for number in range(10)]
        await p.world.clock.sleep(31)
        assert (len(p.first._members), len(p.second._members)) == (5, 5)
        assert {entry.error for entry in p.world.emulator.requests.to("poll")} == {"authorization_pending"}
        assert len(p.world.polls()) <= 10 * 6, "each five seconds, by one process"
        for sign_in in sign_ins:
            await p.world.emulator.approve(sign_in.user_code)
        await asyncio.gather(*(p.second.result(sign_in.id) for sign_in in sign_ins))
        assert p.world.polls().count(201) == 10
