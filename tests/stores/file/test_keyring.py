"""`Keyring()`: the key in the system's keyring, and every way in which there is none."""

import asyncio
import contextlib
import json
import threading
import time

import keyring
import pytest
from cryptography.fernet import Fernet
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as NoBackend
from keyring.backends.null import Keyring as KeepsNothing

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.cancellation import finish_in_thread
from twilio_oauth_async.stores.file import FileTokenStore, Keyring

pytestmark = pytest.mark.asyncio


class InMemory(KeyringBackend):
    """A keyring as a person has it."""

    priority = 5

    def __init__(self):
        self.entries = {}
        self.threads = set()
        self.asked = 0

    def get_password(self, service, username):
        self.threads.add(threading.current_thread())
        self.asked += 1
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
    """Make a backend the system's."""
    before = keyring.get_keyring()

    def use(backend):
        keyring.set_keyring(backend)
        return backend

    yield use
    keyring.set_keyring(before)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokens.json"


@pytest.fixture
def open_store(path):
    return lambda **options: FileTokenStore(path, encryption=Keyring(**options))


async def test_the_first_save_makes_a_key_that_others_find(use, path, open_store):
    backend = use(InMemory())
    store = open_store()
    assert await store.load("a") is None
    assert not backend.entries
    await store.save("a", stored())
    [((service, key_id), key)] = backend.entries.items()
    assert service == "twilio-oauth-async"
    Fernet(key)
    content = path.read_text()
    assert json.loads(content)["key"] == key_id
    assert key not in content
    assert CANARY not in content
    assert await open_store().load("a") == stored()
    await open_store().save("b", stored(2))
    assert len(backend.entries) == 1
    assert threading.main_thread() not in backend.threads


async def test_the_keyring_is_asked_once(use, open_store):
    backend = use(InMemory())
    await open_store().save("a", stored())
    store, before = open_store(), backend.asked
    for generation in (2, 3, 4):
        await store.save("a", stored(generation))
        await store.load("a")
    assert backend.asked == before + 1


async def test_two_who_make_a_first_key_at_once_do_not_lock_each_other_out(use, open_store):
    use(InMemory())
    await asyncio.gather(*(open_store().save(key, stored()) for key in "abc"))
    assert [await open_store().load(key) for key in "abc"] == [stored()] * 3


@pytest.mark.parametrize(
    "make",
    [NoBackend, KeepsNothing, InPlainText, chain, lambda: chain(InPlainText(), KeepsNothing())],
    ids=["none", "null", "plain text", "empty chain", "weak chain"],
)
async def test_a_system_without_a_keyring_gets_no_file(use, path, open_store, make):
    use(make())
    with pytest.raises(StoreError, match="none that keeps secrets") as caught:
        await open_store().save("a", stored())
    assert caught.value.__context__ is None
    assert not path.exists()
    assert not path.with_name("tokens.json.new").exists()


async def test_a_chain_with_one_that_keeps_secrets_is_as_good(use, open_store):
    use(chain(InMemory()))
    await open_store().save("a", stored())
    assert await open_store().load("a") == stored()


async def test_a_keyring_that_does_not_keep_the_key_gets_no_file(use, path, open_store):
    use(Forgetful())
    with pytest.raises(StoreError, match="did not keep the key"):
        await open_store().save("a", stored())
    assert not path.exists()


async def test_what_a_backend_says_is_not_passed_on(use, path, open_store):
    backend = use(InMemory())
    await open_store().save("a", stored())
    use(Broken())
    for call, kind in ((open_store().load("a"), "OSError"), (open_store().save("a", stored()), "OSError")):
        told = await error_texts(call)
        assert kind in told[0]
        assert not [text for text in told if CANARY in text]
    path.unlink()
    told = await error_texts(open_store().save("a", stored()))
    assert "LookupError" in told[0]
    assert backend.entries


async def test_a_key_that_is_gone_does_not_cost_the_file(use, path, open_store):
    backend = use(InMemory())
    await open_store().save("a", stored())
    was, entries = path.read_bytes(), dict(backend.entries)
    backend.entries.clear()
    for call in (open_store().load("a"), open_store().save("a", stored(2)), open_store().encrypt()):
        with pytest.raises(StoreError, match=r"tokens.json: its key \w+ is not in the system's keyring"):
            await call
    assert path.read_bytes() == was
    assert not backend.entries
    backend.entries.update(entries)
    assert await open_store().load("a") == stored()


async def test_what_is_no_key_in_the_keyring(use, open_store):
    backend = use(InMemory())
    await open_store().save("a", stored())
    backend.entries = dict.fromkeys(backend.entries, CANARY)
    told = await error_texts(open_store().load("a"))
    assert "is not a key" in told[0]
    assert not [text for text in told if CANARY in text]


async def test_a_file_with_a_key_of_its_own_and_one_with_the_keyring_s_are_told_apart(use, path, open_store):
    use(InMemory())
    given = FileTokenStore(path, encryption=Fernet.generate_key())
    await given.save("a", stored())
    with pytest.raises(StoreError, match="its key is not in the keyring"):
        await open_store().load("a")
    path.unlink()
    await open_store().save("a", stored())
    with pytest.raises(StoreError, match=r"open it with encryption=Keyring\(\)"):
        await given.load("a")


async def test_plain_text_is_taken_over_on_demand(use, path, open_store):
    use(InMemory())
    await FileTokenStore(path).save("a", stored())
    await open_store().encrypt()
    assert await open_store().load("a") == stored()
    assert CANARY not in path.read_text()


class Locked(InMemory):
    """Waits for a person, as a locked keyring does."""

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


async def test_a_locked_keyring_holds_up_nobody_else_and_not_for_ever(use, path, open_store):
    async with locked(use):
        begun, turns = time.monotonic(), 0
        saving = asyncio.create_task(open_store(timeout=0.1).save("a", stored()))
        while not saving.done():
            await asyncio.sleep(0.005)
            turns += 1
        with pytest.raises(StoreError, match=r"no answer within 0\.1 s; is it locked\?"):
            await saving
        assert turns > 3
        assert time.monotonic() - begun < 3
        assert not path.exists()
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "keyring"] == [True]
    await open_store().save("a", stored())  # the lock of the file has been given back


async def test_cancelled_while_the_keyring_waits(use, path, open_store):
    async with locked(use):
        saving = asyncio.create_task(open_store().save("a", stored()))
        await asyncio.sleep(0.05)
        saving.cancel()
        async with asyncio.timeout(1):
            await asyncio.wait([saving])
        assert saving.cancelled()
    await open_store().save("a", stored())
    assert await open_store().load("a") == stored()


@pytest.mark.asyncio(loop_scope="function")
async def test_a_loop_that_has_gone_meanwhile_is_not_told(use, open_store):
    async with locked(use):

        def run_to_the_end_of_a_loop():
            with pytest.raises(StoreError, match="is it locked"):
                asyncio.run(open_store(timeout=0.01).save("a", stored()))

        await finish_in_thread(run_to_the_end_of_a_loop)
