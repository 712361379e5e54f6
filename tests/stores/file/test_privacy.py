"""Rule 22 and fault 29 (docs/reliability.md): who can read the files, and what is refused. Not on Windows."""

import os
import stat
import sys

import pytest

from tests.helpers.stored_values import flow, stored
from twilio_oauth_async import ConfigurationError, StoreError
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

pytestmark = [pytest.mark.asyncio, pytest.mark.skipif(os.name == "nt", reason="there are no modes on Windows")]
OTHER_USER = 65_534
ENDINGS = ("", "-wal", "-shm", ".use")
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change the owner")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def beside(path, ending):
    return path.with_name(path.name + ending)


async def check_refused(store, reason):
    """Each call fails for `reason`, the lock too, and no file is renamed or replaced."""

    async def hold():
        async with store.lock("a"):
            pass

    folder = store._folder.path
    before = {entry.name: entry.lstat().st_ino for entry in folder.iterdir()} if folder.is_dir() else {}
    calls = [
        lambda: store.load("a"),
        lambda: store.save("a", stored(2), replaces=stored().epoch),
        lambda: store.delete("a"),
        lambda: store.erase("a"),
    ]
    for call in calls if ".use" in reason else [*calls, hold]:
        with pytest.raises(StoreError, match=reason) as caught:
            await call()
        assert caught.value.__context__ is None
    after = {entry.name: entry.lstat().st_ino for entry in folder.iterdir()} if folder.is_dir() else {}
    assert after.keys() <= before.keys() | {"tokens.db.use"}
    assert not [name for name in after.keys() & before.keys() if after[name] != before[name]]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
async def test_files_and_folders_can_be_used_by_their_owner_only(tmp_path, umask):
    store = FileTokenStore(tmp_path / "a" / "b" / "tokens.db")
    before = os.umask(umask)
    try:
        await store.save("a", stored(), replaces=None)
        await store.delete("b")
        async with store.lock("a"):
            found = {entry.name: mode(entry) for entry in (tmp_path / "a").rglob("*")}
            (lock,) = [name for name in found if name.endswith(".lock")]
            assert found.keys() == {"b", lock, *(f"tokens.db{ending}" for ending in ENDINGS)}
            assert found.pop("b") == mode(tmp_path / "a") == 0o700
            assert set(found.values()) == {0o600} or (umask == 0o777 and found.pop(lock) == 0)
            assert set(found.values()) == {0o600}
        await store.close()
        assert await FileTokenStore(store._folder.database).load("a") == stored()
    finally:
        os.umask(before)


async def test_last_close_leaves_the_database_and_its_use_lock(store, path):
    await store.save("a", stored(), replaces=None)
    await store.close()
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.db", "tokens.db.use"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("loose", [0o604, 0o640, 0o620, 0o602, 0o610, 0o777])
async def test_file_that_others_can_open_is_refused(store, path, ending, loose):
    """Also by a store that has it open already, except the lock file, which holds nothing."""
    await store.save("a", stored(), replaces=None)
    if ending == ".use":
        await store.close()
    beside(path, ending).chmod(loose)
    await check_refused(store, f"tokens.db{ending} is open to other users \\(mode {loose:04o}\\): chmod 600")
    if beside(path, ending).exists():  # the last connection deletes the log and its index
        beside(path, ending).chmod(0o600)
    assert await store.load("a") == stored()


@pytest.mark.parametrize("loose", [0o755, 0o701, 0o710, 0o770, 0o1777])
async def test_folder_that_others_can_open_is_refused(store, path, loose):
    await store.save("a", stored(), replaces=None)
    path.parent.chmod(loose)
    await check_refused(store, f"private is open to other users \\(mode {loose:04o}\\): chmod 700")
    path.parent.chmod(0o700)
    assert await store.load("a") == stored()


@as_root
@pytest.mark.parametrize("ending", [*ENDINGS, None])
async def test_file_or_folder_of_another_user_is_refused(store, path, ending):
    await store.save("a", stored(), replaces=None)
    if ending == ".use":
        await store.close()
    target = path.parent if ending is None else beside(path, ending)
    os.chown(target, OTHER_USER, -1)
    await check_refused(store, f"{target.name} belongs to another user \\(uid {OTHER_USER}\\)")


@pytest.mark.parametrize("ending", ENDINGS[:3])
async def test_symbolic_link_to_a_database_is_refused(store, open_tokens, path, tmp_path, ending):
    other = open_tokens(tmp_path / "other" / "tokens.db")
    await other.save("a", stored(), replaces=None)
    path.parent.mkdir(0o700)
    beside(path, ending).symlink_to(beside(tmp_path / "other" / "tokens.db", ending))
    await check_refused(store, f"tokens.db{ending}:? (it )?is a symbolic link")
    assert beside(path, ending).is_symlink()
    assert await other.load("a") == stored()


