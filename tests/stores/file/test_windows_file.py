"""Where there are no modes and owners (Windows): the contract holds, and links are refused. Here on any system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.store_contract import TokenStoreContract
from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.file import FileTokenStore, state_file
from twilio_oauth_async.stores.file.windows_file import ProfileFile


@pytest.fixture(autouse=True)
def _as_on_windows(monkeypatch):
    monkeypatch.setattr(state_file, "private_file", ProfileFile)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "tokens.json"


class TestProfileFileTokenStore(TokenStoreContract):
    @pytest.fixture
    def open_store(self, path):
        return lambda: FileTokenStore(path)


@pytest.mark.asyncio
async def test_damaged_files_and_entries_are_set_aside(path):
    store = FileTokenStore(path)
    await store.save("a", stored())
    for number in (1, 2):
        path.write_bytes(b"{")
        assert await store.load("a") is None
        assert path.with_name(f"tokens.json.set-aside-{number}").read_bytes() == b"{"
    await store.save("good", stored())
    await store.save("bad", stored())
    path.write_text(path.read_text().replace('"bad":{', '"bad":{"generation":"x","was":{').replace("}}}\n", "}}}}\n"))
    assert await store.load("bad") is None
    assert await store.load("good") == stored()
    assert '"was"' in path.with_name("tokens.json.set-aside-3").read_text()


@pytest.mark.asyncio
async def test_links_are_refused(path, tmp_path):
    store = FileTokenStore(path)
    await FileTokenStore(tmp_path / "target" / "tokens.json").save("a", stored())
    path.parent.symlink_to(tmp_path / "target")
    for call in (store.load("a"), store.save("a", stored(2))):
        with pytest.raises(StoreError, match="symbolic link"):
            await call
    path.parent.unlink()
    path.parent.mkdir()
    path.symlink_to(tmp_path / "target" / "tokens.json")
    for call in (store.load("a"), store.save("a", stored(2))):
        with pytest.raises(StoreError, match="symbolic link"):
            await call


@pytest.mark.asyncio
async def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    store = FileTokenStore(path)
    await store.save("a", stored(1))
    with monkeypatch.context() as patch:

        def refuse(*_):
            raise PermissionError(13, "somebody has it open")

        patch.setattr(Path, "replace", refuse)
        with pytest.raises(StoreError, match="somebody has it open") as caught:
            await store.save("a", stored(2))
    assert caught.value.__context__ is None
    assert await store.load("a") == stored(1)
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


@pytest.mark.skipif(os.name == "nt", reason="takes away what Windows does not have")
def test_nothing_that_windows_lacks_is_needed(tmp_path):
    code = """
import os, pathlib, sys
for name in ("geteuid", "fchmod", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC"):
    delattr(os, name)
sys.modules["fcntl"] = None
os.supports_dir_fd = set()
from twilio_oauth_async.stores.file.state_file import private_file
file = private_file(pathlib.Path(sys.argv[1], "private", "x"))
file.prepare()
file.replace(b"one")
file.replace(b"two")
print(type(file).__name__, file.read(), file.set_aside().name, file.keep_copy(b"").name, file.read())
"""
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert run.stdout == "ProfileFile b'two' x.set-aside-1 x.set-aside-2 None\n", run.stderr
