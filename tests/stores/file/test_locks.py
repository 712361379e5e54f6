"""The locks of keys: between tasks, event loops and processes, limited in time, and never without a lock."""

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
from tests.helpers.stored_values import CLIENT, SERVER, stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.file import FileTokenStore, jobs, locks
from twilio_oauth_async.stores.records import TokenKey

pytestmark = pytest.mark.asyncio
EPOCH = stored().epoch


async def test_wait_for_a_held_lock_is_limited_in_time(open_tokens):
    store, other = open_tokens(lock_timeout=0.06), open_tokens(lock_timeout=0.06)
    async with store.lock("a"):
        for which in (store, other):
            begun = time.monotonic()
            with pytest.raises(StoreError, match=r"not free within 0\.06 s") as caught:
                async with which.lock("a"):
                    pass
            assert caught.value.__context__ is None
            assert time.monotonic() - begun < 2
    async with other.lock("a"):
        pass


async def test_locks_of_clients_and_servers_are_separate(store, open_tokens):
    async with store.lock("a"), store.lock(TokenKey("a", CLIENT)), open_tokens().lock(TokenKey("a", CLIENT, SERVER)):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EIO])
async def test_file_system_without_locks_raises_store_error(store, path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for call in (store.save("a", stored(), replaces=None), store.lock("a").__aenter__()):
        texts = await error_texts(call)
        assert os.strerror(code) in texts[0]
    assert not path.exists()


async def test_lock_file_that_cannot_be_deleted_does_no_harm(store, path, monkeypatch):
    unlink = os.unlink

    def refuse(name, **options):
        if str(name).endswith(".lock"):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    for _ in range(2):
        async with store.lock("a"):
            pass
    assert len(list(path.parent.glob("*.lock"))) == 1


async def test_lock_that_cannot_be_released_is_logged_and_the_work_is_kept(store, monkeypatch, caplog):
    release = locks._delete_and_release

    def refuse(lock):
        release(lock)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(locks, "_delete_and_release", refuse)
    async with store.lock("a"):
        pass
    assert "could not be released: Input/output error" in caplog.text


async def test_lock_whose_file_is_deleted_by_each_holder_has_one_holder(open_tokens):
    stores, inside = [open_tokens() for _ in range(4)], []

    async def visit(store):
        for _ in range(10):
            async with store.lock("a"):
                inside.append(store)
                await asyncio.sleep(0)
                assert inside == [store]
                inside.clear()

    async with asyncio.timeout(20):
        await asyncio.gather(*map(visit, stores))


async def test_held_lock_is_tried_again_at_intervals(open_tokens, caplog):
    caplog.set_level(logging.DEBUG, "filelock")
    store, other = open_tokens(), open_tokens(lock_timeout=0.2)
    async with store.lock("a"):
        caplog.clear()
        await error_texts(other.lock("a").__aenter__())
    attempts = sum("Attempting to acquire" in record.message for record in caplog.records)
    assert 1 < attempts <= 0.2 / locks.RETRY_INTERVAL + 2


async def test_tasks_of_one_loop_wait_without_trying_the_lock_file(store, caplog):
    caplog.set_level(logging.DEBUG, "filelock")

    async def visit():
        async with store.lock("a"):
            await asyncio.sleep(0)

    await asyncio.gather(*(visit() for _ in range(10)))
    assert sum("Attempting to acquire" in record.message for record in caplog.records) == 10


async def test_hanging_file_system_raises_store_error_in_time(store, monkeypatch):
    released, prepare = threading.Event(), type(store._folder).prepare
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "CALL_TIMEOUT", 0.05)
        patch.setattr(type(store._folder), "prepare", lambda folder: released.wait(10) and prepare(folder))
        for _ in range(2):
            texts = await error_texts(store.lock("a").__aenter__())
            assert "did not respond within 0.05 s" in texts[0]
    released.set()
    async with store.lock("a"):
        pass


@pytest.mark.asyncio(loop_scope="function")
async def test_lock_excludes_the_tasks_of_other_event_loops(path):
    store, inside = FileTokenStore(path), []

    async def visit():
        for _ in range(5):
            async with store.lock("a"):
                inside.append(threading.get_ident())
                await asyncio.sleep(0.001)
                assert len(inside) == 1
                inside.clear()

    threads = [threading.Thread(target=lambda: asyncio.run(visit())) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await asyncio.sleep(0.01)
    assert not inside


@pytest.mark.parametrize("same_store", [True, False])
async def test_holder_can_save_and_release_while_many_tasks_wait(open_tokens, same_store):
    """The tasks wait in the event loop, not in threads, which the holder needs."""
    holder = open_tokens()
    others = [holder if same_store else open_tokens() for _ in range(20)]

    async def take_turn(store):
        async with store.lock("a"):
            before = await store.load("a")
            await store.save("a", stored(before.generation + 1), replaces=EPOCH)

    async with asyncio.timeout(20):
        async with holder.lock("a"):
            waiting = [asyncio.create_task(take_turn(store)) for store in others]
            await asyncio.sleep(0.1)
            await holder.save("a", stored(1), replaces=None)
        await asyncio.gather(*waiting)
    assert await holder.load("a") == stored(21)


async def test_store_that_is_garbage_collected_ends_the_thread_of_its_locks(path):
    store = FileTokenStore(path)
    async with store.lock("a"):
        thread = store._locks._jobs._thread
    await store.close()
    del store
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
