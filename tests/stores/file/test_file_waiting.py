"""What the file store does while it waits: for the disk, for a lock, for a thread. Nobody else is held up."""

import asyncio
import errno
import fcntl
import gc
import logging
import os
import threading
import time

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.cancellation import finish, finish_in_thread, wait_until_done
from twilio_oauth_async.stores.file import FileTokenStore, locks, state_file


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "tokens.json"


class SlowDisk:
    """Holds up the rename of a save until it is let go."""

    def __init__(self, monkeypatch):
        self.reached, self.go_on, rename = threading.Event(), threading.Event(), os.rename

        def slow(*arguments, **options):
            self.reached.set()
            assert self.go_on.wait(10)
            rename(*arguments, **options)

        monkeypatch.setattr(os, "rename", slow)

    async def until_reached(self):
        while not self.reached.is_set():
            await asyncio.sleep(0.001)


@pytest.mark.asyncio
async def test_a_slow_disk_does_not_block_the_loop(path, monkeypatch):
    disk, store, turns = SlowDisk(monkeypatch), FileTokenStore(path), 0
    saving = asyncio.create_task(store.save("a", stored()))
    await disk.until_reached()
    for _ in range(50):
        await asyncio.sleep(0)
        turns += 1
    assert await store.load("a") is None  # readers go on as well
    disk.go_on.set()
    await saving
    assert turns == 50


@pytest.mark.asyncio
async def test_a_cancelled_save_finishes_what_it_has_begun_and_then_gives_its_lock_back(path, monkeypatch):
    disk, store, other = SlowDisk(monkeypatch), FileTokenStore(path), FileTokenStore(path)
    saving = asyncio.create_task(store.save("a", stored(1)))
    await disk.until_reached()
    waiting = asyncio.create_task(other.save("a", stored(2)))
    for _ in range(3):
        saving.cancel()
        await asyncio.sleep(0.01)
    assert not saving.done()
    assert not waiting.done()
    disk.go_on.set()
    await asyncio.wait([saving])
    assert saving.cancelled()
    await waiting
    assert await store.load("a") == stored(2)


@pytest.mark.asyncio
async def test_a_save_that_has_not_begun_is_cancelled_at_once(path, monkeypatch):
    disk, store = SlowDisk(monkeypatch), FileTokenStore(path)
    first = asyncio.create_task(store.save("a", stored(1)))
    await disk.until_reached()
    waiting = [asyncio.create_task(which.save("b", stored(1))) for which in (store, FileTokenStore(path))]
    await asyncio.sleep(0.03)
    for task in waiting:
        task.cancel()
    begun = time.monotonic()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)
    assert time.monotonic() - begun < 1
    disk.go_on.set()
    await first
    assert await store.load("b") is None


@pytest.mark.asyncio
async def test_the_wait_for_a_key_is_bounded(path):
    store, other = FileTokenStore(path, lock_timeout=0.06), FileTokenStore(path, lock_timeout=0.06)
    async with store.lock("a"):
        for which in (store, other):
            begun = time.monotonic()
            with pytest.raises(StoreError, match="not free") as caught:
                async with which.lock("a"):
                    pass
            assert caught.value.__context__ is None
            assert time.monotonic() - begun < 2
    async with other.lock("a"):
        pass


@pytest.mark.asyncio
async def test_the_wait_for_those_who_rewrite_is_bounded(path, monkeypatch):
    monkeypatch.setattr(state_file, "REWRITE_TIMEOUT", 0.06)
    store = FileTokenStore(path)
    await store.save("a", stored(1))
    with open(path.with_name("tokens.json.lock"), "rb") as lock:  # noqa: ASYNC230, PTH123
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = await error_texts(store.save("a", stored(2)))
        assert "somebody else holds it" in told[0]
        assert await store.load("a") == stored(1)
    await store.save("a", stored(2))


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EIO])
async def test_a_file_system_that_has_no_locks_is_told_and_not_worked_around(path, monkeypatch, code):
    store = FileTokenStore(path)

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for call in (store.save("a", stored()), store.lock("a").__aenter__()):
        told = await error_texts(call)
        assert os.strerror(code) in told[0]
    assert not path.exists()


