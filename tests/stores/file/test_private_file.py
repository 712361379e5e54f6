"""Rule 22 and row 29: who may read the file, and what is refused. On systems with modes and owners."""

import asyncio
import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async import ConfigurationError, StoreError
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore
from twilio_oauth_async.stores.file.private_file import PosixFile
from twilio_oauth_async.stores.file.state_file import private_file

pytestmark = [pytest.mark.asyncio, pytest.mark.skipif(os.name == "nt", reason="there are no modes on Windows")]
NOBODY = 65_534
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a file away")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "tokens.json"


@pytest.fixture
def store(path):
    return FileTokenStore(path)


async def refused(store, reason):
    """Neither read nor written nor locked, and the file is as it was."""
    before = [(entry.name, entry.lstat()) for entry in sorted(store._state.path.parent.iterdir())]

    async def hold():
        async with store.lock("a"):
            pass

    calls = [lambda: store.load("a"), lambda: store.save("a", stored(2))]
    for call in calls if "tokens.json" in reason else [*calls, hold]:
        with pytest.raises(StoreError, match=reason) as caught:
            await call()
        assert caught.value.__context__ is None
    after = [(e.name, e.lstat()) for e in sorted(store._state.path.parent.iterdir()) if e.name != "tokens.json.lock"]
    assert [(name, s.st_ino, s.st_mode, s.st_size) for name, s in after] == [
        (name, s.st_ino, s.st_mode, s.st_size) for name, s in before if name != "tokens.json.lock"
    ]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
async def test_only_the_owner_gets_at_what_is_written(tmp_path, umask):
    store = FileTokenStore(tmp_path / "a" / "b" / "tokens.json")
    before = os.umask(umask)
    try:
        await store.save("a", stored())
        async with store.lock("a"):
            found = [tmp_path / "a", *(tmp_path / "a").rglob("*")]
            assert {entry.name.split(".")[-1] for entry in found} == {"a", "b", "json", "lock"}
            assert not [entry for entry in found if mode(entry) & 0o077]
    finally:
        os.umask(before)
    assert mode(tmp_path / "a" / "b" / "tokens.json") == 0o600
    assert mode(tmp_path / "a" / "b") == 0o700


async def test_an_odd_umask_takes_nothing_from_the_owner(store, path):
    path.parent.mkdir(0o700)
    before = os.umask(0o777)
    try:
        await store.save("a", stored())
        await store.save("a", stored(2))
    finally:
        os.umask(before)
    assert mode(path) == 0o600


@pytest.mark.parametrize("loose", [0o604, 0o640, 0o620, 0o602, 0o610, 0o777])
async def test_a_file_that_others_can_use_is_refused(store, path, loose):
    await store.save("a", stored())
    path.chmod(loose)
    await refused(store, f"tokens.json is open to other users \\(mode {loose:04o}\\): chmod 600")
    path.chmod(0o600)
    assert await store.load("a") == stored()


@pytest.mark.parametrize("loose", [0o755, 0o701, 0o710, 0o770, 0o1777])
async def test_a_folder_that_others_can_use_is_refused(store, path, loose):
    await store.save("a", stored())
    path.parent.chmod(loose)
    await refused(store, f"private is open to other users \\(mode {loose:04o}\\): choose a folder")
    path.parent.chmod(0o700)
    assert await store.load("a") == stored()


@as_root
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_what_belongs_to_somebody_else_is_refused(store, path, what):
    await store.save("a", stored())
    os.chown(path if what == "file" else path.parent, NOBODY, -1)
    await refused(store, f"{'tokens.json' if what == 'file' else 'private'} belongs to another user \\(uid {NOBODY}\\)")


async def test_a_link_in_the_place_of_the_file_is_refused(store, path, tmp_path):
    target = tmp_path / "target"
    await FileTokenStore(target).save("a", stored())
    path.parent.mkdir(0o700)
    path.symlink_to(target)
    await refused(store, "tokens.json: a symbolic link")
    assert path.is_symlink()
    assert await FileTokenStore(target).load("a") == stored()


async def test_a_link_in_the_place_of_the_folder_is_refused(store, path, tmp_path):
    target = tmp_path / "target"
    await FileTokenStore(target / "tokens.json").save("a", stored())
    path.parent.symlink_to(target)
    await refused(store, "a symbolic link")


