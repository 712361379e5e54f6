"""Work in flight: a `VirtualClock` does not advance meanwhile, and nothing is kept alive or blocked for ever."""

import asyncio
import gc
import weakref

import pytest

from tests.helpers.event_loop import needs_event_loop_of_asyncio
from tests.helpers.raw_server import RawServer, http, silence
from tests.helpers.scripted_server import session_for
from tests.helpers.world import emulated
from twilio_oauth_async import TransportError, VirtualClock, in_flight
from twilio_oauth_async import clock as clock_module


async def iterate(times=200):
    """Run the event loop for many more iterations than a clock waits for."""
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.fixture
def no_stall_timeout(monkeypatch):
    """Requests in flight stop a clock without a limit, so that a test fails if it needs the limit."""
    monkeypatch.setattr(clock_module, "_STALL_TIMEOUT", 3600.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", [in_flight.call, in_flight.request])
async def test_clock_does_not_advance_while_work_is_in_flight(kind, no_stall_timeout):
    clock = VirtualClock()
    sleeping = asyncio.create_task(clock.sleep(5))
    with kind(), kind():
        await iterate()
        assert repr(clock) == "VirtualClock(elapsed=0.0, sleepers=1, auto=True)"
    await asyncio.wait_for(sleeping, 5)
    assert clock.monotonic() == 5


@needs_event_loop_of_asyncio
@pytest.mark.asyncio
async def test_event_loop_is_idle_while_work_is_in_flight(no_stall_timeout):
    clock, loop = VirtualClock(), asyncio.get_running_loop()
    sleeping = asyncio.create_task(clock.sleep(5))
    with in_flight.call():
        await iterate()
        assert not loop._ready, "a clock that watches each iteration would keep a core busy"
    await sleeping


@pytest.mark.asyncio
async def test_clock_advances_while_the_server_of_a_request_waits_on_it(no_stall_timeout):
    clock = VirtualClock()
    with in_flight.request():
        with in_flight.server_wait():
            await asyncio.wait_for(clock.sleep(5), 5)
        sleeping = asyncio.create_task(clock.sleep(5))
        await iterate()
        assert clock.monotonic() == 5
    await asyncio.wait_for(sleeping, 5)


@pytest.mark.asyncio
async def test_server_that_begins_to_wait_releases_a_clock_that_is_held(no_stall_timeout):
    clock = VirtualClock()
    with in_flight.request():
        sleeping = asyncio.create_task(clock.sleep(5))
        await iterate()
        with in_flight.server_wait():
            await asyncio.wait_for(sleeping, 5)


@pytest.mark.asyncio
async def test_call_in_flight_stops_the_clock_although_a_server_waits(no_stall_timeout):
    """The server may wait for a client that is not counted."""
    clock = VirtualClock()
    sleeping = asyncio.create_task(clock.sleep(5))
    with in_flight.server_wait(), in_flight.call():
        await iterate()
        assert not sleeping.done()
    await asyncio.wait_for(sleeping, 5)


@pytest.mark.asyncio
async def test_server_that_waits_for_an_ended_request_does_not_release_the_next_one(no_stall_timeout):
    clock = VirtualClock()
    wait = in_flight.server_wait()  # entered and left where a server does it, not in a block
    with in_flight.request():
        wait.__enter__()
    sleeping = asyncio.create_task(clock.sleep(5))
    with in_flight.request():
        await iterate()
        assert not sleeping.done()
        wait.__exit__(None, None, None)
        await iterate()
        assert not sleeping.done()
    await asyncio.wait_for(sleeping, 5)


@pytest.mark.asyncio
async def test_request_without_progress_stops_the_clock_for_a_limited_time(monkeypatch):
    monkeypatch.setattr(clock_module, "_STALL_TIMEOUT", 0.01)
    clock = VirtualClock()
    with in_flight.request():
        await asyncio.wait_for(clock.sleep(5), 5)
        # This request is not counted any more, and the next one is.
        sleeping = asyncio.create_task(clock.sleep(5))
        monkeypatch.setattr(clock_module, "_STALL_TIMEOUT", 3600.0)
        with in_flight.request():
            await iterate()
            assert not sleeping.done()
        await asyncio.wait_for(sleeping, 5)
    work = in_flight.work_of(asyncio.get_running_loop())
    assert (work.calls, work.requests, work.server_waits) == (0, 0, 0)


@pytest.mark.asyncio
async def test_call_without_progress_stops_the_clock_until_it_ends(monkeypatch):
    monkeypatch.setattr(clock_module, "_STALL_TIMEOUT", 0.001)
    clock = VirtualClock()
    sleeping = asyncio.create_task(clock.sleep(5))
    with in_flight.call():
        await asyncio.to_thread(lambda: None)
        await iterate()
        assert clock.monotonic() == 0
    await asyncio.wait_for(sleeping, 5)


@pytest.mark.asyncio
async def test_sleep_cancelled_while_work_is_in_flight_leaves_no_timer():
    clock = VirtualClock()
    with in_flight.call():
        sleeping = asyncio.create_task(clock.sleep(5))
        await iterate()
        sleeping.cancel()
        await asyncio.gather(sleeping, return_exceptions=True)
        assert clock._next_iteration is clock._loop is None
    await iterate(3)
    assert clock._next_iteration is None


def test_work_that_is_abandoned_keeps_neither_loop_nor_clock_alive():
    async def abandon(clock):
        task = asyncio.ensure_future(clock.sleep(5))
        in_flight.call().__enter__()
        await iterate()
        return weakref.ref(task.get_loop())

    loop, clock = asyncio.new_event_loop(), VirtualClock()
    reference, clock_reference = loop.run_until_complete(abandon(clock)), weakref.ref(clock)
    loop.close()
    del loop, clock
    gc.collect()
    assert reference() is None
    assert clock_reference() is None


def test_work_in_another_loop_does_not_stop_the_clock():
    async def sleep():
        await asyncio.wait_for(VirtualClock().sleep(5), 5)

    VirtualClock()

    async def leave_work():
        in_flight.call().__enter__()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave_work())
    asyncio.run(sleep())
    loop.close()


