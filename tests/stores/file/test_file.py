"""The file stores pass the contracts, in plain text and encrypted."""

import pytest
from cryptography.fernet import Fernet

from tests.helpers.store_contract import (
    FlowStoreContract,
    SharedFlowStoreContract,
    SharedTokenStoreContract,
    TokenStoreContract,
)
from tests.helpers.stored_values import at, leased
from twilio_oauth_async import StoreConflict, VirtualClock
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

KEY = Fernet.generate_key().decode()


class TestFileTokenStore(TokenStoreContract, SharedTokenStoreContract):
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "private" / "tokens.json"

    @pytest.fixture
    def open_store(self, path):
        return lambda: FileTokenStore(path)

    @pytest.fixture
    def recipe(self, path):
        return f"""
from twilio_oauth_async.stores.file import FileTokenStore
def open_store(): return FileTokenStore({str(path)!r})
"""


class TestEncryptedFileTokenStore(TokenStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path):
        return lambda: FileTokenStore(tmp_path / "tokens.json", encryption=KEY)


class TestFileFlowStore(FlowStoreContract, SharedFlowStoreContract):
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "private" / "flows.json"

    @pytest.fixture
    def open_store(self, path, clock):
        return lambda: FileFlowStore(path, clock=clock)

    @pytest.fixture
    def recipe(self, path):
        return f"""
from twilio_oauth_async.stores.file import FileFlowStore
def open_store(): return FileFlowStore({str(path)!r})
"""


@pytest.mark.asyncio
async def test_what_changes_nothing_writes_nothing(tmp_path):
    path = tmp_path / "private" / "flows.json"
    store = FileFlowStore(path, clock=VirtualClock(auto=False))
    assert await store.claim("a", "me", at(60)) is False
    assert not path.exists()
    await store.save(leased("a", "me", 60))
    before = path.stat().st_ino
    assert await store.claim("a", "you", at(60)) is False
    await store.delete("b")
    with pytest.raises(StoreConflict):
        await store.save(leased("a", "you", 60))
    assert path.stat().st_ino == before
