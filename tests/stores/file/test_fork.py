"""Forked processes: SQLite keeps its locks per process, so a database must not be open while a process forks."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import stored
from twilio_oauth_async.stores.file import FileTokenStore, jobs
from twilio_oauth_async.stores.file.connection import OpenDatabase

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
EPOCH = stored().epoch


def run_forked(work):
    """Run `work` in a forked process, and fail if it raises."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - it must not run the code of its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


async def count(store, times):
    for _ in range(times):
        async with store.lock("a"):
            before = await store.load("a")
            await store.save("a", stored(1 if before is None else before.generation + 1), replaces=EPOCH)


def test_store_works_in_parent_and_child_after_a_fork(path):
    store = FileTokenStore(path)
    asyncio.run(count(store, 2))
    run_forked(lambda: asyncio.run(count(store, 2)))
    asyncio.run(count(store, 2))
    assert asyncio.run(store.load("a")) == stored(6)
    asyncio.run(store.close())


def test_child_takes_locks_of_its_own(path):
    """With the connection of its parent, SQLite in the child would act as if it had the parent's locks.

    Then the end of the parent, or any other process, would delete the log that the child uses.
    """
    store = FileTokenStore(path)
    asyncio.run(store.save("a", stored(), replaces=None))

    def use():
        assert asyncio.run(store.load("a")) == stored()
        asyncio.run(store.save("a", stored(2), replaces=EPOCH))
        log = path.with_name("tokens.db-wal").stat().st_ino
        other = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
            "c.execute('SELECT count(*) FROM tokens').fetchone(); c.close()"
        )
        subprocess.run([sys.executable, "-c", other, path], check=True)
        assert path.with_name("tokens.db-wal").stat().st_ino == log
        asyncio.run(store.save("a", stored(3), replaces=EPOCH))
        asyncio.run(store.close())

    run_forked(use)
    assert asyncio.run(store.load("a")) == stored(3)
    asyncio.run(store.close())


def test_fork_during_calls_keeps_the_calls_of_the_parent(path):
    store = FileTokenStore(path)

    async def save_and_fork():
        saving = [asyncio.create_task(store.save(f"{n}", stored(), replaces=None)) for n in range(100)]
        await asyncio.sleep(0)
        run_forked(lambda: None)
        await asyncio.gather(*saving)
        await store.close()

    asyncio.run(save_and_fork())
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (100,)
    connection.close()


def test_fork_while_locks_wait_is_not_delayed_and_leaves_the_store_usable(path, monkeypatch):
    """The thread of the locks gets several jobs and the signal to stop at once."""
    monkeypatch.setattr(jobs, "STOP_TIMEOUT", 60)
    begun, may_go_on, done = threading.Event(), threading.Event(), []
    one = jobs.JobQueue("test", jobs.run_each)

    def first():
        begun.set()
        assert may_go_on.wait(10)
        done.append("first")

    async def fork():
        running = [asyncio.create_task(one.run(first))]
        while not begun.is_set():
            await asyncio.sleep(0.001)
        running += [asyncio.create_task(one.run(lambda: done.append("later"))) for _ in range(3)]
        await asyncio.sleep(0)
        threading.Timer(0.05, may_go_on.set).start()
        run_forked(lambda: asyncio.events._set_running_loop(None) or asyncio.run(one.run(int)))
        await asyncio.gather(*running)

    before = time.monotonic()
    asyncio.run(fork())
    assert time.monotonic() - before < 30
    assert done == ["first", "later", "later", "later"]


def test_fork_while_the_disk_hangs_refuses_the_store_in_the_child(path, monkeypatch):
    monkeypatch.setattr(jobs, "STOP_TIMEOUT", 0.05)
    released, reached, encryption = threading.Event(), threading.Event(), OpenDatabase.encryption

    def blocked(database):
        reached.set()
        assert released.wait(10)
        return encryption(database)

    store = FileTokenStore(path)
    asyncio.run(store.save("b", stored(), replaces=None))
    monkeypatch.setattr(OpenDatabase, "encryption", blocked)

    async def save():
        saving = asyncio.create_task(store.save("a", stored(), replaces=None))
        while not reached.is_set():
            await asyncio.sleep(0.001)

        def refused():
            asyncio.events._set_running_loop(None)
            texts = asyncio.run(error_texts(store.load("a")))
            assert "the process was forked while the store was in use" in texts[0]

        run_forked(refused)
        released.set()
        await saving
        await store.close()

    asyncio.run(save())
    monkeypatch.undo()
    assert asyncio.run(store.load("a")) == stored()
    asyncio.run(store.close())


def test_end_of_the_process_closes_the_database(path):
    """Also without `close`: no log is left, which may hold tokens that were replaced."""
    script = f"""
import asyncio
from tests.helpers.stored_values import stored
from twilio_oauth_async.stores.file import FileTokenStore
store = FileTokenStore({str(path)!r})
asyncio.run(store.save("a", stored(), replaces=None))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.db", "tokens.db.use"}


def test_other_process_does_not_delete_the_log_that_a_store_uses(path):
    """It would, if this process opened and closed the database file: that releases the locks of SQLite."""
    store = FileTokenStore(path)
    asyncio.run(store.save("a", stored(), replaces=None))
    log = path.with_name("tokens.db-wal").stat().st_ino
    script = f"""
import asyncio
from tests.helpers.stored_values import stored
from twilio_oauth_async.stores.file import FileTokenStore
async def main():
    store = FileTokenStore({str(path)!r})
    assert await store.load("a") == stored()
    await store.save("a", stored(2), replaces=stored().epoch)
    await store.close()
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", script.replace("== stored()", "is not None")], check=True, env=environment
        )
        assert path.with_name("tokens.db-wal").stat().st_ino == log
        assert asyncio.run(store.load("a")) == stored(2)
    asyncio.run(store.save("a", stored(3), replaces=EPOCH))
    asyncio.run(store.close())
    assert asyncio.run(FileTokenStore(path).load("a")) == stored(3)


def test_package_opens_no_database_file(path):
    script = f"""
import asyncio, sys
from tests.helpers.stored_values import stored
from twilio_oauth_async.stores.file import FileTokenStore
opened = []
sys.addaudithook(lambda event, arguments: event == "open" and opened.append(str(arguments[0])))
async def main():
    store = FileTokenStore({str(path)!r})
    await store.save("a", stored(), replaces=None)
    async with store.lock("a"):
        await store.load("a")
    await store.delete("a")
    await store.close()
    await store.load("a")
asyncio.run(main())
names = {{name.rpartition("/")[2] for name in opened if "tokens.db" in name}}
print(sorted(name for name in names if not name.endswith(".lock")))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    run = subprocess.run([sys.executable, "-c", script], check=True, env=environment, capture_output=True, text=True)
    # The new database has no connection yet; afterwards it is renamed.
    assert run.stdout == "['tokens.db.new', 'tokens.db.use']\n"