@pytest.mark.parametrize("ending", ENDINGS)
async def test_dangling_symbolic_link_is_not_followed(store, path, tmp_path, ending):
    if ending == ".use":
        await store.save("a", stored(), replaces=None)
        await store.close()
        beside(path, ending).unlink()
    else:
        path.parent.mkdir(0o700)
    beside(path, ending).symlink_to(tmp_path / "elsewhere")
    await check_refused(store, f"tokens.db{ending}:? (it )?is a symbolic link")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["tokens.db.new", "tokens.db.new-wal"])
async def test_symbolic_link_in_place_of_a_new_file_is_not_followed(store, path, tmp_path, name):
    path.parent.mkdir(0o700)
    (path.parent / name).symlink_to(tmp_path / "elsewhere")
    await store.save("a", stored(), replaces=None)
    assert not (tmp_path / "elsewhere").exists()
    assert await store.load("a") == stored()


async def test_symbolic_link_in_place_of_the_folder_is_refused(store, open_tokens, path, tmp_path):
    await open_tokens(tmp_path / "other" / "tokens.db").save("a", stored(), replaces=None)
    path.parent.symlink_to(tmp_path / "other")
    await check_refused(store, "private is a symbolic link")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_pipe_or_folder_in_place_of_a_file_is_refused_at_once(store, path, make, ending):
    path.parent.mkdir(0o700)
    make(beside(path, ending), 0o600)
    for call in (store.load("a"), store.save("a", stored(), replaces=None)):
        if ending in {"", "-wal", "-shm"} or call.__name__ == "save":
            with pytest.raises(StoreError, match="not a regular file"):
                await call
        else:
            assert await call is None


async def test_file_in_place_of_the_folder_is_refused(open_tokens, tmp_path):
    (tmp_path / "file").touch()
    await check_refused(open_tokens(tmp_path / "file" / "tokens.db"), "is not a folder|Not a directory")


async def test_reading_a_missing_database_creates_nothing(store, path, tmp_path):
    flows = FileFlowStore(tmp_path / "private" / "flows.db")
    assert await store.load("a") is None
    assert await store.is_deleted("a") is False
    assert [user async for user in store.users()] == []
    assert await flows.load("a") is None
    assert await flows.list_due(5, client_sid="", server="") == []
    assert not path.parent.exists()


async def test_locks_of_keys_leave_no_files(store, path):
    for key in "abc":
        async with store.lock(key), store.lock(f"{key}{key}"):
            await store.save(key, stored(), replaces=None)
    assert not list(path.parent.glob("*.lock"))


async def test_path_is_kept_when_the_working_directory_changes(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    store, at_home = FileTokenStore("private/tokens.db"), FileTokenStore("~/tokens.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for one in (store, at_home):
        await one.save("a", stored(), replaces=None)
        await one.close()
    assert (tmp_path / "private" / "tokens.db").exists()
    assert (tmp_path / "home" / "tokens.db").exists()


@pytest.mark.parametrize("name", ["a?mode=memory", "a#b", "a%20b", "a b", ":memory:", "á", "file:x", "'"])
async def test_path_with_characters_of_a_uri_is_a_file_name(open_tokens, tmp_path, name):
    store = open_tokens(tmp_path / name / name)
    await store.save("a", stored(), replaces=None)
    assert (tmp_path / name / name).exists()
    assert await open_tokens(tmp_path / name / name).load("a") == stored()


@pytest.mark.parametrize("path", ["", ".", "..", "/", "a\0b", "~no-user-has-this-name/tokens.db"])
async def test_path_that_cannot_be_a_file_raises_configuration_error(path):
    with pytest.raises(ConfigurationError, match="path"):
        FileTokenStore(path)


async def test_default_path_is_in_the_state_folder_of_the_platform(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    tokens, flows = FileTokenStore(), FileFlowStore()
    await tokens.save("a", stored(), replaces=None)
    await flows.create(flow(), owner="me", seconds=60)
    folder = tokens._folder.path
    assert repr(tokens) == f"FileTokenStore({str(folder / 'tokens.db')!r})"
    assert repr(flows) == f"FileFlowStore({str(folder / 'flows.db')!r})"
    assert folder.name == "twilio-oauth-async"
    if sys.platform == "linux":
        assert folder.parent == tmp_path / "state"
        assert mode(folder) == mode(tmp_path / "state") == 0o700
    await tokens.close()
    await flows.close()
