"""Fault 24 (docs/reliability.md): the disk is full, or a write fails: a StoreError, and what is stored is kept."""

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.file import FileTokenStore

BIG = 400_000
LIMIT = 300_000
EPOCH = stored().epoch

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such limits on Windows")


def big(generation):
    return stored(generation, access_token=CANARY + "x" * BIG)


async def check(store, path, reasons):
    """A save that does not fit raises and changes nothing, also for others; one that fits works."""
    texts = await error_texts(store.save("a", big(2), replaces=EPOCH))
    assert [reason for reason in reasons if f"{path}: {reason}" in texts[0]], texts
    assert not [text for text in texts if CANARY in text]
    outcomes = await asyncio.gather(
        store.save("b", stored(), replaces=None),
        store.save("a", big(2), replaces=EPOCH),
        store.save("c", stored(), replaces=None),
        return_exceptions=True,
    )
    assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "StoreError", "NoneType"]
    assert await store.load("a") == await store.load("b") == await store.load("c") == stored(1)
    async with store.lock("a"):
        await store.save("a", stored(2), replaces=EPOCH)
    await store.close()
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.db", "tokens.db.use"}
    assert await store.load("a") == stored(2)
    await store.close()


@pytest.fixture
def tiny_disk(tmp_path):
    """A small file system, if this machine allows to mount one."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={LIMIT},mode=700", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a tmpfs; the limit of a file's size is tested all the same")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.asyncio
async def test_full_disk_raises_store_error_and_keeps_what_is_stored(tiny_disk):
    path = tiny_disk / "tokens.db"
    store = FileTokenStore(path)
    await store.save("a", stored(1), replaces=None)
    await check(store, path, ["database or disk is full"])


@pytest.mark.asyncio
async def test_database_that_does_not_fit_is_not_created(tiny_disk):
    path = tiny_disk / "private" / "tokens.db"
    filler = tiny_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(LIMIT * 2))
    texts = await error_texts(FileTokenStore(path).save("a", stored(), replaces=None))
    assert "tokens.db: " in texts[0] or "No space left" in texts[0]
    assert not path.exists()
    filler.unlink()
    store = FileTokenStore(path)
    await store.save("a", stored(), replaces=None)
    await store.close()
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.db", "tokens.db.use"}


@pytest.mark.asyncio
@pytest.mark.parametrize("free", range(4, 100, 4))
async def test_database_that_fits_in_part_is_complete_or_not_created(tiny_disk, free):
    """`free` is in KiB: the last of them is enough."""
    path, filler = tiny_disk / "private" / "tokens.db", tiny_disk / "filler"
    with pytest.raises(OSError, match="No space"):
        filler.write_bytes(bytes(LIMIT * 2))
    os.truncate(filler, filler.stat().st_size - free * 1024)
    store = FileTokenStore(path)
    with contextlib.suppress(StoreError):
        await store.save("a", stored(), replaces=None)
    filler.unlink()
    await store.save("a", stored(), replaces=None)
    await store.close()
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.db", "tokens.db.use"}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["open", "mkdir", "rename", "fsync", "close", "chmod"])
async def test_creation_with_a_step_that_fails_raises_store_error_and_leaves_nothing(tmp_path, monkeypatch, name):
    path = tmp_path / "private" / "tokens.db"
    store, call, failed = FileTokenStore(path), getattr(os, name), []

    def fail(target, *arguments, **options):
        concerns = str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else str(target)
        if not concerns.startswith(str(path.parent)):
            return call(target, *arguments, **options)
        failed.append(concerns)
        if name == "close":
            call(target)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, name, fail)
    texts = await error_texts(store.save("a", stored(), replaces=None))
    assert failed
    assert "Input/output error" in texts[0]
    monkeypatch.undo()
    assert await store.load("a") in {None, stored()} if name == "fsync" else await store.load("a") is None
    await store.save("a", stored(2), replaces=EPOCH)
    assert await store.load("a") == stored(2)
    await store.close()
    assert {entry.name for entry in path.parent.iterdir()} == {"tokens.db", "tokens.db.use"}


def test_limit_of_the_file_size_raises_store_error_and_keeps_what_is_stored(tmp_path):
    run = subprocess.run(
        [sys.executable, __file__, tmp_path / "private" / "tokens.db"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
    )
    assert run.stdout == "checked\n", run.stderr


async def _limited(path):
    import resource

    store = FileTokenStore(path)
    await store.save("a", stored(1), replaces=None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
    await check(store, path, ["database or disk is full", "disk I/O error"])
    print("checked")


if __name__ == "__main__":
    asyncio.run(_limited(Path(sys.argv[1])))
