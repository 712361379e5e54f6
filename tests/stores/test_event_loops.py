"""Fault 39 (docs/reliability.md): one store in several event loops, one after the other, however the first one ends."""

import asyncio
import contextlib
import threading

import pytest

from examples.own_token_store import OwnTokenStore
from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.cancellation import finish_in_thread
from twilio_oauth_async.stores.file import FileTokenStore
from twilio_oauth_async.stores.keyed_locks import KeyedLocks
from twilio_oauth_async.stores.memory import MemoryTokenStore

EPOCH = stored().epoch


@pytest.fixture(params=["memory", "file", "own"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryTokenStore(lock_timeout=2)
    elif request.param == "own":
        yield OwnTokenStore(tmp_path / "own.db", lock_timeout=2)
    else:
        store = FileTokenStore(tmp_path / "private" / "tokens.db", lock_timeout=2)
        yield store
        asyncio.run(store.close())


async def use(store, generation):
    """Save under the lock, with other tasks that wait for it."""

    async def visit():
        async with store.lock("a"):
            await asyncio.sleep(0)

    async with store.lock("a"):
        others = [asyncio.create_task(visit()) for _ in range(3)]
        await asyncio.sleep(0)
        await store.save("a", stored(generation), replaces=EPOCH)
    await asyncio.gather(*others)
    assert await store.load("a") == stored(generation)


def test_store_works_in_each_loop(store):
    for generation in (1, 2, 3):
        asyncio.run(use(store, generation))


def test_store_works_after_a_loop_that_ended_while_tasks_held_and_awaited_its_lock(store):
    """`asyncio.run` cancels the tasks that are left."""

    async def leave():
        held = asyncio.Event()

        async def hold():
            async with store.lock("a"):
                held.set()
                await asyncio.Event().wait()

        tasks = [asyncio.create_task(hold()) for _ in range(4)]
        await held.wait()
        await asyncio.sleep(0.03)
        return tasks

    for generation in (1, 2):
        assert all(task.cancelled() for task in asyncio.run(leave()))
        asyncio.run(use(store, generation))


def test_store_works_after_a_loop_that_ended_during_calls(store):
    async def leave(generation):
        calls = [store.save("a", stored(generation), replaces=EPOCH), store.load("a"), store.is_deleted("b")]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        return tasks

    for generation in (1, 3, 5):
        assert all(task.done() for task in asyncio.run(leave(generation)))
        present = asyncio.run(store.load("a"))
        assert present in {None, *(stored(before) for before in range(1, generation + 1))}
        asyncio.run(use(store, generation + 1))


def test_write_that_has_begun_is_completed_before_its_loop_ends():
    """So that the next loop, or process, does not see it happen later."""
    begun, may_end, done = threading.Event(), threading.Event(), []

    def write():
        begun.set()
        assert may_end.wait(10)
        done.append("written")

    async def leave():
        task = asyncio.create_task(finish_in_thread(write))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        threading.Timer(0.05, may_end.set).start()
        return task

    assert asyncio.run(leave()).cancelled()
    assert done == ["written"]


def test_keyed_locks_work_after_a_loop_that_was_closed_while_one_was_held():
    """The lock belongs to its loop, also if the loop is closed without a cancellation."""
    locks = KeyedLocks()

    async def hold_and_leave():
        held = contextlib.AsyncExitStack()
        await held.enter_async_context(locks.hold("a", 1))
        return held

    loop = asyncio.new_event_loop()
    held = loop.run_until_complete(hold_and_leave())

    async def hold():
        async with locks.hold("a", 1):
            with pytest.raises(StoreError):
                await locks.hold("a", 0.01).__aenter__()

    for _ in range(2):
        asyncio.run(hold())
    loop.run_until_complete(held.aclose())
    loop.close()
    assert not locks._entries
