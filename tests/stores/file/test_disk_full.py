"""Row 24: the disk is full, or a write fails in any other way: a loud StoreError, and the old file intact."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async.stores.file import FileTokenStore

BIG = 200_000
LIMIT = 65_536

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such limits on Windows")


def big(generation):
    return stored(generation, access_token=CANARY + "x" * BIG)


async def check(store, path, reason):
    """A save that does not fit fails and changes nothing; one that fits works."""
    told = await error_texts(store.save("a", big(2)))
    assert reason in told[0], told
    assert not [text for text in told if CANARY in text]
    assert await store.load("a") == stored(1)
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}
    async with store.lock("a"):
        await store.save("a", stored(2))
    assert await store.load("a") == stored(2)


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KiB, where this machine lets us mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={LIMIT},mode=700", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a tmpfs; the limit of a file's size is tested all the same")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.asyncio
async def test_a_full_disk(tiny_disk):
    path = tiny_disk / "tokens.json"
    store = FileTokenStore(path)
    await store.save("a", stored(1))
    await check(store, path, "No space left on device")


def test_a_limit_of_the_file_s_size(tmp_path):
    run = subprocess.run(
        [sys.executable, __file__, tmp_path / "private" / "tokens.json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
    )
    assert run.stdout == "checked\n", run.stderr


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["open", "write", "fchmod", "fsync", "close", "rename"])
async def test_any_step_may_fail(tmp_path, monkeypatch, name):
    path = tmp_path / "private" / "tokens.json"
    store = FileTokenStore(path)
    await store.save("a", stored(1))
    was, call, failed = path.read_bytes(), getattr(os, name), []

    def fails_for_the_new_file(*arguments, **options):
        new = path.with_name("tokens.json.new")
        concerns = arguments[0] == new.name or (
            isinstance(arguments[0], int) and new.exists() and os.path.samestat(os.fstat(arguments[0]), new.stat())
        )
        if not concerns:
            return call(*arguments, **options)
        failed.append(name)
        if name == "close":
            call(*arguments)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fails_for_the_new_file)
        if call in os.supports_dir_fd:
            patch.setattr(os, "supports_dir_fd", {*os.supports_dir_fd, fails_for_the_new_file})
        told = await error_texts(store.save("a", stored(2)))
    assert failed
    assert "Input/output error" in told[0]
    assert path.read_bytes() == was
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}
    await store.save("a", stored(2))
    assert await store.load("a") == stored(2)


@pytest.mark.asyncio
async def test_what_may_not_last_is_told(tmp_path, monkeypatch):
    """The new file has its name, but the folder could not be written: a crash might undo it."""
    store, fsync = FileTokenStore(tmp_path / "tokens.json"), os.fsync
    await store.save("a", stored(1))
    refusal = {}

    def fsync_of_folders_fails(file):
        if refusal and os.path.isdir(f"/proc/self/fd/{file}"):  # noqa: PTH112
            raise OSError(refusal["errno"], os.strerror(refusal["errno"]))
        fsync(file)

    monkeypatch.setattr(os, "fsync", fsync_of_folders_fails)
    refusal["errno"] = errno.EIO
    assert "Input/output error" in (await error_texts(store.save("a", stored(2))))[0]
    assert await store.load("a") == stored(2)
    refusal["errno"] = errno.EINVAL  # a file system that has no such thing
    await store.save("a", stored(3))


@pytest.mark.asyncio
async def test_a_system_that_takes_little_at_a_time(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:1000]))
    store = FileTokenStore(tmp_path / "tokens.json")
    await store.save("a", big(1))
    assert await store.load("a") == big(1)


async def _limited(path):
    import resource

    store = FileTokenStore(path)
    await store.save("a", stored(1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    await check(store, path, "File too large")
    print("checked")


if __name__ == "__main__":
    asyncio.run(_limited(Path(sys.argv[1])))
