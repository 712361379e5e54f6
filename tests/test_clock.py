import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from twilio_oauth_async import SystemClock, VirtualClock

pytestmark = pytest.mark.asyncio
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def test_system_clock_is_aware_utc_and_monotonic():
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert abs(clock.now().timestamp() - time.time()) < 60
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert repr(clock) == "SystemClock()"


async def test_system_clock_sleeps_with_asyncio(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await SystemClock().sleep(5)
    assert slept == [5]


async def test_sleep_advances_monotonic_and_wall_clock():
    clock = VirtualClock(START)
    await clock.sleep(90)
    assert clock.monotonic() == 90
    assert clock.now() == START + timedelta(seconds=90)


async def test_sleeps_end_in_order_of_their_time():
    clock, ended = VirtualClock(START), []

    async def sleep(seconds):
        await clock.sleep(seconds)
        ended.append((seconds, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for seconds in (5, 1, 3, 1):
            group.create_task(sleep(seconds))
    assert ended == [(1, 1), (1, 1), (3, 3), (5, 5)]


async def test_clock_does_not_advance_while_a_task_uses_it():
    clock = VirtualClock(START)
    seen = []

    async def work():
        for _ in range(200):
            seen.append(clock.monotonic())
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(clock.sleep(10))
        group.create_task(work())
    assert set(seen) == {0}
    assert clock.monotonic() == 10


async def test_thousand_concurrent_sleeps_take_the_time_of_one():
    clock = VirtualClock(START)

    async def poll():
        for _ in range(3):
            await clock.sleep(5)

    async with asyncio.TaskGroup() as group:
        for _ in range(1000):
            group.create_task(poll())
    assert clock.monotonic() == 15


async def test_clock_without_auto_moves_only_by_advance():
    clock = VirtualClock(START, auto=False)
    sleeper = asyncio.create_task(clock.sleep(5))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(4.999)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(0.001)
    await sleeper


async def test_cancelled_sleep_is_removed_and_does_not_stop_time():
    clock = VirtualClock(START)
    sleeper = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
    assert repr(clock) == "VirtualClock(elapsed=0.0, sleepers=0, auto=True)"
    await clock.sleep(1)
    assert clock.monotonic() == 1


async def test_cancelled_sleep_does_not_affect_other_sleeps():
    clock = VirtualClock(START, auto=False)
    first, second = (asyncio.create_task(clock.sleep(seconds)) for seconds in (5, 3))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    clock.advance(10)
    await second


async def test_sleep_of_zero_or_less_does_not_wait():
    clock = VirtualClock(START)
    await clock.sleep(0)
    await clock.sleep(-1)
    assert clock.monotonic() == 0


async def test_shift_wall_moves_only_the_wall_clock():
    clock = VirtualClock(START)
    clock.shift_wall(-3600)
    assert clock.monotonic() == 0
    assert clock.now() == START - timedelta(hours=1)


@pytest.mark.parametrize("auto", [False, True])
async def test_suspend_moves_only_the_wall_clock_and_ends_no_sleep(auto):
    clock = VirtualClock(START, auto=auto)
    sleeping = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    clock.suspend(3600)
    await asyncio.sleep(0)
    assert not sleeping.done()
    assert clock.monotonic() == 0
    assert clock.now() == START + timedelta(hours=1)
    if not auto:
        clock.advance(5)
    await sleeping
    assert clock.monotonic() == 5
    assert clock.now() == START + timedelta(hours=1, seconds=5)


async def test_naive_start_and_negative_seconds_raise_value_error():
    with pytest.raises(ValueError, match="aware"):
        VirtualClock(datetime(2026, 1, 1))  # noqa: DTZ001
    for move in (VirtualClock().advance, VirtualClock().suspend):
        with pytest.raises(ValueError, match="never goes back"):
            move(-1)


async def test_auto_can_be_switched_on_and_off_while_tasks_sleep():
    clock = VirtualClock(auto=False)
    sleeping = asyncio.create_task(clock.sleep(300))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not sleeping.done()
    clock.auto = True
    async with asyncio.timeout(5):
        await sleeping
    assert clock.monotonic() == 300
    sleeping = asyncio.create_task(clock.sleep(300))
    await asyncio.sleep(0)
    clock.auto = False
    for _ in range(100):
        await asyncio.sleep(0)
    assert not sleeping.done()
    assert clock.monotonic() == 300
    clock.advance(300)
    await sleeping
    assert "auto=False" in repr(clock)
