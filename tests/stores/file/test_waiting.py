"""Stores that wait for the disk, for another process or for their thread: other work goes on, and the wait ends."""

import asyncio
import contextlib
import gc
import sqlite3
import sys
import threading
import time

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async.stores.file import FileTokenStore, jobs
from twilio_oauth_async.stores.file.connection import OpenDatabase
from twilio_oauth_async.stores.file.database import _Server

EPOCH = stored().epoch


class Disk:
    """Blocks the thread of a store in the middle of a read or write, until it is released."""

    def __init__(self, monkeypatch):
        self.reached, self.released = threading.Event(), threading.Event()
        encryption = OpenDatabase.encryption

        def blocked(database):
            self.reached.set()
            assert self.released.wait(10)
            return encryption(database)

        monkeypatch.setattr(OpenDatabase, "encryption", blocked)

    async def until_reached(self):
        while not self.reached.is_set():
            await asyncio.sleep(0.001)


@pytest.fixture
def disk(monkeypatch):
    disk = Disk(monkeypatch)
    yield disk
    disk.released.set()


@pytest.fixture
def commits(monkeypatch):
    """The sizes of the batches that are committed."""
    sizes, commit = [], _Server._commit

    def counted(server, batch):
        sizes.append(len(batch))
        return commit(server, batch)

    monkeypatch.setattr(_Server, "_commit", counted)
    return sizes


