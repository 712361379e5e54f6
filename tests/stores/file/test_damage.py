"""Fault 28 (docs/reliability.md): a database that cannot be read is renamed; a valid one never is."""

import asyncio
import contextlib
import logging
import sqlite3
import subprocess
import sys

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, CLIENT, SERVER, flow, stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.file import FileFlowStore, use_lock

pytestmark = pytest.mark.asyncio

DAMAGED = {
    "empty": b"",
    "zeros": bytes(8192),
    "another file": f'{{"format":1,"tokens":{{"a":"{CANARY}"}}}}'.encode() * 100,
    "one byte": b"S",
    "only the header": b"SQLite format 3\0",
}


@pytest.fixture
def put(path):
    """A function that writes the database file; no store has it open."""

    def put(content):
        path.parent.mkdir(0o700, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(content)

    return put


@contextlib.contextmanager
def changing(path):
    """The database, to be changed without a store."""
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def asides(path):
    return sorted(entry.name for entry in path.parent.glob("*.set-aside-*"))


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
@pytest.mark.parametrize("first", ["load", "save", "delete"])
async def test_unreadable_database_is_renamed_and_logged(store, path, put, caplog, content, first):
    put(content)
    if first == "load":
        assert await store.load("a") is None
    elif first == "delete":
        await store.delete("a")
    else:
        await store.save("a", stored(1), replaces=None)
        assert await store.load("a") == stored(1)
    aside = path.with_name("tokens.db.set-aside-1")
    assert asides(path) == [aside.name]
    assert aside.read_bytes() == content
    assert aside.stat().st_mode & 0o077 == 0
    assert path.exists() == (first != "load")
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"{path} is damaged" in record.getMessage()
    assert str(aside) in record.getMessage()
    assert CANARY not in caplog.text
    await store.save("b", stored(2), replaces=None)
    assert await store.load("b") == stored(2)


async def test_truncated_database_is_renamed(store, path):
    for number in range(200):
        await store.save(f"user {number}", stored(), replaces=None)
    await store.close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    for number in range(200):
        assert await store.load(f"user {number}") in {None, stored()}
    assert asides(path) == ["tokens.db.set-aside-1"]
    await store.save("a", stored(), replaces=None)
    assert await store.load("a") == stored()


async def test_database_damaged_while_it_is_open_is_renamed_with_its_log(store, path):
    """The log is needed to repair it."""
    await store.save("a", stored(), replaces=None)
    await store.save("b", stored(), replaces=None)
    assert path.with_name("tokens.db-wal").stat().st_size
    # Not with open(): closing the file in this process would release the locks of SQLite.
    overwrite = "import sys; f = open(sys.argv[1], 'r+b'); f.write(bytes(4000))"
    for name in (path, path.with_name("tokens.db-wal")):
        subprocess.run([sys.executable, "-c", overwrite, name], check=True)  # noqa: ASYNC221
    store._database._jobs.stop().join(5)  # so that no page is cached
    store._database._jobs.resume()
    assert await store.load("a") is None
    assert "tokens.db.set-aside-1" in asides(path)
    await store.save("a", stored(2), replaces=None)
    assert await store.load("a") == stored(2)


async def test_renamed_databases_are_never_overwritten(store, path, put):
    for number in (1, 2, 3):
        put(b"%d" % number)
        assert await store.load("a") is None
    assert [path.with_name(name).read_bytes() for name in asides(path)] == [b"1", b"2", b"3"]


async def test_stores_that_find_damage_together_rename_one_database(open_tokens, path, put):
    put(b"{")
    stores = [open_tokens() for _ in range(4)]
    await asyncio.gather(*(one.load("a") for one in stores), stores[0].save("a", stored(), replaces=None))
    assert asides(path) == ["tokens.db.set-aside-1"]
    assert await stores[1].load("a") == stored()


async def test_damaged_database_that_another_process_has_open_is_not_renamed(store, path, monkeypatch):
    monkeypatch.setattr(use_lock, "EXCLUSIVE_TIMEOUT", 0.05)
    await store.save("a", stored(), replaces=None)
    await store.close()
    path.write_bytes(b"damaged")
    hold = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_SH); print('held', flush=True); input()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", hold, path.with_name("tokens.db.use")), stdin=-1, stdout=-1
    )
    await process.stdout.readline()
    for call in (store.load("a"), store.save("a", stored(2), replaces=None)):
        texts = await error_texts(call)
        assert "is damaged" in texts[0]
        assert "another process or store has it open" in texts[0]
    assert path.read_bytes() == b"damaged"
    assert not asides(path)
    process.kill()
    await process.communicate()
    assert await store.load("a") is None
    assert asides(path) == ["tokens.db.set-aside-1"]


