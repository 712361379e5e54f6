"""Locks between processes, on files: held by an open descriptor, and so released by the death of the holder.

`filelock` asks again and again without blocking the loop, gives a lock back that was got while the waiter was being
cancelled, and closes inherited descriptors in a forked child. Three of its settings matter here. Each hold has an
object of its own, since one object counts its holds and would let its second user in. ``fallback_to_soft`` is off: the
mere existence of a file outlives its maker. And ``thread_local`` is off, since the descriptor is used from a pool.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.stores.cancellation import finish_in_thread
from twilio_oauth_async.stores.file.private_file import PrivateFile

with from_extra("file", "filelock"):
    from filelock import AsyncFileLock

ASK_AGAIN = 0.02
"""Seconds between two looks at a lock that somebody else holds; one look costs about 0.1 ms in a thread."""

_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def hold(file: PrivateFile, suffix: str, timeout: float, *, remove: bool = False) -> AsyncGenerator[None]:
    """Hold the lock file beside `file` whose name ends with `suffix`.

    Args:
        file: its folder is made and checked first.
        suffix: which of the locks beside it.
        timeout: seconds to wait for it.
        remove: delete the lock file at the end, so that locks of many names leave no files behind. This is safe because
            it happens while the lock is held, and whoever gets a lock whose file has lost its name (no link left) tries
            again at the name.

    Raises:
        StoreError: it could not be had.
    """
    await finish_in_thread(file.prepare)
    path = file.path.with_name(file.path.name + suffix)
    lock = AsyncFileLock(
        path,
        timeout=timeout,
        mode=0o600,
        thread_local=False,
        is_singleton=False,
        poll_interval=ASK_AGAIN,
        fallback_to_soft=False,
    )
    reason: str | None = None
    try:
        await lock.acquire()
    except TimeoutError:
        reason = "not free in time: somebody else holds it"
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason is not None:
        raise StoreError(f"the lock {path}: {reason}")
    try:
        yield
    finally:
        try:
            if remove:
                await finish_in_thread(lambda: _remove(file, path.name))
        finally:
            try:
                await lock.release()
            except OSError as error:
                # What was done under it is done. Others wait until this process ends, and are told so in time.
                _log.warning("the lock %s could not be released: %s", path, error.strerror or type(error).__name__)


def _remove(file: PrivateFile, name: str) -> None:
    with contextlib.suppress(StoreError):  # an empty file is left behind, no more
        file.remove(name)
