"""`Keyring()`: the key in the keyring of the system, and every way in which it can be missing."""

import asyncio
import contextlib
import sqlite3
import threading
import time

import keyring
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as NoBackend
from keyring.backends.null import Keyring as StoresNothing

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.cancellation import finish_in_thread
from twilio_oauth_async.stores.file import FileTokenStore, Keyring
from twilio_oauth_async.stores.file.keyring import MAX_REQUESTS

pytestmark = pytest.mark.asyncio
EPOCH = stored().epoch


class InMemory(KeyringBackend):
    """A keyring such as users have."""

    priority = 5

    def __init__(self):
        self.entries = {}
        self.threads = set()
        self.reads = 0

    def get_password(self, service, username):
        self.threads.add(threading.current_thread())
        self.reads += 1
        return self.entries.get((service, username))

    def set_password(self, service, username, password):
        self.threads.add(threading.current_thread())
        self.entries[service, username] = password

    def delete_password(self, service, username):
        del self.entries[service, username]


class InPlainText(InMemory):
    """Such as those of ``keyrings.alt``."""

    priority = 0.5


class Forgetful(InMemory):
    def set_password(self, service, username, password):
        pass


class Broken(InMemory):
    def get_password(self, service, username):
        raise OSError(f"the key was {CANARY}")

    def set_password(self, service, username, password):
        raise LookupError(password)


class Chain(ChainerBackend):
    backends = ()


def chain(*backends):
    made = Chain()
    made.backends = backends
    return made


@pytest.fixture
def use():
    """Make a backend the keyring of the system."""
    before = keyring.get_keyring()

    def use(backend):
        keyring.set_keyring(backend)
        return backend

    yield use
    keyring.set_keyring(before)


@pytest_asyncio.fixture
async def open_store(open_tokens):
    return lambda **options: open_tokens(encryption=Keyring(**options))


def label_of(path):
    connection = sqlite3.connect(path)
    ((label,),) = connection.execute("SELECT label FROM encryption")
    connection.close()
    return label


async def test_first_save_makes_a_key_that_other_stores_find(use, path, open_store, content_of):
    backend = use(InMemory())
    store = open_store()
    assert await store.load("a") is None
    assert not backend.entries
    await store.save("a", stored(), replaces=None)
    [((service, key_id), key)] = backend.entries.items()
    assert service == "twilio-oauth-async"
    Fernet(key)
    assert label_of(path) == f"keyring {key_id}"
    content = content_of(path.parent)
    assert key.encode() not in content
    assert CANARY.encode() not in content
    assert await open_store().load("a") == stored()
    await open_store().save("b", stored(2), replaces=None)
    assert len(backend.entries) == 1
    assert threading.main_thread() not in backend.threads


async def test_keyring_is_read_once_per_store(use, open_store):
    backend = use(InMemory())
    await open_store().save("a", stored(), replaces=None)
    store, before = open_store(), backend.reads
    await asyncio.gather(*(store.load("a") for _ in range(5)))
    for generation in (2, 3, 4):
        await store.save("a", stored(generation), replaces=EPOCH)
        await store.load("a")
    assert backend.reads == before + 1


async def test_stores_that_make_a_first_key_at_once_use_one_key(use, path, open_store):
    use(InMemory())
    stores = [open_store() for _ in range(3)]
    await asyncio.gather(*(one.save(key, stored(), replaces=None) for one, key in zip(stores, "abc", strict=True)))
    for one in (*stores, open_store()):
        assert [await one.load(key) for key in "abc"] == [stored()] * 3


async def test_database_created_again_with_another_key_is_used(use, path, open_store):
    """After the database was deleted by hand; the store had it open."""
    backend = use(InMemory())
    store, other = open_store(), open_store()
    await store.save("a", stored(), replaces=None)
    path.unlink()
    await other.save("b", stored(), replaces=None)
    assert len(backend.entries) == 2
    assert await store.load("b") == stored()
    await store.save("a", stored(), replaces=None)
    assert await open_store().load("a") == stored()


@pytest.mark.parametrize(
    "make",
    [NoBackend, StoresNothing, InPlainText, chain, lambda: chain(InPlainText(), StoresNothing())],
    ids=["none", "null", "plain text", "empty chain", "weak chain"],
)
async def test_system_without_a_secure_keyring_raises_and_creates_no_file(use, path, open_store, make):
    use(make())
    with pytest.raises(StoreError, match="no backend stores secrets") as caught:
        await open_store().save("a", stored(), replaces=None)
    assert caught.value.__context__ is None
    assert not path.parent.exists()


async def test_chain_with_a_secure_keyring_is_used(use, open_store):
    use(chain(InMemory()))
    await open_store().save("a", stored(), replaces=None)
    assert await open_store().load("a") == stored()


async def test_keyring_that_does_not_store_the_key_raises_and_creates_no_file(use, path, open_store):
    use(Forgetful())
    with pytest.raises(StoreError, match="did not store the key"):
        await open_store().save("a", stored(), replaces=None)
    assert not path.parent.exists()