@contextlib.contextmanager
def locked(path):
    """The lock for writers, held by another connection."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.execute("ROLLBACK")
    connection.close()


@pytest.mark.asyncio
async def test_slow_disk_does_not_block_the_event_loop(store, disk):
    saving, turns = asyncio.create_task(store.save("a", stored(), replaces=None)), 0
    await disk.until_reached()
    for _ in range(50):
        await asyncio.sleep(0)
        turns += 1
    assert not saving.done()
    disk.released.set()
    await saving
    assert turns == 50


@pytest.mark.asyncio
async def test_cancelled_save_finishes_before_cancelled_error(store, open_tokens, disk):
    saving = asyncio.create_task(store.save("a", stored(1), replaces=None))
    await disk.until_reached()
    for _ in range(3):
        saving.cancel()
        await asyncio.sleep(0.01)
    assert not saving.done()
    disk.released.set()
    await asyncio.wait([saving])
    assert saving.cancelled()
    assert await open_tokens().load("a") == stored(1)


@pytest.mark.asyncio
async def test_save_cancelled_before_it_starts_is_not_made(store, disk):
    first = asyncio.create_task(store.save("a", stored(), replaces=None))
    await disk.until_reached()
    waiting = asyncio.create_task(store.save("b", stored(), replaces=None))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=1)
    assert waiting.cancelled()
    disk.released.set()
    await first
    assert await store.load("b") is None


@pytest.mark.asyncio
async def test_changes_that_wait_are_committed_together(store, disk, commits):
    first = asyncio.create_task(store.save("a", stored(), replaces=None))
    await disk.until_reached()
    others = [asyncio.create_task(store.save(f"{n}", stored(), replaces=None)) for n in range(300)]
    await asyncio.sleep(0.01)
    disk.released.set()
    await asyncio.gather(first, *others)
    assert commits == [1, 300]


@pytest.mark.asyncio
async def test_change_that_fails_does_not_undo_the_others_of_its_commit(store, disk, commits):
    first = asyncio.create_task(store.save("a", stored(5), replaces=None))
    await disk.until_reached()
    calls = [
        store.save("b", stored(), replaces=None),
        store.save("a", stored(4), replaces=EPOCH),
        store.save("c", stored(access_token="\ud800"), replaces=None),
        store.save("a", stored(6), replaces=EPOCH),
        store.delete("d"),
    ]
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0.01)
    disk.released.set()
    await first
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == [
        *("NoneType", "StoreConflict", "ConfigurationError", "NoneType", "NoneType")
    ]
    assert commits == [1, 5]
    assert [await store.load(key) for key in "abcd"] == [stored(6), stored(1), None, None]
    assert await store.is_deleted("d") is True


@pytest.mark.asyncio
async def test_commit_that_fails_is_repeated_for_each_change_alone(store, commits, monkeypatch):
    """So that one change that does not fit on the disk fails alone."""
    put = "twilio_oauth_async.stores.file.tokens._put"
    real = sys.modules["twilio_oauth_async.stores.file.tokens"]._put

    def full(rows, at, *arguments):
        if at.user == "big":
            raise sqlite3.OperationalError("database or disk is full")
        real(rows, at, *arguments)

    monkeypatch.setattr(put, full)
    await store.delete("x")
    outcomes = await asyncio.gather(
        *(store.save(key, stored(), replaces=None) for key in ("a", "big", "b")), return_exceptions=True
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "StoreError", "NoneType"]
    assert "tokens.db: database or disk is full" in str(outcomes[1])
    assert [await store.load(key) for key in ("a", "big", "b")] == [stored(), None, stored()]


@pytest.mark.asyncio
async def test_hanging_disk_raises_store_error_in_time(store, disk, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "CALL_TIMEOUT", 0.1)
        for call in (store.save("a", stored(), replaces=None), store.load("a"), store.delete("a"), store.close()):
            begun = time.monotonic()
            texts = await error_texts(call)
            assert "did not respond within 0.1 s" in texts[0]
            assert time.monotonic() - begun < 2
            assert not [text for text in texts if CANARY in text]
    disk.released.set()
    assert await store.load("a") == stored()  # the save had started


@pytest.mark.asyncio
async def test_call_that_timed_out_before_it_started_is_not_made(store, disk, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "CALL_TIMEOUT", 0.1)
        blocking = asyncio.create_task(error_texts(store.save("a", stored(), replaces=None)))
        await disk.until_reached()
        assert await error_texts(store.save("b", stored(), replaces=None))
        await blocking
    disk.released.set()
    assert await store.load("b") is None


@pytest.mark.asyncio
async def test_write_lock_of_another_process_raises_store_error_in_time_and_reads_go_on(store, path, monkeypatch):
    await store.save("a", stored(), replaces=None)
    with locked(path), monkeypatch.context() as patch:
        patch.setattr(jobs, "CALL_TIMEOUT", 0.3)
        saving = asyncio.create_task(error_texts(store.save("a", stored(2), replaces=EPOCH)))
        await asyncio.sleep(0)
        assert await store.load("a") == stored()
        texts = await saving
        assert "another process has locked it for too long" in texts[0]
        assert not [text for text in texts if CANARY in text]
    await store.save("a", stored(3), replaces=EPOCH)
    assert await store.load("a") == stored(3)


@pytest.mark.asyncio
async def test_write_waits_until_another_process_releases_its_lock(store, path):
    await store.save("a", stored(), replaces=None)
    with locked(path):
        saving = asyncio.create_task(store.save("a", stored(2), replaces=EPOCH))
        cancelled = asyncio.create_task(store.save("b", stored(), replaces=None))
        await asyncio.sleep(0.1)
        cancelled.cancel()
        await asyncio.wait([cancelled], timeout=1)
        assert cancelled.cancelled()
        assert not saving.done()
    await saving
    assert await store.load("a") == stored(2)
    assert await store.load("b") is None


def test_store_works_in_several_event_loops_at_once_and_after_each_other(path):
    store = FileTokenStore(path)

    async def count(times):
        async def step():
            async with store.lock("a"):
                before = await store.load("a")
                generation = 1 if before is None else before.generation + 1
                await store.save("a", stored(generation), replaces=EPOCH)

        await asyncio.gather(*(step() for _ in range(times)))

    asyncio.run(count(3))
    threads = [threading.Thread(target=lambda: asyncio.run(count(4))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asyncio.run(store.load("a")) == stored(11)
    asyncio.run(store.close())


def test_event_loop_that_is_closed_meanwhile_is_ignored(path, monkeypatch, caplog):
    disk, store = Disk(monkeypatch), FileTokenStore(path)

    async def leave():
        task = asyncio.create_task(store.save("a", stored(), replaces=None))
        await disk.until_reached()
        return task

    loop = asyncio.new_event_loop()
    task = loop.run_until_complete(leave())
    task._log_destroy_pending = False
    loop.close()
    disk.released.set()
    assert asyncio.run(store.load("a")) == stored()
    asyncio.run(store.close())
    assert "Traceback" not in caplog.text


@pytest.mark.asyncio
async def test_store_that_is_garbage_collected_closes_its_database(path):
    store = FileTokenStore(path)
    await store.save("a", stored(), replaces=None)
    thread = store._database._jobs._thread
    del store
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
    assert not path.with_name("tokens.db-wal").exists()


@pytest.mark.asyncio
async def test_close_waits_for_calls_and_the_store_can_be_used_again(store):
    saving = asyncio.gather(*(store.save(f"{n}", stored(), replaces=None) for n in range(20)))
    await asyncio.sleep(0)
    await store.close()
    await saving
    await store.close()
    assert await store.load("7") == stored()


@pytest.mark.asyncio
async def test_failure_of_a_cancelled_call_is_not_reported_as_never_retrieved(store, disk, caplog):
    saving = asyncio.create_task(store.save("a", stored(access_token="\ud800"), replaces=None))
    await disk.until_reached()
    saving.cancel()
    await asyncio.sleep(0)
    disk.released.set()
    await asyncio.wait([saving])
    assert saving.cancelled()
    del saving
    gc.collect()
    assert "never retrieved" not in caplog.text
