"""Encrypted files: what is on the disk, rotation of keys, wrong ones, and never plain text by accident."""

import json
import pickle

import pytest
from cryptography.fernet import Fernet

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, flow, stored
from twilio_oauth_async import ConfigurationError, StoreError
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

OLD, NEW, OTHER = (Fernet.generate_key() for _ in range(3))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


def folder_of(path):
    return sorted(entry.name for entry in path.parent.iterdir())


async def kept(path, store, reason):
    """Each call fails for `reason`, and the file is as it was, under its name."""
    was, names = path.read_bytes(), {*folder_of(path), "tokens.json.lock"}
    for call in (store.load("a"), store.save("a", stored(9)), store.delete("a"), store.encrypt()):
        if reason == "not encrypted" and call.__name__ == "encrypt":
            call.close()
            continue
        told = await error_texts(call)
        assert told[1].startswith("StoreError("), told
        assert reason in told[0]
        assert str(path) in told[0]
        assert not [text for text in told if any(key.decode() in text for key in (OLD, NEW, OTHER))]
    assert path.read_bytes() == was
    assert set(folder_of(path)) == names


@pytest.mark.asyncio
@pytest.mark.parametrize("key", [NEW, NEW.decode(), [NEW], (NEW.decode(), OLD)], ids=["bytes", "str", "list", "tuple"])
async def test_nothing_legible_is_on_the_disk(path, key):
    store = FileTokenStore(path, encryption=key)
    await store.save("the user", stored())
    assert await FileTokenStore(path, encryption=key).load("the user") == stored()
    content = path.read_bytes()
    assert CANARY.encode() not in content
    assert b"the user" not in content
    assert set(json.loads(content)) == {"format", "kind", "sealed"}


@pytest.mark.asyncio
async def test_rotation_the_first_key_encrypts_and_all_decrypt(path):
    await FileTokenStore(path, encryption=OLD).save("a", stored(1))
    both = FileTokenStore(path, encryption=[NEW, OLD])
    assert await both.load("a") == stored(1)
    await kept(path, FileTokenStore(path, encryption=NEW), "none of the keys opens it")
    await both.save("b", stored(1))
    new = FileTokenStore(path, encryption=NEW)
    assert [await new.load(key) for key in "ab"] == [stored(1), stored(1)]
    await kept(path, FileTokenStore(path, encryption=OLD), "none of the keys opens it")


@pytest.mark.asyncio
async def test_rotation_without_waiting_for_a_save(path):
    await FileTokenStore(path, encryption=OLD).save("a", stored(1))
    await FileTokenStore(path, encryption=[NEW, OLD]).encrypt()
    assert await FileTokenStore(path, encryption=NEW).load("a") == stored(1)


@pytest.mark.asyncio
async def test_a_wrong_key_does_not_cost_the_file(path):
    await FileTokenStore(path, encryption=OLD).save("a", stored(1))
    await kept(path, FileTokenStore(path, encryption=OTHER), "none of the keys opens it")
    assert await FileTokenStore(path, encryption=OLD).load("a") == stored(1)


@pytest.mark.asyncio
async def test_a_changed_file_is_refused_and_kept(path):
    await FileTokenStore(path, encryption=NEW).save("a", stored(1))
    content = json.loads(path.read_bytes())
    token = content["sealed"]
    content["sealed"] = token[:-20] + ("A" if token[-20] != "A" else "B") + token[-19:]
    path.write_text(json.dumps(content))
    await kept(path, FileTokenStore(path, encryption=NEW), "none of the keys opens it")


@pytest.mark.asyncio
async def test_a_sealed_file_of_one_kind_cannot_pass_for_one_of_another(path):
    await FileFlowStore(path, encryption=NEW).save(flow())
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps({**content, "kind": "tokens"}))
    await kept(path, FileTokenStore(path, encryption=NEW), "something else than tokens")


@pytest.mark.asyncio
async def test_an_encrypted_file_and_no_key(path):
    await FileTokenStore(path, encryption=NEW).save("a", stored(1))
    store = FileTokenStore(path)
    for call in (store.load("a"), store.save("a", stored(2))):
        with pytest.raises(StoreError, match="it is encrypted"):
            await call
    assert await FileTokenStore(path, encryption=NEW).load("a") == stored(1)


@pytest.mark.asyncio
async def test_plain_text_is_refused_until_somebody_says_that_it_is_to_be_taken_over(path):
    """Whoever can write there but has no key could otherwise make us use a token of theirs."""
    await FileTokenStore(path).save("a", stored(1))
    store = FileTokenStore(path, encryption=NEW)
    await kept(path, store, "not encrypted")
    await store.encrypt()
    assert CANARY.encode() not in path.read_bytes()
    assert await store.load("a") == stored(1)
    flows = path.with_name("flows.json")
    await FileFlowStore(flows).save(flow())
    await FileFlowStore(flows, encryption=NEW).encrypt()
    assert CANARY.encode() not in flows.read_bytes()


@pytest.mark.asyncio
async def test_there_is_nothing_to_encrypt_yet(path):
    await FileTokenStore(path, encryption=NEW).encrypt()
    assert not path.exists()


@pytest.mark.asyncio
async def test_what_is_damaged_is_set_aside_here_too(path):
    path.touch(0o600)
    store = FileTokenStore(path, encryption=NEW)
    assert await store.load("a") is None
    assert path.with_name("tokens.json.set-aside-1").exists()
    await store.save("a", stored(1))
    assert await store.load("a") == stored(1)


@pytest.mark.parametrize("key", [b"", "", "short", b"\xff" * 44, [], [NEW, "x"], [None], b"A" * 42, 5, {}, [5]])
def test_what_is_no_key(path, key):
    with pytest.raises(ConfigurationError, match="encryption: ") as caught:
        FileTokenStore(path, encryption=key)
    assert caught.value.__context__ is None
    assert "short" not in str(caught.value)


def test_a_store_with_a_key_tells_nothing_of_it(path):
    store = FileTokenStore(path, encryption=NEW)
    assert NEW.decode() not in repr(store) + repr(vars(store)) + repr(vars(store._state))
    with pytest.raises(TypeError):
        pickle.dumps(store)
