"""The example of a store of one's own passes the suites, in several processes too."""

import os
from pathlib import Path

import pytest

from twilio_oauth_async.stores.testing import SharedTokenStoreContract, TokenStoreContract

KILL_ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "8"))  # the nox session `crash` tries more
EXAMPLES = Path(__file__).parents[2] / "examples"


class TestOwnTokenStore(TokenStoreContract, SharedTokenStoreContract):
    kill_rounds = KILL_ROUNDS

    @pytest.fixture
    def own_token_store(self, monkeypatch):
        monkeypatch.syspath_prepend(str(EXAMPLES))
        from own_token_store import OwnTokenStore

        return OwnTokenStore

    @pytest.fixture
    def open_store_at(self, own_token_store, tmp_path):
        return lambda clock: own_token_store(tmp_path / "tokens.db", clock=clock)

    @pytest.fixture
    def open_store(self, open_store_at, clock):
        return lambda: open_store_at(clock)

    @pytest.fixture
    def open_broken_store(self, own_token_store, tmp_path):
        return lambda: own_token_store(tmp_path / "missing folder" / "tokens.db", lock_timeout=0.05)

    @pytest.fixture
    def recipe(self, tmp_path):
        return f"""
import pathlib, own_token_store
def open_store(): return own_token_store.OwnTokenStore(pathlib.Path({str(tmp_path / "tokens.db")!r}))
"""
