"""Network file systems are refused where they can be recognised; Windows, which has no modes, refuses links only."""

import os

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.file import network_file_systems, private_folder
from twilio_oauth_async.stores.file.network_file_systems import check_is_local

ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"


@pytest.fixture
def mount(tmp_path, monkeypatch):
    """A function that writes the list of mounted file systems."""

    def mount(*lines):
        mounts = tmp_path / "mountinfo"
        mounts.write_text(ROOT + "".join(f"{line}\n" for line in lines))
        monkeypatch.setattr(network_file_systems, "MOUNTS", mounts)

    return mount


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph"])
def test_folder_on_a_network_file_system_is_refused(tmp_path, mount, kind):
    mount(f"40 22 0:50 / {tmp_path} rw,noatime shared:7 master:1 - {kind} server:/export rw,vers=4.2")
    with pytest.raises(StoreError, match=rf"is on a network file system \({kind}\)"):
        check_is_local(tmp_path)
    with pytest.raises(StoreError):
        check_is_local(tmp_path / "a" / "b")
    check_is_local(tmp_path.parent)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "fuse.mergerfs"])
def test_folder_on_a_local_file_system_is_accepted(tmp_path, mount, kind):
    mount(f"40 22 0:50 / {tmp_path} rw - {kind} /dev/vdb rw")
    check_is_local(tmp_path)


def test_innermost_and_latest_mount_counts(tmp_path, mount):
    local, network = f"{tmp_path} rw - ext4 /dev/vdb rw", f"{tmp_path} rw - nfs server:/ rw"
    mount(f"40 22 0:50 / {network}", f"41 40 0:51 / {local}")
    check_is_local(tmp_path)
    mount(f"41 40 0:51 / {local}", f"40 22 0:50 / {network}")
    with pytest.raises(StoreError):
        check_is_local(tmp_path)
    mount(f"40 22 0:50 / {network}", f"41 40 0:51 / {tmp_path}/a rw - ext4 /dev/vdb rw")
    check_is_local(tmp_path / "a")
    with pytest.raises(StoreError):
        check_is_local(tmp_path / "ab")


def test_mount_point_with_a_space_is_recognised(tmp_path, mount):
    (tmp_path / "a b").mkdir()
    mount(f"40 22 0:50 / {tmp_path}/a\\040b rw - nfs server:/ rw")
    with pytest.raises(StoreError):
        check_is_local(tmp_path / "a b")


def test_symbolic_link_to_a_network_file_system_is_followed(tmp_path, mount):
    (tmp_path / "link").symlink_to(tmp_path / "network")
    mount(f"40 22 0:50 / {tmp_path}/network rw - nfs server:/ rw")
    with pytest.raises(StoreError):
        check_is_local(tmp_path / "link" / "private")


@pytest.mark.parametrize("text", ["", "nonsense\n", "1 2 3\n- \n", "a b c d e - \n"])
def test_unreadable_list_of_mounts_refuses_nothing(tmp_path, monkeypatch, text):
    mounts = tmp_path / "mountinfo"
    monkeypatch.setattr(network_file_systems, "MOUNTS", mounts)
    check_is_local(tmp_path)
    mounts.write_text(text)
    check_is_local(tmp_path)


@pytest.mark.asyncio
async def test_stores_refuse_a_network_file_system_and_create_nothing(store, path, tmp_path, mount):
    mount(f"40 22 0:50 / {tmp_path} rw - nfs server:/ rw")
    for call in (store.save("a", stored(), replaces=None), store.lock("a").__aenter__()):
        assert "is on a network file system (nfs)" in (await error_texts(call))[0]
    assert not path.exists()
    assert not list(path.parent.iterdir())


@pytest.fixture
def no_modes(monkeypatch):
    """A system without modes and owners, such as Windows."""
    monkeypatch.setattr(private_folder, "HAS_MODES", False)


@pytest.mark.asyncio
@pytest.mark.skipif(os.name == "nt", reason="Windows has no other modes")
async def test_system_without_modes_accepts_any_mode(store, path, no_modes):
    await store.save("a", stored(), replaces=None)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    assert await store.load("a") == stored()
    await store.delete("a")
    assert await store.is_deleted("a") is True


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["tokens.db", "tokens.db-wal", "tokens.db-shm", ""])
async def test_system_without_modes_refuses_symbolic_links(store, path, tmp_path, no_modes, name):
    (tmp_path / "target").mkdir()
    if name:
        path.parent.mkdir()
        (path.parent / name).symlink_to(tmp_path / "target" / "elsewhere")
    else:
        path.parent.symlink_to(tmp_path / "target")
    for call in (store.load("a"), store.save("a", stored(), replaces=None)):
        assert "is a symbolic link" in (await error_texts(call))[0]
    assert not list((tmp_path / "target").iterdir())