async def test_message_of_a_backend_is_not_shown(use, path, open_store):
    backend = use(InMemory())
    store = open_store()
    await store.save("a", stored(), replaces=None)
    await store.close()
    use(Broken())
    for call in (open_store().load("a"), open_store().save("a", stored(), replaces=None)):
        texts = await error_texts(call)
        assert "it failed with OSError" in texts[0]
        assert not [text for text in texts if CANARY in text]
    path.unlink()
    texts = await error_texts(open_store().save("a", stored(), replaces=None))
    assert "it failed with LookupError" in texts[0]
    assert backend.entries


async def test_database_whose_key_is_gone_is_refused_and_kept(use, path, open_store):
    backend = use(InMemory())
    store = open_store()
    await store.save("a", stored(), replaces=None)
    await store.close()
    before, entries = path.read_bytes(), dict(backend.entries)
    backend.entries.clear()
    for call in (open_store().load("a"), open_store().save("a", stored(2), replaces=EPOCH), open_store().encrypt()):
        with pytest.raises(StoreError, match=r"tokens.db: its key \w+ is not in the system's keyring"):
            await call
    backend.entries.update(entries)
    other = open_store()
    assert await other.load("a") == stored()
    await other.close()
    assert path.read_bytes() == before


async def test_entry_that_is_not_a_key_raises_store_error(use, open_store):
    backend = use(InMemory())
    await open_store().save("a", stored(), replaces=None)
    backend.entries = dict.fromkeys(backend.entries, CANARY)
    texts = await error_texts(open_store().load("a"))
    assert "is not a key" in texts[0]
    assert not [text for text in texts if CANARY in text]


async def test_given_key_and_key_in_the_keyring_are_distinguished(use, path, open_store, open_tokens):
    use(InMemory())
    given = open_tokens(encryption=Fernet.generate_key())
    await given.save("a", stored(), replaces=None)
    with pytest.raises(StoreError, match="its key is not in the keyring"):
        await open_store().load("a")
    await given.close()
    path.unlink()
    await open_store().save("a", stored(), replaces=None)
    with pytest.raises(StoreError, match=r"create the store with encryption=Keyring\(\)"):
        await given.load("a")


async def test_plain_database_is_encrypted_on_demand(use, path, open_store, open_tokens, content_of):
    use(InMemory())
    plain = open_tokens()
    await plain.save("a", stored(), replaces=None)
    await plain.close()
    with pytest.raises(StoreError, match="it is not encrypted"):
        await open_store().load("a")
    store = open_store()
    await store.encrypt()
    assert await store.load("a") == await open_store().load("a") == stored()
    assert CANARY.encode() not in content_of(path.parent)


class Locked(InMemory):
    """Waits for a user, as a locked keyring does."""

    def __init__(self):
        super().__init__()
        self.opened = threading.Event()

    def get_password(self, service, username):
        self.opened.wait(10)
        return super().get_password(service, username)


@contextlib.asynccontextmanager
async def locked(use):
    backend = use(Locked())
    yield backend
    backend.opened.set()
    for thread in threading.enumerate():
        if thread.name == "keyring":
            await finish_in_thread(thread.join)


async def test_locked_keyring_raises_in_time_and_does_not_block_the_loop(use, path, open_store):
    async with locked(use):
        begun, turns = time.monotonic(), 0
        saving = asyncio.create_task(open_store(timeout=0.1).save("a", stored(), replaces=None))
        while not saving.done():
            await asyncio.sleep(0.005)
            turns += 1
        with pytest.raises(StoreError, match=r"did not respond within 0\.1 s; is it locked\?"):
            await saving
        assert turns > 3
        assert time.monotonic() - begun < 3
        assert not path.exists()
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "keyring"] == [True]
    await open_store().save("a", stored(), replaces=None)


async def test_locked_keyring_blocks_only_a_few_threads(use, path, open_store):
    async with locked(use):
        for _ in range(MAX_REQUESTS):
            with pytest.raises(StoreError, match="did not respond within"):
                await open_store(timeout=0.01).save("a", stored(), replaces=None)
        with pytest.raises(StoreError, match="has not responded to earlier requests"):
            await open_store(timeout=0.01).save("a", stored(), replaces=None)
        assert len([thread for thread in threading.enumerate() if thread.name == "keyring"]) == MAX_REQUESTS
    await open_store().save("a", stored(), replaces=None)


async def test_call_that_waits_for_the_keyring_is_cancelled_at_once(use, path, open_store):
    async with locked(use):
        saving = asyncio.create_task(open_store().save("a", stored(), replaces=None))
        await asyncio.sleep(0.05)
        saving.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait([saving])
        assert saving.cancelled()
    await open_store().save("a", stored(), replaces=None)
    assert await open_store().load("a") == stored()


async def test_response_of_the_keyring_to_a_closed_loop_is_dropped(use, path):
    async with locked(use):

        def run_to_the_end_of_a_loop():
            store = FileTokenStore(path, encryption=Keyring(timeout=0.01))
            with pytest.raises(StoreError, match="is it locked"):
                asyncio.run(store.save("a", stored(), replaces=None))

        await finish_in_thread(run_to_the_end_of_a_loop)
