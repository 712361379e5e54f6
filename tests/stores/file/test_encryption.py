"""Encrypted databases: what is on the disk, key rotation, wrong keys, and never plain text by accident."""

import asyncio
import pickle
import sqlite3

import pytest
from cryptography.fernet import Fernet

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, CLIENT, SERVER, flow, stored
from twilio_oauth_async import ConfigurationError, StoreError
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore
from twilio_oauth_async.stores.records import TokenKey

OLD, NEW, OTHER = (Fernet.generate_key() for _ in range(3))
EPOCH = stored().epoch


async def check_refused(store, path, reason, *, but=()):
    """Each call, but those in `but`, fails for `reason` and changes nothing."""
    calls = {
        "load": lambda: store.load("a"),
        "save": lambda: store.save("a", stored(9), replaces=EPOCH),
        "save new": lambda: store.save("another", stored(), replaces=None),
        "delete": lambda: store.delete("a"),
        "erase": lambda: store.erase("a"),
        "encrypt": store.encrypt,
    }
    before = path.read_bytes()
    for name, call in calls.items():
        if name in but:
            continue
        texts = await error_texts(call())
        assert texts, name
        assert texts[1].startswith("StoreError("), texts
        assert reason in texts[0], name
        assert str(path) in texts[0]
        assert not [text for text in texts if any(key.decode() in text for key in (OLD, NEW, OTHER))]
    await store.close()
    assert path.read_bytes() == before
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.db", "tokens.db.use"}


@pytest.fixture
def save(open_tokens):
    """A function that saves tokens with a key and closes the store."""

    async def save(key, *users):
        store = open_tokens(encryption=key)
        for user in users:
            await store.save(user, stored(), replaces=None)
        await store.close()
        return store

    return save


@pytest.mark.asyncio
@pytest.mark.parametrize("key", [NEW, NEW.decode(), [NEW], (NEW.decode(), OLD)], ids=["bytes", "str", "list", "tuple"])
async def test_encrypted_tokens_are_not_legible_on_the_disk(open_tokens, path, content_of, key):
    store = open_tokens(encryption=key)
    await store.save(TokenKey("a", CLIENT, SERVER), stored(), replaces=None)
    content = content_of(path.parent)
    assert CANARY.encode() not in content
    assert b"calls:read" not in content
    assert await open_tokens(encryption=key).load(TokenKey("a", CLIENT, SERVER)) == stored()


@pytest.mark.asyncio
async def test_encrypted_flows_are_not_legible_on_the_disk(tmp_path, content_of):
    store = FileFlowStore(tmp_path / "private" / "flows.db", encryption=NEW)
    await store.create(flow(), owner="me", seconds=60)
    await store.end("a", "denied", "The user said no.")
    content = content_of(tmp_path / "private")
    for secret in (CANARY.encode(), b"ABCD-EFGH", b"chat", b"The user said no."):
        assert secret not in content
    await store.close()


@pytest.mark.asyncio
async def test_key_rotation_first_key_encrypts_and_all_decrypt(open_tokens, save, path):
    await save(OLD, "a")
    both = await save([NEW, OLD], "b")
    assert await both.load("a") == await both.load("b") == stored()
    await both.close()
    await check_refused(open_tokens(encryption=NEW), path, "cannot be decrypted with any of the given keys")
    await both.encrypt()
    new = open_tokens(encryption=NEW)
    assert await new.load("a") == await new.load("b") == stored()
    await new.close()
    await both.close()
    await check_refused(open_tokens(encryption=OLD), path, "cannot be decrypted with any of the given keys")


@pytest.mark.asyncio
async def test_store_with_the_old_key_is_refused_after_a_rotation_while_it_is_open(open_tokens, save):
    """Otherwise it would save values that the new key does not decrypt."""
    await save(OLD, "a")
    old = open_tokens(encryption=OLD)
    assert await old.load("a") == stored()
    await open_tokens(encryption=[NEW, OLD]).encrypt()
    for call in (old.load("a"), old.save("b", stored(), replaces=None)):
        with pytest.raises(StoreError, match="cannot be decrypted"):
            await call
    assert [user async for user in open_tokens(encryption=NEW).users()] == ["a"]


@pytest.mark.asyncio
async def test_database_with_another_key_is_refused_and_kept(open_tokens, save, path):
    await save(OLD, "a")
    await check_refused(open_tokens(encryption=OTHER), path, "cannot be decrypted with any of the given keys")
    assert await open_tokens(encryption=OLD).load("a") == stored()


@pytest.mark.asyncio
async def test_encrypted_database_without_a_key_is_refused_and_kept(open_tokens, save, path):
    await save(OLD, "a")
    store = open_tokens()
    await check_refused(store, path, "it is encrypted: create the store with encryption=", but={"encrypt"})
    with pytest.raises(ConfigurationError, match="without encryption"):
        await store.encrypt()


@pytest.mark.asyncio
async def test_plain_database_is_refused_until_encrypt(open_tokens, save, path):
    """A process that can write to the folder but has no key could otherwise make the store use its own token."""
    await save(None, "a")
    store = open_tokens(encryption=NEW)
    await check_refused(store, path, "it is not encrypted", but={"encrypt"})
    await store.encrypt()
    assert await store.load("a") == stored()
    await store.close()
    assert CANARY.encode() not in path.read_bytes()
    with pytest.raises(StoreError, match="it is encrypted"):
        await open_tokens().load("a")