@pytest.mark.asyncio
async def test_a_lock_file_that_cannot_be_removed_stays_and_harms_nobody(path, monkeypatch):
    store, unlink = FileTokenStore(path), os.unlink

    def refuse(name, **options):
        if str(name).endswith(".lock"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    for _ in range(2):
        async with store.lock("a"):
            await store.save("a", stored())
    assert len(list(path.parent.glob("*.lock"))) == 2


@pytest.mark.asyncio
async def test_a_lock_that_cannot_be_given_back_does_not_cost_what_was_done_under_it(path, monkeypatch, caplog):
    store, flock = FileTokenStore(path), fcntl.flock

    def refuse_to_unlock(file, operation):
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flock(file, operation)

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse_to_unlock)
        async with store.lock("a"):
            pass
    assert "could not be released: Input/output error" in caplog.text


@pytest.mark.asyncio
async def test_the_lock_s_file_may_go_while_others_wait_for_it(path):
    """Each holder deletes the file of its lock. Whoever got hold of it before must try again at the name."""
    stores, inside = [FileTokenStore(path) for _ in range(4)], []

    async def visit(store):
        for _ in range(10):
            async with store.lock("a"):
                inside.append(store)
                await asyncio.sleep(0)
                assert inside == [store]
                inside.clear()

    async with asyncio.timeout(20):
        await asyncio.gather(*map(visit, stores))


def test_one_store_in_several_loops(path):
    """One loop after the other, and two at once in threads of their own: the file's lock is between them too."""
    store = FileTokenStore(path)

    async def count(times):
        async def step():
            async with store.lock("a"):
                before = await store.load("a")
                await store.save("a", stored(1 if before is None else before.generation + 1))

        await asyncio.gather(*(step() for _ in range(times)))

    asyncio.run(count(3))
    threads = [threading.Thread(target=lambda: asyncio.run(count(4))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(store.load("a")) == stored(11)


@pytest.mark.asyncio
async def test_how_often_a_lock_is_asked_for(path, caplog):
    """Often enough to be handed over soon, and not without a pause."""
    caplog.set_level(logging.DEBUG, "filelock")
    store, other = FileTokenStore(path), FileTokenStore(path, lock_timeout=0.2)
    async with store.lock("a"):
        caplog.clear()
        await error_texts(other.lock("a").__aenter__())
    asked = sum("Attempting to acquire" in record.message for record in caplog.records)
    assert 1 < asked <= 0.2 / locks.ASK_AGAIN + 2


@pytest.mark.asyncio
async def test_tasks_of_one_process_stand_in_line_instead_of_asking_for_the_lock(path, caplog):
    caplog.set_level(logging.DEBUG, "filelock")
    store = FileTokenStore(path)

    async def visit(number):
        async with store.lock("a"):
            await store.save(f"{number}", stored())

    await asyncio.gather(*map(visit, range(10)), *(store.save("b", stored()) for _ in range(10)))
    assert "Attempting to acquire" in caplog.text
    assert "not acquired" not in caplog.text


@pytest.mark.asyncio
async def test_what_fails_while_its_caller_is_cancelled_is_not_reported_as_forgotten(caplog):
    go_on = threading.Event()

    def fail():
        go_on.wait(10)
        raise StoreError(CANARY)

    task = asyncio.create_task(finish_in_thread(fail))
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    del task  # its traceback holds the future
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.asyncio
async def test_what_ends_by_itself_is_passed_on():
    async def give():
        return 5

    async def fail():
        raise ZeroDivisionError

    assert await finish(asyncio.ensure_future(give())) == 5
    with pytest.raises(ZeroDivisionError):
        await finish(asyncio.ensure_future(fail()))
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await finish(cancelled)
    assert await wait_until_done(cancelled) is None
