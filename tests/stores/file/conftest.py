"""A token store in a private folder, and ways to look at its files."""

import subprocess

import pytest
import pytest_asyncio

from twilio_oauth_async.stores.file import FileTokenStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "tokens.db"


@pytest_asyncio.fixture
async def open_tokens(path):
    """A function that opens a token store, at `path` by default; the stores are closed at the end of the test."""
    stores = []

    def open_tokens(at=path, **options):
        stores.append(FileTokenStore(at, **options))
        return stores[-1]

    yield open_tokens
    for store in stores:
        await store.close()


@pytest_asyncio.fixture
async def store(open_tokens):
    return open_tokens()


@pytest.fixture
def content_of():
    """A function that returns the bytes of all files in a folder.

    Another process reads them: if this process opened and closed a database, SQLite would lose its locks.
    """

    def content_of(folder):
        return subprocess.run(["cat", *folder.iterdir()], capture_output=True, check=True).stdout

    return content_of
