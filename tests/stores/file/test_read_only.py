"""Fault 24 (docs/reliability.md): in a read-only folder, what is stored can still be read."""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.helpers.stored_values import CANARY, stored
from twilio_oauth_async.stores.file import FileTokenStore

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"),
]
OTHER_USER = 65_534

AS_OTHER_USER = """
import asyncio, logging, os, sys
from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.file import FileTokenStore

async def attempt(call):
    try:
        print("result", await call == stored())
    except StoreError as error:
        print("error", error)

async def main(folder):
    # Once as root: modules that are imported later may be out of reach.
    warm, store = FileTokenStore(folder + "/warm/tokens.db"), FileTokenStore(folder + "/private/tokens.db")
    await warm.save("a", stored(), replaces=None)
    await warm.load("a")
    await warm.close()
    async with warm.lock("a"):
        pass
    os.setuid(65534)
    logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
    await attempt(store.load("a"))
    await attempt(store.save("a", stored(2), replaces=stored().epoch))
    await attempt(store.load("a"))
    await attempt(store.lock("a").__aenter__())
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def open_folder():
    """A folder that every user can reach, unlike the folders of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def save(folder):
    store = FileTokenStore(folder / "tokens.db")
    await store.save("a", stored(), replaces=None)
    return store


async def run_as_other_user(folder):
    """Give the private folder to another user, read-only, and return the lines that this user's process prints."""
    for entry in (*(folder / "private").iterdir(), folder / "private"):
        os.chown(entry, OTHER_USER, -1)
    (folder / "private").chmod(0o500)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", AS_OTHER_USER, str(folder)),
        stdout=-1,
        stderr=-1,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    out, errors = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, errors
    assert CANARY not in out + errors
    return out.splitlines()


@pytest.mark.parametrize("has_use_lock", [True, False])
async def test_read_only_folder_can_be_read_with_a_warning_and_not_written(open_folder, has_use_lock):
    store = await save(open_folder / "private")
    await store.close()
    if not has_use_lock:
        (open_folder / "private" / "tokens.db.use").unlink()
    database = open_folder / "private" / "tokens.db"
    warning = f"WARNING {database} is in a read-only folder: it is read as it is now, without locks"
    found = await run_as_other_user(open_folder)
    assert found == [
        warning,
        "result True",
        f"error {database}: its folder is read-only",
        "result True",
        found[-1],
    ]
    assert "Permission denied" in found[-1]


async def test_read_only_folder_with_changes_in_the_log_alone_raises_store_error(open_folder):
    """Without the log, an older token would be returned."""
    store = await save(open_folder / "private")
    # As after kill -9: the log has changes, and its index is missing.
    copy = open_folder / "copy"
    copy.mkdir(0o700)
    for name in ("tokens.db", "tokens.db-wal"):
        subprocess.run(["cp", "-p", open_folder / "private" / name, copy / name], check=True)  # noqa: ASYNC221
    await store.close()
    (open_folder / "private").rename(open_folder / "old")
    copy.rename(open_folder / "private")
    found = await run_as_other_user(open_folder)
    assert "its folder is read-only, and the newest changes, in its -wal, cannot be read" in found[0]
    assert "result True" not in found
