"""`Keyring`: the key of an encrypted file kept in the keyring of the system."""

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
from twilio_oauth_async.extras import from_extra

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

T = TypeVar("T")

LEAST_PRIORITY = 1
"""What the package ``keyring`` calls recommended. Below are those that keep nothing, or keep it in plain text."""


@attrs.frozen(kw_only=True)
class Keyring:
    """Where the key of an encrypted file is: macOS Keychain, Windows Credential Locker, Secret Service, KWallet.

    The first save makes a key. A machine without a keyring, such as most servers have none, gives a `StoreError` and
    no file; there, hand a key to the store yourself.
    """

    service: str = "twilio-oauth-async"
    """The name that the person sees in the keyring."""
    timeout: float = 60.0
    """Seconds to wait for an answer; a locked keyring asks the person first."""

    def check_installed(self) -> None:
        """Find out early whether the packages are there.

        Raises:
            ModuleNotFoundError: one is not; the message names the extra.
        """
        with from_extra("encryption", "keyring", "cryptography"):
            importlib.import_module("cryptography.fernet")
            importlib.import_module("keyring")

    async def ask(self, key_id: str) -> str | None:
        """The key with this id; None where the keyring has none.

        Raises:
            StoreError: there is no keyring, or it did not answer.
        """
        return await self._in_time(lambda: _backend().get_password(self.service, key_id))

    async def make(self) -> tuple[str, str]:
        """Put a new key into the keyring; its id, and the key.

        Raises:
            StoreError: there is no keyring, it did not answer, or it did not keep the key.
        """
        from cryptography.fernet import Fernet

        key_id, key = secrets.token_hex(8), Fernet.generate_key().decode()

        def put() -> str | None:
            backend = _backend()
            backend.set_password(self.service, key_id, key)  # pyright: ignore[reportUnknownMemberType]
            return backend.get_password(self.service, key_id)

        if await self._in_time(put) != key:
            # Better now than after the file has been written with a key that nobody has.
            raise StoreError("the system's keyring: it did not keep the key")
        return key_id, key

    async def _in_time(self, work: Callable[[], T]) -> T:
        """What `work` gives, run in a thread that nobody waits for at exit: a locked keyring may hang for hours."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                tell = functools.partial(_settle, answer, work())
            except Exception as error:  # noqa: BLE001 - each backend raises its own kind, with who knows what in it
                reason = str(error) if isinstance(error, StoreError) else f"it failed with {type(error).__name__}"
                tell = functools.partial(_settle, answer, StoreError(f"the system's keyring: {reason}"))
            with contextlib.suppress(RuntimeError):  # the loop has been closed; nobody waits any more
                loop.call_soon_threadsafe(tell)

        threading.Thread(target=run, name="keyring", daemon=True).start()
        try:
            async with asyncio.timeout(self.timeout):
                return await answer
        except TimeoutError:
            pass
        raise StoreError(f"the system's keyring: no answer within {self.timeout:g} s; is it locked?")


def _settle(answer: asyncio.Future[T], outcome: T | StoreError) -> None:
    if answer.done():
        return  # whoever asked has gone
    if isinstance(outcome, StoreError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _backend() -> KeyringBackend:
    import keyring
    from keyring.backends.chainer import ChainerBackend

    backend = keyring.get_keyring()
    used = list(backend.backends) if isinstance(backend, ChainerBackend) else [backend]
    if not any(one.priority >= LEAST_PRIORITY for one in used):
        raise StoreError(f"there is none that keeps secrets ({type(backend).__module__}): give the store a key instead")
    return backend