@pytest.mark.asyncio
async def test_plain_value_in_an_encrypted_database_is_refused(open_tokens, save, path):
    await save(NEW, "a", "b")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE tokens SET value = ? WHERE user = 'a'", (stored().to_json().encode(),))
    connection.close()
    store = open_tokens(encryption=NEW)
    for call in (store.load("a"), store.save("a", stored(2), replaces=EPOCH), store.encrypt()):
        assert "cannot be decrypted" in (await error_texts(call))[0]
    assert await store.load("b") == stored()


@pytest.mark.asyncio
async def test_encrypted_value_in_a_plain_database_is_refused_and_kept(open_tokens, save, path):
    await save(None, "a")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE tokens SET value = ?", (Fernet(NEW).encrypt(b"x"),))
    connection.close()
    store = open_tokens()
    assert "a value is encrypted" in (await error_texts(store.load("a")))[0]
    assert [user async for user in store.users()] == ["a"]


@pytest.mark.asyncio
async def test_value_moved_to_another_user_is_refused(open_tokens, save, path):
    await save(NEW, "a", "b")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE tokens SET value = (SELECT value FROM tokens WHERE user = 'a') WHERE user = 'b'")
    connection.close()
    store = open_tokens(encryption=NEW)
    assert await store.load("a") == stored()
    assert "was stored for another key, and was moved" in (await error_texts(store.load("b")))[0]


@pytest.mark.asyncio
async def test_changed_value_is_refused_and_kept(open_tokens, save, path):
    await save(NEW, "a")
    connection = sqlite3.connect(path, isolation_level=None)
    ((value,),) = connection.execute("SELECT value FROM tokens")
    changed = value[:-20] + (b"A" if value[-20:-19] != b"A" else b"B") + value[-19:]
    connection.execute("UPDATE tokens SET value = ?", (changed,))
    connection.close()
    store = open_tokens(encryption=NEW)
    assert "cannot be decrypted" in (await error_texts(store.load("a")))[0]
    await store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT value FROM tokens").fetchall() == [(changed,)]
    connection.close()


@pytest.mark.asyncio
async def test_encrypt_keeps_tombstones_and_many_values(open_tokens, save):
    await save(OLD, *(f"user {n}" for n in range(1100)))
    store = open_tokens(encryption=[NEW, OLD])
    await store.delete("user 7")
    await store.encrypt()
    new = open_tokens(encryption=NEW)
    assert await new.is_deleted("user 7") is True
    assert await new.load("user 1099") == stored()
    assert len([user async for user in new.users()]) == 1099


@pytest.mark.asyncio
async def test_flows_are_encrypted_again_with_the_new_key(tmp_path):
    path = tmp_path / "flows.db"
    old = FileFlowStore(path, encryption=OLD)
    created = await old.create(flow(), owner="me", seconds=60)
    await old.close()
    both = FileFlowStore(path, encryption=[NEW, OLD])
    await both.encrypt()
    await both.close()
    new = FileFlowStore(path, encryption=NEW)
    assert await new.load("a") == created
    assert await new.end("a", "cancelled") is True
    await new.close()


@pytest.mark.asyncio
async def test_encrypt_without_a_database_creates_none(open_tokens, path):
    await open_tokens(encryption=NEW).encrypt()
    assert not path.parent.exists()


@pytest.mark.asyncio
async def test_saves_during_encrypt_are_encrypted(open_tokens, save):
    await save(OLD, *(f"user {n}" for n in range(200)))
    both = open_tokens(encryption=[NEW, OLD])
    await asyncio.gather(both.encrypt(), *(both.save(f"new {n}", stored(), replaces=None) for n in range(20)))
    new = open_tokens(encryption=NEW)
    assert await new.load("new 7") == await new.load("user 7") == stored()


@pytest.mark.asyncio
async def test_damaged_database_is_renamed_with_encryption_too(open_tokens, path):
    path.parent.mkdir(0o700)
    path.touch(0o600)
    store = open_tokens(encryption=NEW)
    assert await store.load("a") is None
    assert path.with_name("tokens.db.set-aside-1").exists()
    await store.save("a", stored(), replaces=None)
    assert await store.load("a") == stored()


@pytest.mark.parametrize("key", [b"", "", "short", b"\xff" * 44, [], [NEW, "x"], [None], b"A" * 42, 5, {}, [5]])
def test_invalid_key_raises_configuration_error_without_the_key(key):
    with pytest.raises(ConfigurationError, match="encryption") as caught:
        FileTokenStore("x", encryption=key)
    assert caught.value.__context__ is None
    assert "short" not in str(caught.value)


def test_store_shows_no_key():
    store = FileTokenStore("x", encryption=NEW)
    shown = [store, vars(store), vars(store._keys), vars(store._keys._cipher), vars(store._database)]
    assert NEW.decode() not in repr(shown)
    for value in (store, store._keys, store._keys._cipher, store._database):
        with pytest.raises(TypeError):
            pickle.dumps(value)
