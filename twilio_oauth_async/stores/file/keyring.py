"""`Keyring`: the key of an encrypted database kept in the keyring of the system."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import secrets
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.executor import wait_for_thread
from twilio_oauth_async.extras import from_extra

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

LEAST_PRIORITY = 1
"""The package ``keyring`` calls backends from this priority recommended. Those below store nothing, or plain text."""

MAX_REQUESTS = 8
"""Requests to the keyring at the same time. Each one blocks a thread, for as long as a locked keyring blocks it."""

_places = threading.BoundedSemaphore(MAX_REQUESTS)


@attrs.frozen(kw_only=True)
class Keyring:
    """Keeps the key of an encrypted database: macOS Keychain, Windows Credential Locker, Secret Service, KWallet.

    The first save makes a key. On a machine without a keyring, such as most servers, the save raises `StoreError` and
    creates no file. Give the store a key there.
    """

    service: str = "twilio-oauth-async"
    """The name that the user sees in the keyring."""
    timeout: float = 60.0
    """Seconds to wait for the keyring. A locked keyring asks the user for a password first."""

    def check_installed(self) -> None:
        """Raise now if a package is missing, and not at the first save.

        Raises:
            ModuleNotFoundError: keyring or cryptography is not installed; the message names the extra.
        """
        with from_extra("encryption", "keyring", "cryptography"):
            importlib.import_module("cryptography.fernet")
            importlib.import_module("keyring")

    async def ask(self, key_id: str) -> str | None:
        """Return the key with this id; None if the keyring does not have it.

        Raises:
            StoreError: there is no keyring, it failed, or it did not respond in time.
        """
        return await self._in_time(lambda: _backend().get_password(self.service, key_id))

    async def make(self) -> tuple[str, str]:
        """Store a new key in the keyring and return its id and the key.

        Raises:
            StoreError: there is no keyring, it failed, it did not respond in time, or it did not store the key.
        """
        from cryptography.fernet import Fernet

        key_id, key = secrets.token_hex(8), Fernet.generate_key().decode()

        def put() -> str | None:
            backend = _backend()
            backend.set_password(self.service, key_id, key)  # pyright: ignore[reportUnknownMemberType]
            return backend.get_password(self.service, key_id)

        if await self._in_time(put) != key:
            # Found out now, and not after values have been encrypted with a key that is lost.
            raise StoreError("the system's keyring did not store the key")
        return key_id, key

    async def _in_time(self, work: Callable[[], T]) -> T:
        """Return the result of `work`, which runs in a daemon thread: a locked keyring may block it for hours.

        The thread is not one of `executor`, whose few threads several stores share.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                settle = functools.partial(_settle, result, work())
            except Exception as error:  # noqa: BLE001 - each backend raises its own kind, which may contain the key
                reason = str(error) if isinstance(error, StoreError) else f"it failed with {type(error).__name__}"
                settle = functools.partial(_settle, result, StoreError(f"the system's keyring: {reason}"))
            finally:
                _places.release()
            with contextlib.suppress(RuntimeError):  # the loop was closed: the caller does not wait any more
                loop.call_soon_threadsafe(settle)

        if not _places.acquire(blocking=False):
            raise StoreError("the system's keyring has not responded to earlier requests; is it locked?")
        try:
            threading.Thread(target=run, name="keyring", daemon=True).start()
        except RuntimeError:
            _places.release()
            raise StoreError("the system has no thread to ask the keyring") from None
        try:
            async with asyncio.timeout(self.timeout):
                return await wait_for_thread(result)
        except TimeoutError:
            pass
        raise StoreError(f"the system's keyring did not respond within {self.timeout:g} s; is it locked?")


def _settle(future: asyncio.Future[T], outcome: T | StoreError) -> None:
    if future.done():
        return  # the caller does not wait any more
    if isinstance(outcome, StoreError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _backend() -> KeyringBackend:
    import keyring
    from keyring.backends.chainer import ChainerBackend

    backend = keyring.get_keyring()
    used = list(backend.backends) if isinstance(backend, ChainerBackend) else [backend]
    if not any(one.priority >= LEAST_PRIORITY for one in used):
        raise StoreError(f"no backend stores secrets ({type(backend).__module__}): give the store a key instead")
    return backend
