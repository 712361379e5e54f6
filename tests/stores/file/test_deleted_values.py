"""No value that was deleted is left in the files of a database, and nothing is kept for ever."""

import sqlite3

import attrs
import pytest
from cryptography.fernet import Fernet

from tests.helpers.stored_values import CANARY, CLIENT, SERVER, flow, stored
from twilio_oauth_async import VirtualClock
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore, database
from twilio_oauth_async.stores.rules import TOMBSTONE_LIFETIME

pytestmark = pytest.mark.asyncio


def of_user(user):
    return stored(access_token=f"{CANARY} of {user}")


@pytest.mark.parametrize("remove", ["delete", "erase"])
async def test_removed_token_is_in_no_file_once_the_call_returns(store, path, content_of, remove):
    """Neither in the database nor in the log, where SQLite keeps old pages."""
    for user in "abc":
        await store.save(user, of_user(user), replaces=None)
    assert f"{CANARY} of b".encode() in content_of(path.parent)
    await getattr(store, remove)("b")
    assert f"{CANARY} of b".encode() not in content_of(path.parent)
    assert f"{CANARY} of a".encode() in content_of(path.parent)


async def test_rotated_token_is_in_no_file_after_close(store, path, content_of):
    for generation in range(1, 4):
        await store.save("a", stored(generation), replaces=stored().epoch if generation > 1 else None)
    await store.close()
    content = content_of(path.parent)
    assert f"{CANARY}-refresh-2".encode() not in content
    assert f"{CANARY}-refresh-3".encode() in content


async def test_rotated_token_is_in_no_file_after_the_idle_time(store, path, content_of, monkeypatch):
    monkeypatch.setattr("twilio_oauth_async.stores.file.jobs.IDLE_TIMEOUT", 0.01)
    for generation in (1, 2):
        await store.save("a", stored(generation), replaces=stored().epoch if generation > 1 else None)
    thread = store._database._jobs._thread
    if thread is not None:
        thread.join(5)
    assert store._database._jobs._thread is None
    assert f"{CANARY}-refresh-1".encode() not in content_of(path.parent)
    assert not path.with_name("tokens.db-wal").exists()
    assert await store.load("a") == stored(2)


async def test_deleted_flow_is_in_no_file(tmp_path, content_of):
    store = FileFlowStore(tmp_path / "private" / "flows.db")
    for id_ in "ab":
        await store.create(flow(id_), owner="me", seconds=60)
    await store.delete("a")
    content = content_of(tmp_path / "private")
    assert f"{CANARY}-a".encode() not in content
    assert f"{CANARY}-b".encode() in content
    await store.close()


async def test_values_that_become_encrypted_are_in_no_file_in_plain_text(store, open_tokens, path, content_of):
    for number in range(50):
        await store.save(f"user {number}", of_user(number), replaces=None)
    await store.close()
    encrypted = open_tokens(encryption=Fernet.generate_key())
    await encrypted.encrypt()
    assert CANARY.encode() not in content_of(path.parent)
    assert await encrypted.load("user 7") == of_user(7)


async def test_log_is_emptied_as_soon_as_another_process_has_read_it(store, path, content_of, monkeypatch):
    """While it reads, the deleted value is still in the log."""
    monkeypatch.setattr(database, "FIRST_TRUNCATE", 0.01)
    await store.save("a", of_user("a"), replaces=None)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM tokens").fetchone()
    await store.delete("a")
    assert f"{CANARY} of a".encode() in content_of(path.parent)
    reader.execute("COMMIT")
    reader.close()
    for _ in range(500):
        if f"{CANARY} of a".encode() not in content_of(path.parent):
            break
    else:
        pytest.fail("the deleted value is still in a file")


async def test_log_that_a_killed_process_has_left_is_emptied(path, open_tokens, content_of, monkeypatch):
    """A process can be killed between its delete and the emptying of the log."""
    monkeypatch.setattr(database.OpenDatabase, "truncate_log", lambda _: False)
    store = open_tokens()
    await store.save("a", of_user("a"), replaces=None)
    await store.delete("a")
    assert f"{CANARY} of a".encode() in content_of(path.parent)
    monkeypatch.undo()
    monkeypatch.setattr(database, "FIRST_TRUNCATE", 0.01)
    other = open_tokens()
    assert await other.load("a") is None
    for _ in range(500):
        if f"{CANARY} of a".encode() not in content_of(path.parent):
            break
    else:
        pytest.fail("the deleted value is still in a file")


async def test_expired_tombstones_are_deleted_by_the_next_change(open_tokens, path):
    clock = VirtualClock(auto=False)
    store = open_tokens(clock=clock)
    for user in "abc":
        await store.delete(user)
    clock.advance(TOMBSTONE_LIFETIME.total_seconds())
    assert await store.is_deleted("a") is False
    await store.save("d", stored(), replaces=None)
    await store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT user FROM tokens").fetchall() == [("d",)]
    connection.close()


async def test_tombstone_holds_no_secret_and_no_time_but_its_own(store, path):
    await store.save("a", stored(), replaces=None)
    await store.delete("a")
    await store.close()
    connection = sqlite3.connect(path)
    ((value, *times),) = connection.execute("SELECT value, signed_in_at, expires_at FROM tokens")
    connection.close()
    assert value is None
    assert times[0] == int(stored().signed_in_at.timestamp() * 1_000_000)


async def test_user_can_sign_in_again_after_erase_and_delete(store):
    await store.save("a", stored(), replaces=None)
    await store.delete("a")
    await store.erase("a")
    assert await store.is_deleted("a") is False
    await store.save("a", stored(), replaces=None)
    assert await store.load("a") == stored()


async def test_leases_of_a_deleted_flow_are_deleted(tmp_path):
    store = FileFlowStore(tmp_path / "flows.db")
    await store.create(flow("a"), owner="me", seconds=60)
    await store.delete("a")
    await store.create(attrs.evolve(flow("b"), user="b"), owner="me", seconds=60)
    await store.close()
    connection = sqlite3.connect(tmp_path / "flows.db")
    assert connection.execute("SELECT count(*) FROM leases").fetchone() == (1,)
    connection.close()
    assert await store.list_due(5, client_sid=CLIENT, server=SERVER) == []
    await store.close()


async def test_settings_of_the_connection(tmp_path):
    store = FileTokenStore(tmp_path / "tokens.db")
    await store.save("a", stored(), replaces=None)
    names = ["journal_mode", "synchronous", "secure_delete", "temp_store", "user_version", "application_id"]

    def read(rows):
        return [rows.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert await store._database.read(read, None, missing=[]) == ["wal", 2, 1, 2, 1, 0x54774F74]
    await store.close()