async def test_log_left_without_its_database_is_not_applied_to_a_new_one(store, path):
    await store.save("a", stored(), replaces=None)
    store._database._jobs.stop().join(5)
    store._database._jobs.resume()
    left = path.with_name("tokens.db-wal")
    left.touch(0o600)
    left.write_bytes(b"a log")
    path.unlink()
    assert await store.load("a") is None
    await store.save("b", stored(), replaces=None)
    assert [user async for user in store.users()] == ["b"]
    assert path.with_name("tokens.db.set-aside-1-wal").read_bytes() == b"a log"


async def test_database_that_is_deleted_while_it_is_open_is_created_again(store, open_tokens, path):
    """Both stores notice: neither writes to the deleted file."""
    other = open_tokens()
    await store.save("a", stored(), replaces=None)
    assert await other.load("a") == stored()
    path.unlink()
    await store.save("b", stored(), replaces=None)
    assert [user async for user in other.users()] == ["b"]
    await other.save("c", stored(), replaces=None)
    assert [user async for user in store.users()] == ["b", "c"]


async def test_database_of_a_later_version_is_refused_and_left_untouched(store, path):
    await store.save("a", stored(), replaces=None)
    await store.close()
    with changing(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    for call in (store.load("a"), store.save("a", stored(2), replaces=stored().epoch), store.delete("a")):
        texts = await error_texts(call)
        assert "has format 2, which a later version of this package has written" in texts[0]
    await store.close()
    assert path.read_bytes() == before
    assert not asides(path)


async def test_database_of_another_kind_is_refused_and_left_untouched(open_tokens, tmp_path):
    path = tmp_path / "state.db"
    flows = FileFlowStore(path)
    await flows.create(flow(), owner="me", seconds=60)
    await flows.close()
    before = path.read_bytes()
    for call in ("load", "delete"):
        with pytest.raises(StoreError, match="is not a database of tokens"):
            await getattr(open_tokens(path), call)("a")
    assert path.read_bytes() == before


async def test_foreign_database_is_refused_and_left_untouched(open_tokens, tmp_path):
    path = tmp_path / "browser.db"
    path.touch(0o600)
    with changing(path) as connection:
        connection.execute("CREATE TABLE cookies (value)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not a database of tokens"):
        await open_tokens(path).load("a")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "value", [b"", b"5", b"{}", b"\xff\xfe", b'{"token":{"access_token":"s3cr3t-canary"}}', b"[" * 5000]
)
async def test_damaged_value_is_removed_and_logged_and_the_others_are_kept(store, path, caplog, value):
    await store.save("good", stored(3), replaces=None)
    await store.save("bad", stored(5), replaces=None)
    with changing(path) as connection:
        connection.execute("UPDATE tokens SET value = ? WHERE user = 'bad'", (value,))
    assert await store.load("bad") is None
    assert await store.load("good") == stored(3)
    assert [user async for user in store.users()] == ["good"]
    assert f"1 values in {path} are damaged" in caplog.text
    assert CANARY not in caplog.text
    await store.save("bad", stored(1), replaces=None)
    assert await store.load("bad") == stored(1)


async def test_damaged_value_is_replaced_by_a_save(store, path):
    await store.save("a", stored(5), replaces=None)
    with changing(path) as connection:
        connection.execute("UPDATE tokens SET value = 'x'")
    await store.save("a", stored(1), replaces=None)
    assert await store.load("a") == stored(1)


async def test_damaged_flow_is_removed_and_the_others_are_listed(tmp_path, caplog):
    path = tmp_path / "flows.db"
    store = FileFlowStore(path)
    for id_ in "abc":
        await store.create(flow(id_), owner="me", seconds=60)
        await store.release([id_], "me")
    with changing(path) as connection:
        connection.execute("UPDATE flows SET value = x'00' WHERE id = 'b'")
    due = await store.list_due(5, client_sid=CLIENT, server=SERVER)
    assert sorted(one.id for one in due) == ["a", "c"]
    assert f"1 values in {path} are damaged" in caplog.text
    assert await store.load("b") is None
    await store.create(flow("b"), owner="me", seconds=60)
    with changing(path) as connection:
        connection.execute("UPDATE flows SET value = x'00' WHERE id = 'b'")
    await store.create(flow("b"), owner="me", seconds=60)
    assert (await store.load("b")).id == "b"
    await store.close()