async def test_a_dangling_link_is_refused_and_not_followed(store, path, tmp_path):
    path.parent.mkdir(0o700)
    path.symlink_to(tmp_path / "elsewhere")
    await refused(store, "tokens.json: a symbolic link")
    assert not (tmp_path / "elsewhere").exists()


async def test_a_link_in_the_place_of_a_lock_is_not_followed(store, path, tmp_path):
    await store.save("a", stored())
    (path.parent / "tokens.json.lock").unlink()
    (path.parent / "tokens.json.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="lock"):
        await store.save("a", stored(2))
    assert not (tmp_path / "elsewhere").exists()


async def test_a_link_left_in_the_place_of_the_new_file_is_not_followed(store, path, tmp_path):
    await store.save("a", stored())
    (path.parent / "tokens.json.new").symlink_to(tmp_path / "elsewhere")
    await store.save("a", stored(2))
    assert not (tmp_path / "elsewhere").exists()
    assert await store.load("a") == stored(2)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
async def test_what_is_no_file_is_refused_at_once(store, path, make):
    path.parent.mkdir(0o700)
    make(path, 0o600)
    for call in (store.load("a"), store.save("a", stored())):
        with pytest.raises(StoreError, match="not a regular file"):
            await call


async def test_reading_where_nothing_is_makes_nothing(store, path):
    assert await store.load("a") is None
    await store.delete("a")
    assert not path.parent.exists()


async def test_no_lock_file_of_a_key_stays(store, path):
    for key in "abc":
        async with store.lock(key), store.lock(f"{key}{key}"):
            await store.save(key, stored())
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


async def test_a_path_stays_what_it_was_when_the_working_directory_changes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    store, at_home = FileTokenStore("private/tokens.json"), FileTokenStore("~/tokens.json")
    monkeypatch.chdir(tmp_path / "elsewhere")
    await store.save("a", stored())
    await at_home.save("a", stored())
    assert (tmp_path / "private" / "tokens.json").exists()
    assert (tmp_path / "home" / "tokens.json").exists()


@pytest.mark.parametrize("path", ["", ".", "..", "/", "a\0b", "~nobody-has-this-name/tokens.json"])
async def test_what_cannot_be_a_file(path):
    with pytest.raises(ConfigurationError, match="path"):
        FileTokenStore(path)


async def test_the_platform_s_state_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    tokens, flows = FileTokenStore(), FileFlowStore()
    await tokens.save("a", stored())
    assert repr(tokens) == f"FileTokenStore({str(tokens._state.path)!r})"
    assert repr(flows) == f"FileFlowStore({str(flows._state.path)!r})"
    assert tokens._state.path.name == "tokens.json"
    assert flows._state.path == tokens._state.path.with_name("flows.json")
    assert tokens._state.path.parent.name == "twilio-oauth-async"
    if sys.platform == "linux":
        assert tokens._state.path.parent.parent == tmp_path / "state"
        assert mode(tokens._state.path.parent) == mode(tmp_path / "state") == 0o700


async def test_the_way_of_this_system_is_chosen(tmp_path):
    assert isinstance(private_file(tmp_path / "x"), PosixFile)


NOT_AS_ROOT = """
import asyncio, os, sys
from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.file import FileTokenStore

async def main(folder):
    # Once as root, since what is imported on the way may be out of reach later.
    warm, store = FileTokenStore(folder + "/warm/tokens.json"), FileTokenStore(folder + "/private/tokens.json")
    async with warm.lock("a"):
        await warm.save("a", stored())
        await warm.load("a")
    os.setuid(65534)
    assert await store.load("a") == stored()
    try:
        await store.save("a", stored(2))
    except StoreError as error:
        print(error)
    assert await store.load("a") == stored()

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def open_folder():
    """One that every user can get to, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def give_away(folder):
    """To nobody, read-only."""
    (folder / "tokens.json.lock").unlink()
    folder.chmod(0o500)
    for entry in (folder / "tokens.json", folder):
        os.chown(entry, NOBODY, -1)


@as_root
async def test_a_folder_that_may_not_be_written_still_gives_what_is_in_it(open_folder):
    """Row 24's other half: read-only. As another user, since nothing is read-only for root."""
    await FileTokenStore(open_folder / "private" / "tokens.json").save("a", stored())
    give_away(open_folder / "private")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NOT_AS_ROOT, str(open_folder)),
        stdout=-1,
        stderr=-1,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    out, errors = (text.decode() for text in await process.communicate())
    assert "Permission denied" in out, errors
    assert CANARY not in out + errors
    assert process.returncode == 0, errors