@pytest.mark.asyncio
async def test_request_to_the_emulator_takes_no_virtual_time_although_its_loop_is_slow(no_stall_timeout, monkeypatch):
    """Without the count, the clock advances as soon as a request takes more iterations than usual."""
    async with emulated() as world:
        monkeypatch.setattr(clock_module, "_QUIET_ITERATIONS", 2)
        sleeping = asyncio.create_task(world.clock.sleep(60))
        for _ in range(5):
            await world.session.fetch_certs()
        assert world.clock.monotonic() == 0
        await sleeping


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", ["delay", "drip"])
async def test_emulator_waits_on_the_clock_while_a_request_is_in_flight(fault, no_stall_timeout):
    async with emulated() as world:
        on_certs = world.emulator.faults.on("certs")
        if fault == "delay":
            on_certs.delay(7)
        else:
            on_certs.drip(7, chunk=10_000)
        await asyncio.wait_for(world.session.fetch_certs(), 10)
        assert world.clock.monotonic() == 7


@pytest.mark.asyncio
async def test_many_delayed_requests_wait_at_the_same_time(no_stall_timeout):
    async with emulated() as world:
        world.emulator.faults.on("certs").always().delay(7)
        async with asyncio.timeout(10):
            await asyncio.gather(*(world.session.fetch_certs() for _ in range(20)))
        assert world.clock.monotonic() == 7


@pytest.mark.asyncio
async def test_clock_advances_while_the_emulator_stalls(no_stall_timeout):
    async with emulated() as world:
        world.emulator.faults.on("certs").stall()
        request = asyncio.create_task(world.session.fetch_certs())
        await asyncio.wait_for(world.clock.sleep(60), 10)
        assert not request.done()
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)


@pytest.mark.asyncio
async def test_clock_advances_while_another_server_is_silent(monkeypatch):
    monkeypatch.setattr(clock_module, "_STALL_TIMEOUT", 0.05)
    async with RawServer(silence) as server, session_for(server, timeout=1.0) as session:
        request = asyncio.create_task(session.fetch_certs())
        await asyncio.wait_for(session.clock.sleep(60), 10)
        assert not request.done()
        with pytest.raises(TransportError):
            await request


@pytest.mark.asyncio
async def test_work_of_requests_is_counted_down_after_success_failure_and_cancellation():
    work = in_flight.work_of(asyncio.get_running_loop())
    async with RawServer(http(200, {"keys": []}), silence) as server, session_for(server, timeout=0.2) as session:
        await session.fetch_certs()
        with pytest.raises(TransportError):
            await session.fetch_certs()
        request = asyncio.create_task(session.fetch_certs())
        while not work.requests:
            await asyncio.sleep(0)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    assert (work.calls, work.requests, work.server_waits) == (0, 0, 0)


@pytest.mark.asyncio
async def test_nothing_is_counted_until_a_virtual_clock_is_created(monkeypatch):
    monkeypatch.setattr(in_flight, "_is_counting", False)
    work = in_flight.work_of(asyncio.get_running_loop())
    with in_flight.call(), in_flight.request(), in_flight.server_wait():
        assert work.changes == 0
    VirtualClock()
    with in_flight.call():
        assert work.calls == 1
