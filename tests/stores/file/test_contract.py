"""The file stores pass the contracts, without and with encryption."""

import os

import pytest
from cryptography.fernet import Fernet

from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore
from twilio_oauth_async.stores.testing import (
    FlowStoreContract,
    SharedFlowStoreContract,
    SharedTokenStoreContract,
    TokenStoreContract,
)

KILL_ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "8"))  # the nox session `crash` tries more
KEY = Fernet.generate_key().decode()


class TestFileTokenStore(TokenStoreContract, SharedTokenStoreContract):
    kill_rounds = KILL_ROUNDS

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "private" / "tokens.db"

    @pytest.fixture
    def open_store(self, path, clock):
        return lambda: FileTokenStore(path, clock=clock)

    @pytest.fixture
    def open_store_at(self, path):
        return lambda clock: FileTokenStore(path, clock=clock)

    @pytest.fixture
    def open_broken_store(self, tmp_path):
        tmp_path.joinpath("file").touch()
        return lambda: FileTokenStore(tmp_path / "file" / "tokens.db")

    @pytest.fixture
    def recipe(self, path):
        return f"""
from twilio_oauth_async.stores.file import FileTokenStore
def open_store(): return FileTokenStore({str(path)!r})
"""


class TestEncryptedFileTokenStore(TokenStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, clock):
        return lambda: FileTokenStore(tmp_path / "tokens.db", encryption=KEY, clock=clock)


class TestFileFlowStore(FlowStoreContract, SharedFlowStoreContract):
    kill_rounds = KILL_ROUNDS

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "private" / "flows.db"

    @pytest.fixture
    def open_store(self, path, clock):
        return lambda: FileFlowStore(path, clock=clock)

    @pytest.fixture
    def open_store_at(self, path):
        return lambda clock: FileFlowStore(path, clock=clock)

    @pytest.fixture
    def open_broken_store(self, tmp_path):
        tmp_path.joinpath("file").touch()
        return lambda: FileFlowStore(tmp_path / "file" / "flows.db")

    @pytest.fixture
    def recipe(self, path):
        return f"""
from twilio_oauth_async.stores.file import FileFlowStore
def open_store(): return FileFlowStore({str(path)!r})
"""


class TestEncryptedFileFlowStore(FlowStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path, clock):
        return lambda: FileFlowStore(tmp_path / "flows.db", encryption=KEY, clock=clock)
