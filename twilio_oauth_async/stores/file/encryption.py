"""Encryption of a store's file with Fernet (AES-128-CBC and HMAC-SHA256), and where its keys come from.

Nothing is ever written in plain text because a key could not be had: then there is a `StoreError`, and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.stores.file.keyring import Keyring

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

Key: TypeAlias = str | bytes
"""A Fernet key: 32 bytes in URL-safe base64, as ``cryptography.fernet.Fernet.generate_key()`` makes one."""

Encryption: TypeAlias = Key | Sequence[Key] | Keyring
"""One key; several, of which the first encrypts and all decrypt (rotation); or `Keyring()`."""


class Sealer(Protocol):
    """Has the key of a file. The key's id stands in the file, where the key itself is kept elsewhere."""

    async def opener(self, key_id: str | None) -> MultiFernet:
        """What decrypts a file that names `key_id`.

        Raises:
            StoreError: there is no such key, or it could not be had.
        """
        ...

    async def sealer(self, key_id: str | None) -> tuple[str | None, MultiFernet]:
        """What encrypts, and the id to write beside it.

        Args:
            key_id: what the present file names; None where it names none or is not there.

        Raises:
            StoreError: there is no key, or it could not be had.
        """
        ...


def sealer_of(encryption: Encryption) -> Sealer:
    """The `Sealer` that a caller means by `encryption`.

    Raises:
        ConfigurationError: no key, or something that is none. The key itself is not in the message.
        ModuleNotFoundError: the extra ``encryption`` is not installed.
    """
    if isinstance(encryption, Keyring):
        encryption.check_installed()
        return _KeysInKeyring(encryption)
    keys: object = [encryption] if isinstance(encryption, str | bytes) else encryption
    if not isinstance(keys, list | tuple) or not keys:
        raise ConfigurationError("encryption: a key, a list of at least one, or Keyring()")
    return _GivenKeys(_fernet(cast("Sequence[Key]", keys)))


class _GivenKeys(HoldsSecrets):
    """The caller has them."""

    def __init__(self, fernet: MultiFernet) -> None:
        self._fernet = fernet

    async def opener(self, key_id: str | None) -> MultiFernet:
        if key_id is not None:
            raise StoreError("its key is in a keyring: open it with encryption=Keyring()")
        return self._fernet

    async def sealer(self, key_id: str | None) -> tuple[str | None, MultiFernet]:
        return None, await self.opener(key_id)


class _KeysInKeyring(HoldsSecrets):
    """The system's keyring has them, each under an id of its own.

    Thus two processes that both make a first key never overwrite each other's: the file says whose it is.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._known: dict[str, MultiFernet] = {}

    async def opener(self, key_id: str | None) -> MultiFernet:
        if key_id is None:
            raise StoreError("its key is not in the keyring: open it with encryption=<the key>")
        if key_id not in self._known:
            key = await self._keyring.ask(key_id)
            if key is None:
                raise StoreError(f"its key {key_id} is not in the system's keyring")
            self._known[key_id] = self._read(key)
        return self._known[key_id]

    async def sealer(self, key_id: str | None) -> tuple[str | None, MultiFernet]:
        if key_id is None:
            key_id, key = await self._keyring.make()
            self._known[key_id] = self._read(key)
        return key_id, await self.opener(key_id)

    def _read(self, key: str) -> MultiFernet:
        try:
            return _fernet([key])
        except ConfigurationError:
            pass
        raise StoreError("what the system's keyring has is not a key")


def _fernet(keys: Sequence[Key]) -> MultiFernet:
    with from_extra("encryption", "cryptography"):
        from cryptography.fernet import Fernet, MultiFernet
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except (ValueError, TypeError):
        pass  # its message may quote the key
    raise ConfigurationError("encryption: a key is 32 bytes in URL-safe base64 (Fernet.generate_key() makes one)")
